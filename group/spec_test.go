package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const vectorSpec = "G:027f0201010103010c050e74657374011b00"

// The groupspec of the capture, and its id, which an independent script
// computed too (reference/groups-vectors.txt).
func TestSpecVector(t *testing.T) {
	s, err := ParseSpec(vectorSpec)
	if err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	if got, want := hex.EncodeToString(id[:]), "763f90e4b524a0e026052bb5696bd143246f26c6eb0b9fa31b0d1ed39a092620"; got != want {
		t.Errorf("id: got %s, want %s", got, want)
	}
	if got, want := s.Canonical(), vectorSpec[:len(vectorSpec)-2]; got != want {
		t.Errorf("canonical text: got %s, want %s", got, want)
	}
	if s.Version != 2 || !s.Multicast || !s.Posting || !s.ServerChannel || !s.MemberUpdates || s.Name != "test" ||
		s.Routing || s.Replication || s.NoPeerToPeer || s.Unique != nil || s.PublishPassword != nil {
		t.Errorf("fields: %+v", s.SpecFields)
	}
	made, err := NewSpec(SpecFields{Multicast: true, Posting: true, ServerChannel: true, MemberUpdates: true, Name: "test"})
	if err != nil || made.String() != vectorSpec {
		t.Errorf("made anew: %v, %v; want %s", made, err, vectorSpec)
	}
}

// In version 1 the text is hashed once.
func TestSpecVersion1(t *testing.T) {
	s, err := NewSpec(SpecFields{Version: 1, Multicast: true, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.String(), "G:0101050e7465737400"; got != want {
		t.Errorf("text: got %s, want %s", got, want)
	}
	id := s.ID()
	// printf %s G:0101050e74657374 | sha256sum
	if got, want := hex.EncodeToString(id[:]), "1628bb3d1e6770b20ced8866fe3378c2bf7487b9c9a693cb0024e946a914bfb4"; got != want {
		t.Errorf("id: got %s, want %s", got, want)
	}
}

func fullFields() SpecFields {
	return SpecFields{
		Version: 2, Routing: true, Multicast: true, Replication: true, Posting: true,
		PublishPassword: HashPassword("secret", []byte("salt")),
		PostingPassword: HashPassword("other", nil),
		ServerChannel:   true, Name: "Überall", Unique: bytes.Repeat([]byte{7}, uniqueSize), MemberUpdates: true,
		BootstrapAddrs: []BootstrapAddr{{Peer: PeerID{5}, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1935"), netip.MustParseAddrPort("[2001:db8::1]:7")}}},
		IPMulticast: []IPMulticast{
			{Socket: netip.MustParseAddrPort("225.225.0.1:30303")},
			{Socket: netip.MustParseAddrPort("232.1.2.3:4000"), Source: netip.MustParseAddr("10.1.1.1")},
			{Socket: netip.MustParseAddrPort("[ff3e::1]:5000"), Source: netip.MustParseAddr("2001:db8::1")},
		},
		Bootstrap:   []PeerID{{1}, {2}},
		PublishAuth: "secret", PostingAuth: "wrong",
	}
}

// Whatever is written is read again, and writes the same text.
func TestSpecRoundTrip(t *testing.T) {
	made, err := NewSpec(fullFields())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{made.String(), strings.ToUpper(made.String()), " " + made.String() + "\n"} {
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != made.String() || s.ID() != made.ID() {
			t.Errorf("%q: read as %q", text, s)
		}
		if len(s.IPMulticast) != 3 || s.IPMulticast[2].Source != fullFields().IPMulticast[2].Source ||
			len(s.Bootstrap) != 2 || s.Bootstrap[1] != (PeerID{2}) || string(s.PublishPassword.Salt) != "salt" {
			t.Errorf("fields: %+v", s.SpecFields)
		}
		if !s.MayPublish() || s.MayPost() {
			t.Errorf("may publish %v, may post %v; want true, false", s.MayPublish(), s.MayPost())
		}
	}
	// A spec without authorizations names the same group, and they can be
	// appended to it.
	bare, err := ParseSpec(made.WithoutAuthorizations())
	if err != nil || bare.ID() != made.ID() || bare.MayPublish() {
		t.Errorf("without authorizations: %v, same group %v, may publish %v", err, bare.ID() == made.ID(), bare.MayPublish())
	}
	again, err := ParseSpec(bare.String() + made.Authorizations())
	if err != nil || again.String() != made.String() {
		t.Errorf("with authorizations appended: %v, %v", again, err)
	}
}

// Each field of the identity makes another group; the rest does not.
func TestSpecIdentity(t *testing.T) {
	base := mustSpec(SpecFields{Name: "a"})
	for name, c := range map[string]struct {
		change func(*SpecFields)
		same   bool
	}{
		"name":        {func(f *SpecFields) { f.Name = "b" }, false},
		"multicast":   {func(f *SpecFields) { f.Multicast = true }, false},
		"posting":     {func(f *SpecFields) { f.Posting = true }, false},
		"routing":     {func(f *SpecFields) { f.Routing = true }, false},
		"replication": {func(f *SpecFields) { f.Replication = true }, false},
		"channel":     {func(f *SpecFields) { f.ServerChannel = true }, false},
		"updates":     {func(f *SpecFields) { f.MemberUpdates = true }, false},
		"password":    {func(f *SpecFields) { f.PublishPassword = HashPassword("x", nil) }, false},
		"unique":      {func(f *SpecFields) { f.Unique = []byte{1} }, false},
		"version":     {func(f *SpecFields) { f.Version = 1 }, false},
		"bootstrap":   {func(f *SpecFields) { f.Bootstrap = []PeerID{{9}} }, true},
		"auth":        {func(f *SpecFields) { f.PublishAuth = "x" }, true},
	} {
		f := SpecFields{Name: "a"}
		c.change(&f)
		if got := mustSpec(f).ID() == base.ID(); got != c.same {
			t.Errorf("%s: same group %v, want %v", name, got, c.same)
		}
	}
}

func TestSpecErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
		says string
	}{
		{"", ErrSpecSyntax, "empty"},
		{"H:00", ErrSpecSyntax, `begins with "H:00"`},
		{"G:xy", ErrSpecSyntax, `character 3 is 'x'`},
		{"G:027f0", ErrSpecSyntax, "odd number"},
		{"G:027f02", ErrSpecSyntax, "cut off"},
		{"G:057f02", ErrSpecSyntax, "incomplete"},
		{"G:00", ErrSpecName, "needs one"},
		{"G:027f03050e7465737400", ErrSpecVersion, "newer program"},
		{"G:017f050e7465737400", ErrSpecSyntax, "version"},
		{"G:050e7465737403050102" + "00", ErrSpecSyntax, "password hash"},
		{"G:050e7465737400040b010203", ErrSpecSyntax, "bootstrap peer id"},
		{"G:050e7465737400030a0102", ErrSpecSyntax, "IP multicast"},
		{"G:050e7465737400090b01", ErrSpecSyntax, "incomplete"},
		{"G:020eff00", ErrSpecSyntax, "UTF-8"},
		{"G:" + strings.Repeat("00", MaxSpecText), ErrSpecSyntax, "no more than"},
	} {
		s, err := ParseSpec(c.text)
		if s != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: got %v, %v; want an error that is %q and says %q", c.text, s, err, c.want, c.says)
		}
	}
	for name, f := range map[string]SpecFields{
		"no name":          {},
		"version 3":        {Name: "a", Version: 3},
		"no way to anyone": {Name: "a", NoPeerToPeer: true},
		"not multicast":    {Name: "a", IPMulticast: []IPMulticast{{Socket: netip.MustParseAddrPort("10.0.0.1:1")}}},
		"mixed families": {Name: "a", IPMulticast: []IPMulticast{{
			Socket: netip.MustParseAddrPort("225.0.0.1:1"), Source: netip.MustParseAddr("::1")}}},
	} {
		if s, err := NewSpec(f); err == nil {
			t.Errorf("%s: made %v", name, s)
		}
	}
}

// Options that are not known survive in the identity and in the extras.
func TestSpecUnknownOptions(t *testing.T) {
	const text = "G:050e7465737402610500036201ff"
	s, err := ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	if s.String() != text || len(s.UnknownKinds) != 2 || s.UnknownKinds[0] != 0x61 {
		t.Errorf("got %v with unknown %x, want %s", s, s.UnknownKinds, text)
	}
}

func TestSpecExplain(t *testing.T) {
	f := fullFields()
	s := mustSpec(f)
	var all strings.Builder
	for _, l := range s.Explain() {
		if l.Label == "" || l.Text == "" {
			t.Errorf("empty line %+v", l)
		}
		all.WriteString(l.Label + ": " + l.Text + "\n")
	}
	for _, want := range []string{
		"name: Überall", "group id: ", "carries: streams, posts, directed routing, object replication",
		"publishing: needs a password, which this text carries", "posting: needs a password, and this text carries a wrong one",
		"IP multicast: 232.1.2.3:4000 from 10.1.1.1", "bootstrap peer: 02", "unique tag: 0707",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("explanation lacks %q:\n%s", want, all.String())
		}
	}
	if strings.Contains(all.String(), "secret") {
		t.Error("explanation shows a password")
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add(vectorSpec)
	f.Add(mustSpec(fullFields()).String())
	f.Add("G:050e7465737402610500036201ff")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text)
		if err != nil {
			if s != nil || err.Error() == "" {
				t.Fatalf("both %v and %v", s, err)
			}
			return
		}
		again, err := ParseSpec(s.String())
		if err != nil || again.ID() != s.ID() || again.String() != s.String() {
			t.Fatalf("%q is read as %q, which is read as %v, %v", text, s, again, err)
		}
		if len(s.Explain()) == 0 {
			t.Fatal("no explanation")
		}
	})
}
