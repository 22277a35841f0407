package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"rtmfp/node"
	"rtmfp/ring"
)

// routeCmd is the family of commands about directed routing.
type routeCmd struct {
	Send   routeSendCmd   `cmd:"" help:"Send a message to the member nearest to an address."`
	Listen routeListenCmd `cmd:"" help:"Show the messages that are routed here, and answer them."`
}

// routeSendCmd routes one message.
type routeSendCmd struct {
	memberFlags
	Key      string        `help:"Send to the address of this text, its SHA-256, instead of ADDRESS." placeholder:"TEXT"`
	Peer     peerID        `help:"Send to the member with this peer id, and to nobody else." placeholder:"ID"`
	Next     bool          `help:"Send to the next member up the ring."`
	Previous bool          `help:"Send to the next member down the ring."`
	All      bool          `help:"Send to every neighbor."`
	Exact    bool          `help:"Only to the member that has the very address."`
	Request  bool          `short:"r" help:"Wait for the receiver's answer, and print it."`
	HopLimit int           `help:"Most links that the message goes over. Default: 32." placeholder:"N"`
	Timeout  time.Duration `default:"10s" help:"How long to wait for an answer. Default: 10s." placeholder:"D"`
	JSON     bool          `name:"json" help:"Print one JSON object: result, peer, address, hops, milliseconds, and text or base64 of the answer."`
	Args     []string      `arg:"" optional:"" name:"address-and-message" help:"The address, 64 hexadecimal digits, unless a flag says where to; then the message. Without a message, stdin."`

	to ring.Addr // set by Validate
}

// Help describes the command with examples.
func (*routeSendCmd) Help() string {
	return `
Routes a message of at most 64 KiB over any number of members to the one whose place on the ring is nearest to the address, and prints who has it and over how many links it went. Exit code 7 says that there is no route, 8 that nobody there listens, 9 that no answer came in time.

Examples:

    rtmfp-node route send --group "$SPEC" --bootstrap rtmfp://seed.example.org --key room/42 "anybody home?"
    rtmfp-node route send --group "$SPEC" --bootstrap rtmfp://seed.example.org --request --json 00000000000000000000000000000000000000000000000000000000000000ff ping
    date | rtmfp-node route send --group "$SPEC" --bootstrap rtmfp://seed.example.org --next
`
}

// Validate is called by the parser once all flags are set.
func (c *routeSendCmd) Validate() error {
	ways := 0
	for _, set := range [...]bool{c.Key != "", c.Peer.set, c.Next, c.Previous, c.All} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("give one of --key, --peer, --next, --previous, and --all")
	case c.Timeout <= 0:
		return errors.New("--timeout must be more than 0")
	case c.HopLimit < 0 || c.HopLimit > 255:
		return errors.New("--hop-limit must be from 1 to 255")
	case c.All && c.Request:
		return errors.New("--all takes no answers; leave out --request")
	case c.Key != "":
		c.to = ring.Hash(c.Key)
	case c.Peer.set:
		c.to, c.Exact = ring.OfPeer(c.Peer.id), true
	case ways == 0:
		if len(c.Args) == 0 {
			return errors.New("give an address, --key TEXT, --peer ID, --next, --previous, or --all")
		}
		b, err := hex.DecodeString(c.Args[0])
		if err != nil || len(b) != len(c.to) {
			return fmt.Errorf("%q is no address, which has 64 hexadecimal digits; use --key for a text", c.Args[0])
		}
		c.to, c.Args = ring.Addr(b), c.Args[1:]
	}
	return c.checkRouting()
}

// checkRouting reports a group that routes nothing for its members.
func (c *memberFlags) checkRouting() error {
	if c.Group.Spec != nil && !c.Group.Routing {
		return fmt.Errorf("group %q carries no directed routing; make one with \"rtmfp-node group new --name NAME --routing\"", c.Group.Name)
	}
	return nil
}

// routeReport is what became of a message, as JSON.
type routeReport struct {
	Result  string  `json:"result"` // sent, no route, refused, timed out
	Peer    string  `json:"peer,omitempty"`
	Address string  `json:"address,omitempty"` // of the peer
	Hops    int     `json:"hops"`
	MS      float64 `json:"ms"`
	Text    *string `json:"text,omitempty"`
	Base64  string  `json:"base64,omitempty"`
}

// Run sends the message.
func (c *routeSendCmd) Run(ctx context.Context, e *env) error {
	msg := []byte(strings.Join(c.Args, " "))
	if len(c.Args) == 0 {
		var err error
		if msg, err = io.ReadAll(io.LimitReader(e.stdin, node.MaxRouted+1)); err != nil {
			return failf(exitInput, "can't read stdin: %w", err)
		}
	}
	if len(msg) > node.MaxRouted {
		return failf(exitInput, "a routed message has at most %d bytes", node.MaxRouted)
	}
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if err := c.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	began := time.Now()
	d, err := c.send(ctx, g, msg)
	if c.All && err == nil {
		linger(ctx, farewellTime) // one neighbor has it, and the others are to get it too
	}
	return ended(ctx, c.report(e, d, time.Since(began), err))
}

func (c *routeSendCmd) send(ctx context.Context, g *node.Group, msg []byte) (node.Delivery, error) {
	o := node.RouteOptions{Exact: c.Exact, Request: c.Request, HopLimit: c.HopLimit, Timeout: c.Timeout}
	switch {
	case c.All:
		return g.SendToAllNeighbors(ctx, msg)
	case c.Next:
		return g.SendToNeighbor(ctx, node.NextIncreasing, msg, o)
	case c.Previous:
		return g.SendToNeighbor(ctx, node.NextDecreasing, msg, o)
	}
	return g.SendToNearest(ctx, c.to, msg, o)
}

// report prints what became of the message, and returns the error to end with.
func (c *routeSendCmd) report(e *env, d node.Delivery, took time.Duration, err error) error {
	r := routeReport{MS: float64(took.Microseconds()) / 1000}
	switch {
	case err == nil:
		r.Result, r.Peer, r.Address, r.Hops = "sent", d.Peer.String(), ring.OfPeer(d.Peer).String(), d.Hops
	case errors.Is(err, node.ErrNoRoute), errors.Is(err, node.ErrNoNeighbor):
		r.Result, err = "no route", failf(exitNoRoute, "no route: no member is there, or it is more links away than --hop-limit")
	case errors.Is(err, node.ErrRouteRefused):
		r.Result, err = "refused", failf(exitRefused, "refused: nobody there runs \"route listen\" for such messages")
	case errors.Is(err, node.ErrNoAnswer):
		r.Result, err = "timed out", failf(exitTimeout, "no answer within %v; the message may have arrived all the same", c.Timeout)
	default:
		return err
	}
	if c.JSON {
		if c.Request && r.Result == "sent" {
			r.Text, r.Base64 = textOrBase64(d.Reply)
		}
		if werr := json.NewEncoder(e.stdout).Encode(r); werr != nil {
			return werr
		}
		return err
	}
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(e.stdout, "%s %s hops=%d\n", r.Result, r.Peer, r.Hops); err == nil && c.Request {
		_, err = fmt.Fprintf(e.stdout, "%s\n", d.Reply)
	}
	return err
}

// routeListenCmd takes messages.
type routeListenCmd struct {
	memberFlags
	Exact bool    `help:"Only messages to this node's very address, and those that neighbors send it; not those that it is merely nearest to."`
	Echo  bool    `help:"Answer a request with its own text."`
	Reply *string `help:"Answer every request with this text." placeholder:"TEXT"`
	Exec  string  `help:"Answer a request with what this command prints, run by the shell with the message on its stdin." placeholder:"COMMAND"`
	Count int     `help:"Take so many messages, and then end." placeholder:"N"`
	JSON  bool    `name:"json" help:"Print one JSON object per message: time, from, to, hops, request, and text, or base64 if it is no text."`
}

// Help describes the command with examples.
func (*routeListenCmd) Help() string {
	return `
Prints the messages that are routed to this node, one per line: time, sender, text. It takes those to addresses that no other listening member is nearer to. Who sends with --request gets an answer if one of --echo, --reply, and --exec says which.

Examples:

    rtmfp-node route listen --group "$SPEC" --bootstrap rtmfp://seed.example.org --reply "here"
    rtmfp-node route listen --group "$SPEC" --bootstrap rtmfp://seed.example.org --exact --json
    rtmfp-node route listen --group "$SPEC" --bootstrap rtmfp://seed.example.org --exec "tr a-z A-Z"
`
}

// Validate is called by the parser once all flags are set.
func (c *routeListenCmd) Validate() error {
	switch {
	case c.Echo && c.Reply != nil, c.Echo && c.Exec != "", c.Reply != nil && c.Exec != "":
		return errors.New("give one of --echo, --reply, and --exec")
	case c.Count < 0:
		return errors.New("--count can't be negative")
	}
	return c.checkRouting()
}

// routedReport is a message as JSON.
type routedReport struct {
	Time    time.Time `json:"time"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Hops    int       `json:"hops"`
	Request bool      `json:"request"`
	Text    *string   `json:"text,omitempty"`
	Base64  string    `json:"base64,omitempty"`
}

// Run prints and answers until ctx ends.
func (c *routeListenCmd) Run(ctx context.Context, e *env) error {
	g, leave, err := c.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	messages := g.Receive(ctx, node.ReceiveOptions{Exact: c.Exact})
	c.notice(e)("listening at address %s", g.Address())
	taken := 0
	for m, err := range messages {
		if err != nil {
			return ended(ctx, err)
		}
		if m.Missed > 0 {
			c.notice(e)("%d messages came too fast to be taken", m.Missed)
		}
		if err := c.print(e, m); err != nil {
			return ended(ctx, err)
		}
		if m.Wanted {
			c.answer(ctx, e, m)
		}
		if taken++; taken == c.Count {
			// An answer that has just been given is still to leave.
			linger(ctx, farewellTime)
			return nil
		}
	}
	return nil
}

func (c *routeListenCmd) print(e *env, m node.Routed) error {
	if c.JSON {
		r := routedReport{Time: time.Now().UTC(), From: m.From.String(), To: m.To.String(), Hops: m.Hops, Request: m.Wanted}
		r.Text, r.Base64 = textOrBase64(m.Data)
		return json.NewEncoder(e.stdout).Encode(r)
	}
	_, err := fmt.Fprintf(e.stdout, "%s %s %s\n", time.Now().Format("15:04:05"), m.From.String()[:8], printable(m.Data))
	return err
}

// answer replies to a request, if anything says what.
func (c *routeListenCmd) answer(ctx context.Context, e *env, m node.Routed) {
	var reply []byte
	switch {
	case c.Echo:
		reply = m.Data
	case c.Reply != nil:
		reply = []byte(*c.Reply)
	case c.Exec != "":
		out, err := runReply(ctx, c.Exec, m)
		if err != nil {
			c.notice(e)("--exec: %v", err)
			return
		}
		reply = out
	default:
		return
	}
	if err := m.Reply(reply); err != nil {
		c.notice(e)("%v", err) // its sender waits no longer
	}
}

// execTime is how long a command may take for an answer.
const execTime = 10 * time.Second

// runReply runs a command with a message on its stdin, and returns what it
// prints. The message is never part of the command line.
func runReply(ctx context.Context, command string, m node.Routed) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, execTime)
	defer cancel()
	shell, flag := "sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	cmd := exec.CommandContext(ctx, shell, flag, command)
	cmd.WaitDelay = time.Second
	cmd.Stdin = bytes.NewReader(m.Data)
	cmd.Env = append(os.Environ(), "ROUTE_FROM="+m.From.String(), "ROUTE_TO="+m.To.String(), "ROUTE_HOPS="+strconv.Itoa(m.Hops))
	out := &limitedBuffer{most: node.MaxRouted}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%q: %w", command, err)
	}
	if out.over {
		return nil, fmt.Errorf("%q printed more than the %d bytes that an answer may have", command, node.MaxRouted)
	}
	return out.Bytes(), nil
}

// limitedBuffer takes all that is written to it, and keeps up to most bytes.
type limitedBuffer struct {
	bytes.Buffer
	most int
	over bool
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := min(len(p), b.most-b.Len())
	b.over = b.over || room < len(p)
	b.Buffer.Write(p[:room])
	return len(p), nil
}
