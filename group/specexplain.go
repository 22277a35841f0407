package group

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// SpecLine is one line of an explanation of a groupspec.
type SpecLine struct {
	Label string
	Text  string
}

// Explain says in words what a groupspec contains, line by line. Passwords
// that it carries in clear are not shown, only that they are there.
func (s *Spec) Explain() []SpecLine {
	id := s.ID()
	lines := []SpecLine{
		{"name", s.Name},
		{"version", fmt.Sprint(s.Version)},
		{"group id", hex.EncodeToString(id[:])},
		{"carries", list(
			item(s.Multicast, "streams"),
			item(s.Posting, "posts"),
			item(s.Routing, "directed routing"),
			item(s.Replication, "object replication"))},
		{"members met", list(
			item(s.ServerChannel, "through an introducer"),
			item(len(s.Bootstrap)+len(s.BootstrapAddrs) > 0, "through bootstrap peers"),
			item(s.MemberUpdates, "on the LAN"))},
		{"links", choose(s.NoPeerToPeer, "none between members, native IP multicast only", "between members")},
		{"publishing", s.access(s.Multicast, RightPublish, s.PublishPassword, s.PublishAuth)},
		{"posting", s.access(s.Posting, RightPost, s.PostingPassword, s.PostingAuth)},
	}
	if len(s.Unique) > 0 {
		lines = append(lines, SpecLine{"unique tag", hex.EncodeToString(s.Unique)})
	}
	for _, m := range s.IPMulticast {
		text := m.Socket.String()
		if m.Source.IsValid() {
			text += " from " + m.Source.String()
		}
		lines = append(lines, SpecLine{"IP multicast", text})
	}
	if s.GroupKey != nil {
		lines = append(lines, SpecLine{"group key", hex.EncodeToString(s.GroupKey)})
	}
	for _, encoded := range s.Grants {
		if g, err := ParseGrant(encoded); err == nil {
			until := ""
			if g.ExpiresAt != 0 {
				until = fmt.Sprintf(", until %d s after 1970", g.ExpiresAt/1000)
			}
			lines = append(lines, SpecLine{"grant", fmt.Sprintf("%x may %v%s", g.Subject, g.Rights, until)})
		}
	}
	for _, p := range s.Bootstrap {
		lines = append(lines, SpecLine{"bootstrap peer", hex.EncodeToString(p[:])})
	}
	for _, b := range s.BootstrapAddrs {
		lines = append(lines, SpecLine{"bootstrap address", b.String()})
	}
	if len(s.UnknownKinds) > 0 {
		kinds := make([]string, len(s.UnknownKinds))
		for i, k := range s.UnknownKinds {
			kinds[i] = fmt.Sprintf("0x%02x", k)
		}
		lines = append(lines, SpecLine{"not understood", "options of type " + strings.Join(kinds, ", ")})
	}
	return lines
}

// access says who may use a right, and whether the holder of this text may.
func (s *Spec) access(enabled bool, r Right, p *PasswordHash, auth string) string {
	granted := 0
	for _, encoded := range s.Grants {
		if g, err := ParseGrant(encoded); err == nil && g.Rights&r != 0 {
			granted++
		}
	}
	var needs string
	switch {
	case !enabled:
		return "not in this group"
	case p == nil && !s.Needs(r):
		return "every member may"
	case s.GroupKey == nil:
		needs = "needs a password"
	case p == nil:
		needs = "needs a grant that the group's key has signed"
	default:
		needs = "needs a password, or a grant that the group's key has signed"
	}
	switch {
	case p != nil && p.Matches(auth):
		return needs + ", which this text carries"
	case granted > 0:
		return needs + "; this text carries " + choose(granted == 1, "one", fmt.Sprint(granted))
	case p != nil && auth != "":
		return needs + ", and this text carries a wrong one"
	}
	return needs + ", which this text does not carry"
}

func item(set bool, name string) string { return choose(set, name, "") }

func choose(c bool, yes, no string) string {
	if c {
		return yes
	}
	return no
}

func list(items ...string) string {
	var set []string
	for _, s := range items {
		if s != "" {
			set = append(set, s)
		}
	}
	if len(set) == 0 {
		return "nothing"
	}
	return strings.Join(set, ", ")
}
