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
			item(len(s.Bootstrap) > 0, "through bootstrap peers"),
			item(s.MemberUpdates, "through IP multicast on the LAN"))},
		{"links", choose(s.NoPeerToPeer, "none between members, native IP multicast only", "between members")},
		{"publishing", access(s.Multicast, s.PublishPassword, s.PublishAuth)},
		{"posting", access(s.Posting, s.PostingPassword, s.PostingAuth)},
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
	for _, p := range s.Bootstrap {
		lines = append(lines, SpecLine{"bootstrap peer", hex.EncodeToString(p[:])})
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

func access(enabled bool, p *PasswordHash, auth string) string {
	switch {
	case !enabled:
		return "not in this group"
	case p == nil:
		return "every member may"
	case auth == "":
		return "needs a password, which this text does not carry"
	case p.Matches(auth):
		return "needs a password, which this text carries"
	default:
		return "needs a password, and this text carries a wrong one"
	}
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
