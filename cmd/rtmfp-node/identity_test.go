package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtmfp/node"
)

// TestIdentity follows an identity file through its first use, a second
// process while the first one lives, and a third one afterwards.
func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "identity")
	silent := func(format string, args ...any) { t.Errorf("notice: "+format, args...) }

	var first node.Config
	hold, err := useIdentity(&first, path, silent)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode of the file: got %o, want 600", got)
	}

	_, err = useIdentity(new(node.Config), path, silent)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--identity") {
		t.Errorf("while in use: got %v, want an error that names the file and the flag", err)
	}

	hold.Close()
	var third node.Config
	hold, err = useIdentity(&third, path, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	if got, want := third.Identity.PeerID(), first.Identity.PeerID(); got != want {
		t.Errorf("peer id after a restart: got %v, want %v", got, want)
	}
}

// TestDefaultIdentity checks that a second process on the machine gets a fresh
// identity and is told.
func TestDefaultIdentity(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("AppData", home)

	notices := 0
	count := func(string, ...any) { notices++ }
	var first, second, none node.Config
	hold, err := useIdentity(&first, "", count)
	if err != nil || first.Identity == nil || notices != 0 {
		t.Fatalf("first process: got error %v, identity %v, %d notices; want an identity and no notice", err, first.Identity, notices)
	}
	defer hold.Close()
	other, err := useIdentity(&second, "", count)
	if err != nil || second.Identity != nil || notices != 1 {
		t.Fatalf("second process: got error %v, identity %v, %d notices; want none of its own and one notice", err, second.Identity, notices)
	}
	other.Close()
	if _, err := useIdentity(&none, identityNone, count); err != nil || none.Identity != nil || notices != 1 {
		t.Errorf("--identity none: got error %v, identity %v", err, none.Identity)
	}
}

// TestLockIdentity checks that a lock ends with the file that holds it.
func TestLockIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity")
	a, err := lockIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockIdentity(path); !errors.Is(err, errIdentityInUse) {
		t.Errorf("second lock: got %v, want %v", err, errIdentityInUse)
	}
	a.Close()
	b, err := lockIdentity(path)
	if err != nil {
		t.Errorf("after the first was closed: %v", err)
	} else {
		b.Close()
	}
}
