package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"rtmfp/node"
)

// postCmd posts to a group.
type postCmd struct {
	memberFlags
	Lines  bool          `help:"Post each line of stdin by itself, as it comes."`
	Linger time.Duration `default:"1s" help:"Stay this long after the last post, to pass it on. Default: 1s." placeholder:"D"`
	Text   []string      `arg:"" optional:"" help:"What to post. Without any, stdin."`
}

// Help describes the command with examples.
func (*postCmd) Help() string {
	return `
Sends a message of at most 64 KiB to every member of the group, signed with this node's identity. Members keep it for ten minutes, so that those who come later can read it. Prints the id of each post.

Examples:

    rtmfp-node post --group "$SPEC" --bootstrap rtmfp://seed.example.org hello, all
    rtmfp-node post --group "$SPEC" --bootstrap rtmfp://seed.example.org < notes.txt
    tail -f app.log | rtmfp-node post --group "$SPEC" --bootstrap rtmfp://seed.example.org --lines
`
}

// Validate is called by the parser once all flags are set.
func (c *postCmd) Validate() error {
	switch {
	case c.Lines && len(c.Text) > 0:
		return errors.New("--lines reads stdin; give no text with it")
	case c.Linger < 0:
		return errors.New("--linger can't be negative")
	}
	return c.checkMayPost()
}

// Run posts until the text, stdin, or ctx ends.
func (c *postCmd) Run(ctx context.Context, e *env) error {
	next, err := c.source(e)
	if err != nil {
		return err
	}
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if err := c.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	for {
		data, err := next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return ended(ctx, err)
		}
		id, err := g.Post(ctx, data)
		if err != nil {
			return ended(ctx, err)
		}
		if _, err := fmt.Fprintln(e.stdout, id); err != nil {
			return ended(ctx, err)
		}
	}
	linger(ctx, c.Linger)
	return nil
}

// ended returns err unless the user has asked for the end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// source returns what gives one post after the other, io.EOF at the end.
func (c *postCmd) source(e *env) (func(context.Context) ([]byte, error), error) {
	if c.Lines {
		lines := readLines(e.stdin)
		return func(ctx context.Context) ([]byte, error) {
			select {
			case l, ok := <-lines:
				if !ok {
					return nil, io.EOF
				}
				return l.text, l.err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, nil
	}
	data := []byte(strings.Join(c.Text, " "))
	if len(c.Text) == 0 {
		var err error
		if data, err = io.ReadAll(io.LimitReader(e.stdin, node.MaxPost+1)); err != nil {
			return nil, failf(exitInput, "can't read stdin: %w", err)
		}
	}
	switch {
	case len(data) == 0:
		return nil, failf(exitInput, "there is nothing to post; give a text, or write it to stdin")
	case len(data) > node.MaxPost:
		return nil, failf(exitInput, "a post has at most %d bytes; use --lines, or a stream for more", node.MaxPost)
	}
	done := false
	return func(context.Context) ([]byte, error) {
		if done {
			return nil, io.EOF
		}
		done = true
		return data, nil
	}, nil
}

type line struct {
	text []byte
	err  error
}

// readLines reads lines that are not empty from a reader that can't be told to
// stop, in a goroutine that the end of the process ends.
func readLines(r io.Reader) <-chan line {
	lines := make(chan line)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(r)
		s.Buffer(nil, node.MaxPost)
		for s.Scan() {
			if b := s.Bytes(); len(b) > 0 {
				lines <- line{text: []byte(string(b))}
			}
		}
		if err := s.Err(); err != nil {
			lines <- line{err: failf(exitInput, "can't read stdin: %w", err)}
		}
	}()
	return lines
}

// postsCmd shows the posts of a group.
type postsCmd struct {
	memberFlags
	Since   time.Duration `default:"10m" help:"Begin with the posts of this long ago, as far as members keep them. Default: 10m, which is as long as they do." placeholder:"D"`
	Follow  bool          `short:"f" help:"Go on with the posts that come."`
	Ordered bool          `help:"Show each author's posts in the order in which they were posted; one that is late holds up the later ones for up to three seconds."`
	JSON    bool          `name:"json" help:"Print one JSON object per post: id, author, number, time, and text, or base64 if it is no text."`
	Count   int           `help:"Show so many posts, and then end." placeholder:"N"`
}

// Help describes the command with examples.
func (*postsCmd) Help() string {
	return `
Prints the posts of the last minutes, and with --follow those that come, one per line: time, author, text. Without --follow it ends when it has all that the members keep.

Examples:

    rtmfp-node posts --group "$SPEC" --bootstrap rtmfp://seed.example.org
    rtmfp-node posts --group "$SPEC" --bootstrap rtmfp://seed.example.org --follow --since 1m
    rtmfp-node posts --group "$SPEC" --bootstrap rtmfp://seed.example.org -f --since 0s --json --ordered
`
}

// Validate is called by the parser once all flags are set.
func (c *postsCmd) Validate() error {
	if c.Since < 0 || c.Count < 0 {
		return errors.New("--since and --count can't be negative")
	}
	return c.checkPosting()
}

// Run prints until all is there, or until ctx ends.
func (c *postsCmd) Run(ctx context.Context, e *env) error {
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	posts := g.Posts(reading, node.PostsOptions{Since: c.Since, InOrder: c.Ordered})
	var complete atomic.Bool
	if !c.Follow {
		if err := c.company(ctx, g); err != nil {
			return ended(ctx, err)
		}
		go func() {
			waitComplete(reading, g)
			complete.Store(true)
			cancel()
		}()
	}
	var kept []node.Post // what is fetched comes in any order, so all of it is waited for
	printed := 0
	for p, err := range posts {
		if err != nil {
			if !complete.Load() {
				return ended(ctx, err)
			}
			break
		}
		if p.Missed > 0 {
			c.notice(e)("%d posts came too fast to be shown", p.Missed)
		}
		if !c.Follow {
			kept = append(kept, p)
			continue
		}
		if err := c.print(e, p); err != nil {
			return ended(ctx, err)
		}
		if printed++; printed == c.Count {
			return nil
		}
	}
	slices.SortStableFunc(kept, func(a, b node.Post) int { return a.Time.Compare(b.Time) })
	for i, p := range kept {
		if c.Count > 0 && i == c.Count {
			break
		}
		if err := c.print(e, p); err != nil {
			return ended(ctx, err)
		}
	}
	return nil
}

// waitComplete returns when the history has been fetched and nothing more has
// come for a while, or cannot be expected to.
func waitComplete(ctx context.Context, g *node.Group) {
	const (
		step  = 50 * time.Millisecond
		quiet = 600 * time.Millisecond // more than fetching takes, and than an author's order is waited for
		most  = 30 * time.Second
	)
	var last node.PostStats
	still := time.Duration(0)
	for t := time.Duration(0); t < most && ctx.Err() == nil; t += step {
		linger(ctx, step)
		s := g.PostStats()
		if s.Received == last.Received && s.Missing == 0 && s.Synced > 0 {
			if still += step; still >= quiet {
				return
			}
		} else {
			still = 0
		}
		last = s
	}
}

// postReport is a post as JSON.
type postReport struct {
	ID     string    `json:"id"`
	Author string    `json:"author"`
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	Text   string    `json:"text,omitempty"`
	Base64 string    `json:"base64,omitempty"`
}

func (c *postsCmd) print(e *env, p node.Post) error {
	if c.JSON {
		r := postReport{ID: p.ID.String(), Author: p.Author.String(), Number: p.Number, Time: p.Time.UTC()}
		if utf8.Valid(p.Data) {
			r.Text = string(p.Data)
		} else {
			r.Base64 = base64.StdEncoding.EncodeToString(p.Data)
		}
		return json.NewEncoder(e.stdout).Encode(r)
	}
	_, err := fmt.Fprintf(e.stdout, "%s %s %s\n", p.Time.Format("15:04:05"), p.Author.String()[:8], printable(p.Data))
	return err
}

// printable returns data as one line that can do a terminal no harm.
func printable(data []byte) string {
	if !utf8.Valid(data) {
		return fmt.Sprintf("(%d bytes that are no text)", len(data))
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r) && !unicode.Is(unicode.Join_Control, r):
			return '\uFFFD'
		}
		return r
	}, strings.TrimRight(string(data), "\r\n"))
}
