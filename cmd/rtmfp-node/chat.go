package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"rtmfp/node"
)

// chatCmd is a conversation in a group.
type chatCmd struct {
	memberFlags
	Name    string        `help:"Name under which the others see you. Default: your user name." placeholder:"NAME"`
	History time.Duration `default:"10m" help:"Show what was said this long ago. Default: 10m, which is as long as members keep it." placeholder:"D"`
}

// Help describes the command with examples.
func (*chatCmd) Help() string {
	return `
Shows what the members of the group say, and says what you type, line by line. Lines that begin with a slash are commands: /names lists who is there, /me TEXT says what you do, /quit ends, as ^D does. Names are what people say of themselves: when two use the same, the beginning of their ids tells them apart.

Examples:

    rtmfp-node chat --group "$SPEC" --listen :1935 --name Ann
    rtmfp-node chat --group "$SPEC" --bootstrap rtmfp://seed.example.org --name Bob
`
}

// Validate is called by the parser once all flags are set.
func (c *chatCmd) Validate() error {
	if c.History < 0 {
		return errors.New("--history can't be negative")
	}
	if strings.TrimSpace(c.Name) != c.Name || len(c.Name) > maxChatName {
		return fmt.Errorf("--name must have at most %d bytes, and no space at its ends", maxChatName)
	}
	return c.checkMayPost()
}

const maxChatName = 64

// chatMessage is a post of the chat, as JSON. Posts that are no such object
// belong to other programs and are not shown.
type chatMessage struct {
	Chat int    `json:"chat"` // 1
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	Kind string `json:"kind,omitempty"` // "" says Text, "me" does it, "here" and "gone" come and go
}

// Kinds of chat messages.
const (
	chatSay  = ""
	chatMe   = "me"
	chatHere = "here"
	chatGone = "gone"
)

// farewellTime is how long a chat waits for its last words to be passed on.
const farewellTime = 300 * time.Millisecond

// Run talks until ^D, /quit, or ctx ends it.
func (c *chatCmd) Run(ctx context.Context, e *env) error {
	if c.Name == "" {
		c.Name = userName()
	}
	screen, err := openScreen(e)
	if err != nil {
		return err
	}
	defer screen.close()
	e.console.w = screen // nothing else may write into the line that is being typed
	g, leave, err := c.join(ctx, e)
	if err != nil {
		screen.close()
		return ended(ctx, err)
	}
	defer leave()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &chat{cmd: c, group: g, screen: screen, self: g.Self(), began: time.Now().Truncate(time.Millisecond)}
	posts := g.Posts(ctx, node.PostsOptions{Since: c.History, InOrder: true})
	if err := t.post(ctx, chatHere, ""); err != nil {
		return ended(ctx, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p, err := range posts {
			if err != nil {
				break
			}
			t.show(p)
		}
		cancel()
	}()
	err = t.listen(ctx)
	bye, stop := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer stop()
	_ = t.post(bye, chatGone, "") // the group may have been left already
	linger(bye, farewellTime)
	cancel()
	<-done
	return err
}

// userName is what the system calls the user.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "somebody"
}

// chat is one run of the command.
type chat struct {
	cmd    *chatCmd
	group  *node.Group
	screen *screen
	self   node.PeerID
	began  time.Time

	mu      sync.Mutex
	members []*talker // in the order in which they were first heard
}

// talker is somebody who has been heard.
type talker struct {
	id   node.PeerID
	name string
	here bool
}

// maxTalkers bounds those who are remembered; others are shown all the same.
const maxTalkers = 1000

func (t *chat) post(ctx context.Context, kind, text string) error {
	data, err := json.Marshal(chatMessage{Chat: 1, Name: t.cmd.Name, Text: text, Kind: kind})
	if err != nil {
		return err
	}
	_, err = t.group.Post(ctx, data)
	return err
}

// listen posts what is typed.
func (t *chat) listen(ctx context.Context) error {
	lines := t.screen.lines()
	for {
		var l line
		var ok bool
		select {
		case l, ok = <-lines:
		case <-ctx.Done():
			return nil
		}
		text := strings.TrimSpace(string(l.text))
		me, isMe := strings.CutPrefix(text, "/me ")
		var err error
		switch {
		case !ok || text == "/quit":
			return nil
		case l.err != nil:
			return l.err
		case text == "":
		case text == "/names":
			t.names()
		case isMe:
			err = t.post(ctx, chatMe, me)
		case strings.HasPrefix(text, "/"):
			t.screen.printf("There are /names, /me TEXT, and /quit.")
		default:
			err = t.post(ctx, chatSay, text)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, node.ErrPostTooLarge):
			t.screen.printf("That is too long for one message; nothing was sent.")
		case err != nil:
			return err
		}
	}
}

// show prints a post, if it is of a chat.
func (t *chat) show(p node.Post) {
	var m chatMessage
	if json.Unmarshal(p.Data, &m) != nil || m.Chat != 1 || m.Name == "" || len(m.Name) > maxChatName {
		return
	}
	was := t.note(p.Author, m)
	name, text := t.call(p.Author, printable([]byte(m.Name))), printable([]byte(m.Text))
	at := p.Time.Format("15:04")
	switch m.Kind {
	case chatSay:
		if p.Author == t.self && !p.Time.Before(t.began) && t.screen.terminal != nil {
			return // it stands there as it was typed
		}
		t.screen.printf("%s %s: %s", at, name, text)
	case chatMe:
		t.screen.printf("%s * %s %s", at, name, text)
	case chatHere:
		if !p.Old && !was && p.Author != t.self {
			t.screen.printf("%s * %s is here", at, name)
		}
	case chatGone:
		if !p.Old && p.Author != t.self {
			t.screen.printf("%s * %s has gone", at, name)
		}
	}
}

// note remembers who talks, and returns whether they were there already.
func (t *chat) note(id node.PeerID, m chatMessage) (was bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.members, func(o *talker) bool { return o.id == id })
	if i < 0 {
		if len(t.members) >= maxTalkers {
			return false
		}
		t.members = append(t.members, &talker{id: id})
		i = len(t.members) - 1
	}
	o := t.members[i]
	was, o.here = o.here, m.Kind != chatGone
	o.name = printable([]byte(m.Name))
	return was
}

// call returns a name, with the beginning of the id if somebody else has the
// same one.
func (t *chat) call(id node.PeerID, name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.members {
		if o.id != id && strings.EqualFold(o.name, name) {
			return name + "#" + id.String()[:6]
		}
	}
	return name
}

// names lists who is there, as far as they have been heard.
func (t *chat) names() {
	t.mu.Lock()
	var here []*talker
	for _, o := range t.members {
		if o.here {
			here = append(here, o)
		}
	}
	t.mu.Unlock()
	var list []string
	for _, o := range here {
		list = append(list, t.call(o.id, o.name))
	}
	t.screen.printf("here: %s", strings.Join(list, ", "))
}

// screen is where a chat is read and typed: a terminal on which lines appear
// above the one that is being typed, or plain stdin and stdout.
type screen struct {
	out      io.Writer
	in       io.Reader
	terminal *term.Terminal // nil if plain
	restore  func()
}

// openScreen takes over the terminal, if both ends of the program are one.
func openScreen(e *env) (*screen, error) {
	in, ok := e.stdin.(*os.File)
	out, ok2 := e.stdout.(*os.File)
	if !ok || !ok2 || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return &screen{out: e.stdout, in: e.stdin, restore: func() {}}, nil
	}
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("can't use the terminal: %w", err)
	}
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "> ")
	if w, h, err := term.GetSize(int(out.Fd())); err == nil {
		_ = t.SetSize(w, h) // fails only if it can't redraw, which is seen anyway
	}
	before := e.console.w
	s := &screen{out: t, in: in, terminal: t}
	s.restore = sync.OnceFunc(func() {
		_, _ = io.WriteString(out, clearLine)
		_ = term.Restore(int(in.Fd()), state) // nothing better can be done
		e.console.w = before
	})
	return s, nil
}

// close gives the terminal back.
func (s *screen) close() { s.restore() }

// Write prints whole lines. A terminal puts them above the one that is typed.
func (s *screen) Write(b []byte) (int, error) {
	return s.out.Write(b)
}

func (s *screen) printf(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// lines returns what is typed; it is closed at the end.
func (s *screen) lines() <-chan line {
	if s.terminal == nil {
		return readLines(s.in)
	}
	lines := make(chan line)
	go func() {
		defer close(lines)
		for {
			text, err := s.terminal.ReadLine()
			if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
				return // ^C and ^D among others
			}
			lines <- line{text: []byte(text)}
		}
	}()
	return lines
}
