package node

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The cache is bounded in every direction, forgets what is old, and keeps what
// other processes wrote.
func TestAddressFileBounds(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(name string, d time.Duration) cachedAddress {
		return cachedAddress{name, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}, now.Add(-d)}
	}
	f := addressFile{Version: 1, Groups: map[string][]cachedAddress{}}
	f.keep("a", []cachedAddress{at("old", cacheTTL+time.Second), at("new", 0), at("middle", time.Hour), at("future", -48*time.Hour)}, now)
	if got := fmt.Sprint(f.Groups["a"][0].Peer, f.Groups["a"][1].Peer, len(f.Groups["a"])); got != "newmiddle2" {
		t.Errorf("got %v, want the newest first and nothing old or of the future", f.Groups["a"])
	}
	f.keep("a", []cachedAddress{at("middle", 0)}, now)
	if len(f.Groups["a"]) != 2 || !f.Groups["a"][0].Worked.Equal(now) || !f.Groups["a"][1].Worked.Equal(now) {
		t.Errorf("a member that was there again: got %v", f.Groups["a"])
	}
	var many []cachedAddress
	for i := range 3 * cacheMembers {
		c := at(fmt.Sprint(i), time.Duration(i)*time.Minute)
		for range 10 {
			c.Addresses = append(c.Addresses, c.Addresses[0])
		}
		many = append(many, c)
	}
	f.keep("b", many, now)
	if got := f.Groups["b"]; len(got) != cacheMembers || got[0].Peer != "0" || len(got[0].Addresses) != cacheAddrs {
		t.Errorf("a large group: %d members, the first %v", len(got), got[0])
	}
	for i := range 2 * cacheGroups {
		f.keep(fmt.Sprint("g", i), []cachedAddress{at("x", time.Duration(2*cacheGroups-i)*time.Hour)}, now)
	}
	if _, there := f.Groups["a"]; len(f.Groups) != cacheGroups || !there {
		t.Errorf("%d groups, the one used last there: %v", len(f.Groups), there)
	}
	f.keep("a", nil, now.Add(2*cacheTTL))
	if len(f.Groups) != 0 {
		t.Errorf("%d groups after all that time", len(f.Groups))
	}
}

// A cache is replaced as a whole; what is no cache is an error and empty.
func TestAddressFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses")
	f, err := readAddresses(path)
	if err != nil || len(f.Groups) != 0 {
		t.Fatalf("none: %v, %v", f, err)
	}
	f.keep("a", []cachedAddress{{"p", []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:7")}, time.Now().UTC()}}, time.Now())
	for range 2 {
		if err := f.write(path); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("files: %v", left)
	}
	again, err := readAddresses(path)
	if err != nil || again.Groups["a"][0].Addresses[0].String() != "[2001:db8::1]:7" {
		t.Errorf("read again: %v, %v", again, err)
	}
	for name, text := range map[string]string{
		"cut off": `{"version":1,"groups":{"a":[`, "newer": `{"version":2,"groups":{}}`, "no groups": `{"version":1}`,
		"too long": fmt.Sprintf("%*d", cacheSize+1, 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := readAddresses(path); err == nil || len(f.Groups) != 0 {
			t.Errorf("%s: %v, %v; want an error and nothing", name, f, err)
		}
	}
	if err := f.write(filepath.Join(path, "below a file")); err == nil {
		t.Error("a folder that can't be made: no error")
	}
}
