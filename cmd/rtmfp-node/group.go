package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"text/tabwriter"

	"rtmfp/group"
)

// groupCmd is the family of commands about groupspecs and who is in a group.
type groupCmd struct {
	New       groupNewCmd       `cmd:"" help:"Print a new groupspec."`
	Show      groupShowCmd      `cmd:"" help:"Explain a groupspec."`
	Grant     groupGrantCmd     `cmd:"" help:"Permit a member to publish or post, with the group's key."`
	Revoke    groupRevokeCmd    `cmd:"" help:"Evict a member, with the group's key."`
	Members   groupMembersCmd   `cmd:"" help:"Show the members that a node knows, and how many there are about."`
	Neighbors groupNeighborsCmd `cmd:"" help:"Show the links of a node: their role, round-trip time, age, and bytes."`
}

// groupNewCmd prints a groupspec.
type groupNewCmd struct {
	Name            string          `required:"" help:"Name of the group." placeholder:"NAME"`
	Multicast       bool            `help:"The group carries live streams. Implied if none of the four kinds is asked for."`
	Posting         bool            `help:"The group carries posts."`
	Routing         bool            `help:"The group carries directed routing."`
	Replication     bool            `help:"The group carries object replication."`
	ServerChannel   bool            `negatable:"" default:"true" help:"Members may find each other through introducers. On by default."`
	LAN             bool            `name:"lan" help:"Members find each other on a local network, without any server."`
	BootstrapPeer   []bootstrapPeer `sep:"none" help:"Member to begin with: its peer id, and where it is. With an address, the groupspec is enough to find the group. May be repeated; members may be added to a groupspec later, it names the same group." placeholder:"ID[@IP:PORT]"`
	Unique          bool            `help:"Add a random tag, so that nobody else makes the same group by its name."`
	PublishPassword string          `help:"Password without which nobody may publish. The printed groupspec carries it; give viewers what \"group show --public\" prints." placeholder:"TEXT"`
	PostingPassword string          `help:"Password without which nobody may post, likewise." placeholder:"TEXT"`
	Key             string          `help:"File that keeps the group's private key, made if it is not there. Members then publish and post only with a grant that it signs (\"group grant\"), and can be evicted." placeholder:"FILE"`
	Legacy          bool            `help:"Leave out the keys of the passwords, so that old players name the same group. Then nobody but the members themselves minds the passwords."`
	SpecVersion     int             `default:"2" enum:"1,2" help:"Version of the groupspec, 1 or 2. Default: 2." placeholder:"N"`
}

// Help describes the command with examples.
func (*groupNewCmd) Help() string {
	return `
A groupspec is the text that names a group: its name and what it carries. Everybody with the same text is in the same group, and members prove to each other that they know it, so treat it like a key to the group.

Examples:

    rtmfp-node group new --name party
    rtmfp-node group new --name party --multicast --posting --unique
    rtmfp-node group new --name tv --publish-password "only me"
    rtmfp-node group new --name news --posting --key news.key
    rtmfp-node group new --name office --posting --lan --no-server-channel
    rtmfp-node group new --name party --bootstrap-peer 00000000000000000000000000000000000000000000000000000000000000ff@192.0.2.7:1935
`
}

// Run prints the groupspec on stdout.
func (c *groupNewCmd) Run(e *env) error {
	f := group.SpecFields{
		Version:       c.SpecVersion,
		Name:          c.Name,
		Multicast:     c.Multicast || !(c.Posting || c.Routing || c.Replication),
		Posting:       c.Posting,
		Routing:       c.Routing,
		Replication:   c.Replication,
		ServerChannel: c.ServerChannel,
		MemberUpdates: c.LAN,
	}
	for _, p := range c.BootstrapPeer {
		f.Bootstrap = append(f.Bootstrap, p.Peer)
		if len(p.Addrs) > 0 {
			f.BootstrapAddrs = append(f.BootstrapAddrs, p.BootstrapAddr)
		}
	}
	if c.Unique {
		f.Unique = make([]byte, 32)
		rand.Read(f.Unique)
	}
	password := func(text string) (*group.PasswordHash, string) {
		if text == "" {
			return nil, ""
		}
		salt := make([]byte, 16)
		rand.Read(salt)
		return group.HashPassword(text, salt), text
	}
	f.PublishPassword, f.PublishAuth = password(c.PublishPassword)
	f.PostingPassword, f.PostingAuth = password(c.PostingPassword)
	if !c.Legacy {
		if f.PublishPassword != nil {
			f.PublishKey = group.PasswordKey(f.PublishPassword, c.PublishPassword, group.RightPublish)
		}
		if f.PostingPassword != nil {
			f.PostingKey = group.PasswordKey(f.PostingPassword, c.PostingPassword, group.RightPost)
		}
	}
	if c.Key != "" {
		key, err := groupKey(c.Key, true)
		if err != nil {
			return err
		}
		f.GroupKey = key.Public().(ed25519.PublicKey)
	}
	s, err := group.NewSpec(f)
	if err != nil {
		return failf(exitUsage, "%w", err)
	}
	_, err = fmt.Fprintln(e.stdout, s)
	return err
}

// groupShowCmd explains a groupspec.
type groupShowCmd struct {
	Public bool `help:"Print only the groupspec without the passwords that it carries, for those who shall not publish or post."`
	Spec   spec `arg:"" help:"Groupspec, or @FILE that holds one."`
}

// Help describes the command with examples.
func (*groupShowCmd) Help() string {
	return `
Examples:

    rtmfp-node group show G:027f020101010c060e706172747900
    rtmfp-node group show @group.txt
    rtmfp-node group show --public "$SPEC"
`
}

// Run prints the explanation on stdout.
func (c *groupShowCmd) Run(e *env) error {
	if c.Public {
		_, err := fmt.Fprintln(e.stdout, c.Spec.WithoutAuthorizations())
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	for _, l := range c.Spec.Explain() {
		fmt.Fprintf(w, "%s\t%s\n", l.Label, l.Text)
	}
	return w.Flush()
}

// bootstrapPeer is a member to begin with, on the command line.
type bootstrapPeer struct{ group.BootstrapAddr }

// UnmarshalText reads ID or ID@IP:PORT.
func (p *bootstrapPeer) UnmarshalText(text []byte) (err error) {
	p.BootstrapAddr, err = group.ParseBootstrapAddr(string(text))
	return err
}
