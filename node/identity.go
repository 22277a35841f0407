package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rtmfp/transport/crypto"
)

// NewIdentity makes a fresh modern identity, with a key that signs what its
// holder posts.
func NewIdentity() (*crypto.Identity, error) {
	return crypto.NewIdentity(rand.Reader, crypto.IdentityOptions{Sign: true})
}

// LoadIdentity reads the identity kept in the file at path, and makes the file
// (mode 0600, with its folders) on first use. A file that is not an identity
// is left as it is and reported.
func LoadIdentity(path string) (*crypto.Identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	id := new(crypto.Identity)
	if err := id.UnmarshalText(text); err != nil {
		return nil, fmt.Errorf("%s does not hold an identity (%w); move it away to have a new one made", path, err)
	}
	return id, nil
}

// createIdentity writes a new identity under a temporary name and links it in
// place, so that no reader sees half of it and of two writers one wins.
func createIdentity(path string) (*crypto.Identity, error) {
	id, err := NewIdentity()
	if err != nil {
		return nil, err
	}
	text, err := id.MarshalText()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for the identity: %w", err)
	}
	f, err := os.CreateTemp(dir, ".identity-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return LoadIdentity(path) // somebody else was first
	} else if err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	return id, nil
}
