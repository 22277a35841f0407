package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"rtmfp/node"
	"rtmfp/node/filelock"
)

// identityNone asks for a fresh identity that is kept nowhere.
const identityNone = "none"

// errIdentityInUse says that a live process holds the identity.
var errIdentityInUse = errors.New("in use by another process")

// defaultIdentity returns the file that keeps the identity of this user's node.
func defaultIdentity() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the identity (%w); name a file with --identity, or use --identity none", err)
	}
	return filepath.Join(dir, "rtmfp-node", "identity"), nil
}

// useIdentity gives cfg the identity that the flag asks for and returns what
// holds it for this process: two nodes with one identity would answer for each
// other. A file that was named and is taken is an error; the default file then
// yields to a fresh identity with a notice, so that a second command on the
// same machine just works.
func useIdentity(cfg *node.Config, flag string, notice func(format string, args ...any)) (io.Closer, error) {
	if flag == identityNone {
		return io.NopCloser(nil), nil
	}
	path := flag
	if path == "" {
		var err error
		if path, err = defaultIdentity(); err != nil {
			return nil, err
		}
	}
	hold, err := lockIdentity(path)
	if errors.Is(err, errIdentityInUse) {
		if flag != "" {
			return nil, failf(exitFailure, "identity %s is in use by another process; give this one another file with --identity, or --identity none", path)
		}
		notice("identity %s is in use by another process; this one gets a fresh identity for this run", path)
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", path, err)
	}
	if cfg.Identity, err = node.LoadIdentity(path); err != nil {
		hold.Close()
		return nil, err
	}
	return hold, nil
}

// lockIdentity takes the identity at path for this process. The lock is on a
// file of its own beside it, so that the identity itself may be replaced.
func lockIdentity(path string) (io.Closer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	taken, err := filelock.Try(f)
	if err == nil && !taken {
		err = errIdentityInUse
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
