package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"rtmfp/group"
	"rtmfp/node"
)

// keyPEM is the type of the PEM block in a group's key file; its body is the
// seed of an Ed25519 key.
const keyPEM = "RTMFP GROUP KEY"

// groupKey reads a group's private key, and makes the file if it may.
func groupKey(path string, create bool) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		seed := make([]byte, ed25519.SeedSize)
		rand.Read(seed)
		text = pem.EncodeToMemory(&pem.Block{Type: keyPEM, Bytes: seed})
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("can't make the key: %w", err)
		}
		_, err = f.Write(text)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, fmt.Errorf("can't make the key: %w", err)
		}
	} else if err != nil {
		return nil, failf(exitUsage, "can't read the group's key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyPEM || len(block.Bytes) != ed25519.SeedSize {
		return nil, failf(exitUsage, "%s does not hold a group's key", path)
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}

// unixNow is the wall clock as groups count it.
func unixNow() time.Duration { return time.Duration(time.Now().UnixNano()) }

// groupGrantCmd permits a member to do something.
type groupGrantCmd struct {
	Key     string        `required:"" help:"File with the group's private key." placeholder:"FILE"`
	Group   spec          `required:"" help:"Groupspec, or @FILE that holds one." placeholder:"SPEC"`
	Peer    peerID        `required:"" help:"Peer id of the member, which \"rtmfp-node identity\" prints at its place." placeholder:"ID"`
	Publish bool          `help:"It may publish streams."`
	Post    bool          `help:"It may post."`
	For     time.Duration `default:"720h" help:"How long, such as 24h; 0 is for ever. Default: 720h, thirty days." placeholder:"D"`
}

// Help describes the command with examples.
func (*groupGrantCmd) Help() string {
	return `
Prints the groupspec with a grant for one member in it; give it to that member. It names the same group.

Examples:

    rtmfp-node group grant --key news.key --group @group.txt --peer 0000000000000000000000000000000000000000000000000000000000000001 --post
    rtmfp-node group grant --key news.key --group @group.txt --peer 0000000000000000000000000000000000000000000000000000000000000001 --publish --post --for 24h
`
}

// Validate is called by the parser once all flags are set.
func (c *groupGrantCmd) Validate() error {
	switch {
	case !c.Publish && !c.Post:
		return errors.New("say what it may do: --publish, --post, or both")
	case c.For < 0:
		return errors.New("--for can't be negative")
	}
	return nil
}

// Run prints the groupspec with the grant.
func (c *groupGrantCmd) Run(e *env) error {
	key, err := groupKey(c.Key, false)
	if err != nil {
		return err
	}
	var rights group.Right
	if c.Publish {
		rights |= group.RightPublish
	}
	if c.Post {
		rights |= group.RightPost
	}
	grant, err := group.NewGrant(c.Group.Spec, key, rights, group.PeerID(c.Peer.id), unixNow(), c.For)
	if err != nil {
		return failf(exitUsage, "can't grant it: %w", err)
	}
	bare, err := group.ParseSpec(c.Group.WithoutAuthorizations())
	if err != nil {
		return err
	}
	with, err := bare.AddGrant(grant)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, with)
	return err
}

// groupRevokeCmd evicts a member.
type groupRevokeCmd struct {
	Key       string    `required:"" help:"File with the group's private key." placeholder:"FILE"`
	Peer      peerID    `required:"" help:"Peer id of the member." placeholder:"ID"`
	Group     spec      `required:"" help:"Groupspec, or @FILE that holds one." placeholder:"SPEC"`
	Bootstrap []bootURL `sep:"none" help:"Introducer to join through, to spread the revocation at once. May be repeated." placeholder:"URL"`
	Listen    string    `default:":0" help:"UDP address to listen on, HOST:PORT. Default: any free port." placeholder:"ADDR"`
	nodeFlags
}

// Help describes the command with examples.
func (*groupRevokeCmd) Help() string {
	return `
Prints a revocation: members that have it part from that member, don't link with it any more, and take its earlier grants for void. With --bootstrap it is spread through the group. Members remember revocations as long as they run; give it to those that always do (run --revoke) to be sure. Whoever was evicted still knows the groupspec and can come back under another identity, but without a grant.

Examples:

    rtmfp-node group revoke --key news.key --group @group.txt --peer 0000000000000000000000000000000000000000000000000000000000000001
    rtmfp-node group revoke --key news.key --group @group.txt --peer 0000000000000000000000000000000000000000000000000000000000000001 --bootstrap rtmfp://seed.example.org
`
}

// Run prints the revocation and spreads it.
func (c *groupRevokeCmd) Run(ctx context.Context, e *env) error {
	key, err := groupKey(c.Key, false)
	if err != nil {
		return err
	}
	revocation, err := group.NewRevocation(c.Group.Spec, key, group.PeerID(c.Peer.id), unixNow())
	if err != nil {
		return failf(exitUsage, "can't revoke it: %w", err)
	}
	text := group.RevocationText(revocation)
	if _, err := fmt.Fprintln(e.stdout, text); err != nil || len(c.Bootstrap) == 0 {
		return err
	}
	m := memberFlags{Group: c.Group, Bootstrap: c.Bootstrap, Listen: c.Listen, nodeFlags: c.nodeFlags}
	g, leave, err := m.join(ctx, e)
	if err != nil {
		return ended(ctx, err)
	}
	defer leave()
	if err := m.company(ctx, g); err != nil {
		return ended(ctx, err)
	}
	if err := g.Revoke(text); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, c.JoinTimeout)
	defer cancel()
	if err := g.Flush(wait); ctx.Err() != nil {
		return ended(ctx, ctx.Err())
	} else if err != nil {
		return failf(exitUnreachable, "no neighbor has confirmed the revocation within %v; try again, or give it to members that always run (run --revoke)", c.JoinTimeout)
	}
	linger(ctx, time.Second) // in which they tell others
	return nil
}

// revocation is one on the command line, or @FILE that holds some.
type revocation []string

// UnmarshalText reads the text of revocations, one per line.
func (r *revocation) UnmarshalText(text []byte) (err error) {
	if name, ok := strings.CutPrefix(string(text), "@"); ok {
		if text, err = os.ReadFile(name); err != nil {
			return err
		}
	}
	for _, one := range strings.Fields(string(text)) {
		if _, err := group.ParseRevocation(one); err != nil {
			return err
		}
		*r = append(*r, one)
	}
	return nil
}

// identityCmd prints who the node is.
type identityCmd struct {
	Identity string `help:"File that keeps the node's identity key, made on first use. Default: rtmfp-node/identity in the user's configuration folder." placeholder:"FILE"`
}

// Help describes the command with examples.
func (*identityCmd) Help() string {
	return `
Prints the peer id under which this user's node is known, by which grants name it.

Examples:

    rtmfp-node identity
`
}

// Run prints the peer id.
func (c *identityCmd) Run(e *env) (err error) {
	if c.Identity == "" {
		if c.Identity, err = defaultIdentity(); err != nil {
			return err
		}
	}
	id, err := node.LoadIdentity(c.Identity)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, id.PeerID())
	return err
}
