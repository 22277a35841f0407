package group

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"rtmfp/internal/element"
)

// ParseSpec reads a groupspec. White space around it is left out and the case
// of its digits does not matter. Errors wrap ErrSpecSyntax, ErrSpecVersion or
// ErrSpecName and say what to do.
//
// Options that are not known are kept: those of the identity because they are
// part of it, the others because newer members may understand them.
func ParseSpec(text string) (*Spec, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil, fmt.Errorf("%w: it is empty; make one with \"rtmfp-node group new --name NAME\"", ErrSpecSyntax)
	case len(text) > MaxSpecText:
		return nil, fmt.Errorf("%w: %d characters, but no more than %d are allowed", ErrSpecSyntax, len(text), MaxSpecText)
	case len(text) < 2 || text[0]|0x20 != 'g' || text[1] != ':':
		return nil, fmt.Errorf("%w: it begins with %q, but a groupspec begins with \"G:\"", ErrSpecSyntax, clip(text))
	}
	raw, err := decodeHex(text[2:])
	if err != nil {
		return nil, err
	}
	s := &Spec{}
	end, err := s.readIdentity(raw)
	if err != nil {
		return nil, err
	}
	if err := s.readExtras(raw[end+1:]); err != nil {
		return nil, err
	}
	s.canonical = "G:" + hex.EncodeToString(raw[:end])
	s.id = sha256.Sum256([]byte(s.canonical))
	if s.Version > 1 {
		s.id = sha256.Sum256(s.id[:])
	}
	return s, nil
}

func decodeHex(digits string) ([]byte, error) {
	for i := range len(digits) {
		if c := digits[i] | 0x20; (c < 'a' || c > 'f') && (digits[i] < '0' || digits[i] > '9') {
			return nil, fmt.Errorf("%w: character %d is %q, but after \"G:\" only hexadecimal digits may follow; copy the whole text and nothing else",
				ErrSpecSyntax, i+3, rune(digits[i]))
		}
	}
	if len(digits)%2 != 0 {
		return nil, fmt.Errorf("%w: an odd number of digits; a part was lost, copy it again", ErrSpecSyntax)
	}
	return hex.DecodeString(strings.ToLower(digits))
}

// readIdentity reads the options up to the end marker and returns its offset.
func (s *Spec) readIdentity(raw []byte) (end int, err error) {
	s.Version = 1
	names := 0
	for {
		if end == len(raw) {
			return 0, fmt.Errorf("%w: it ends before the 00 that closes its first part; it was cut off, copy it again", ErrSpecSyntax)
		}
		o, n := element.ConsumeOption(raw[end:])
		if n == 0 {
			return 0, fmt.Errorf("%w: the option at digit %d is incomplete; a part was lost, copy it again", ErrSpecSyntax, 2*end+3)
		}
		if o.Marker {
			if n != 1 {
				return 0, fmt.Errorf("%w: its first part is closed by a length of %d bytes", ErrSpecSyntax, n)
			}
			break
		}
		end += n
		switch o.Type {
		case specVersion:
			v, n := element.ConsumeVLU(o.Value)
			if n == 0 || v == 0 {
				return 0, fmt.Errorf("%w: it has no readable version", ErrSpecSyntax)
			}
			if v > MaxSpecVersion {
				return 0, fmt.Errorf("%w: it has version %d, this program knows up to %d; use a newer program", ErrSpecVersion, v, MaxSpecVersion)
			}
			s.Version = int(v)
		case specRouting:
			s.Routing = true
		case specMulticast:
			s.Multicast = true
		case specReplication:
			s.Replication = true
		case specPosting:
			s.Posting = true
		case specPublishPassword:
			s.PublishPassword, err = readPassword(o.Value)
		case specPostingPassword:
			s.PostingPassword, err = readPassword(o.Value)
		case specServerChannel:
			s.ServerChannel = true
		case specNoPeerToPeer:
			s.NoPeerToPeer = true
		case specName:
			if names++; names == 1 {
				s.Name = string(o.Value)
			} else {
				s.Unique = bytes.Clone(o.Value)
			}
		case specMemberUpdates:
			s.MemberUpdates = true
		case specGroupKey:
			s.GroupKey, err = readKey(o.Value)
		case specPublishKey:
			s.PublishKey, err = readKey(o.Value)
		case specPostingKey:
			s.PostingKey, err = readKey(o.Value)
		default:
			s.UnknownKinds = append(s.UnknownKinds, o.Type)
		}
		if err != nil {
			return 0, err
		}
	}
	if s.Name == "" {
		return 0, fmt.Errorf("%w: every group needs one", ErrSpecName)
	}
	if !utf8.ValidString(s.Name) {
		return 0, fmt.Errorf("%w: its name is not UTF-8", ErrSpecSyntax)
	}
	return end, nil
}

// readExtras reads what follows the identity: options without an end marker.
func (s *Spec) readExtras(raw []byte) error {
	for len(raw) > 0 {
		o, n := element.ConsumeOption(raw)
		if n == 0 {
			return fmt.Errorf("%w: an option after its first part is incomplete; a part was lost, copy it again", ErrSpecSyntax)
		}
		option := raw[:n]
		raw = raw[n:]
		if o.Marker {
			continue
		}
		switch o.Type {
		case specPublishAuth:
			s.PublishAuth = string(o.Value)
			s.auths = append(s.auths, option...)
			continue
		case specPostingAuth:
			s.PostingAuth = string(o.Value)
			s.auths = append(s.auths, option...)
			continue
		case specGrant:
			if len(s.Grants) == maxSpecList {
				return fmt.Errorf("%w: more than %d grants", ErrSpecSyntax, maxSpecList)
			}
			s.Grants = append(s.Grants, bytes.Clone(o.Value))
			s.auths = append(s.auths, option...)
			continue
		case specIPMulticast:
			m, ok := readIPMulticast(o.Value)
			if !ok {
				return fmt.Errorf("%w: an IP multicast address of %d bytes", ErrSpecSyntax, len(o.Value))
			}
			if len(s.IPMulticast) == maxSpecList {
				return fmt.Errorf("%w: more than %d IP multicast addresses", ErrSpecSyntax, maxSpecList)
			}
			s.IPMulticast = append(s.IPMulticast, m)
		case specBootstrap:
			if len(o.Value) != len(PeerID{}) {
				return fmt.Errorf("%w: a bootstrap peer id of %d bytes, want %d", ErrSpecSyntax, len(o.Value), len(PeerID{}))
			}
			if len(s.Bootstrap) == maxSpecList {
				return fmt.Errorf("%w: more than %d bootstrap peers", ErrSpecSyntax, maxSpecList)
			}
			s.Bootstrap = append(s.Bootstrap, PeerID(o.Value))
		case specSeed:
			b, ok := readSeed(o.Value)
			if !ok {
				return fmt.Errorf("%w: a bootstrap peer's addresses of %d bytes", ErrSpecSyntax, len(o.Value))
			}
			if len(s.BootstrapAddrs) == maxSpecList {
				return fmt.Errorf("%w: more than %d bootstrap peers with addresses", ErrSpecSyntax, maxSpecList)
			}
			s.BootstrapAddrs = append(s.BootstrapAddrs, b)
		default:
			s.UnknownKinds = append(s.UnknownKinds, o.Type)
		}
		s.extras = append(s.extras, option...)
	}
	return nil
}

// readKey reads an Ed25519 public key.
func readKey(v []byte) (ed25519.PublicKey, error) {
	if len(v) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: a key of %d bytes, want %d", ErrSpecSyntax, len(v), ed25519.PublicKeySize)
	}
	return bytes.Clone(v), nil
}

// readPassword splits a salt of any length from the hash that follows it.
func readPassword(v []byte) (*PasswordHash, error) {
	salt := len(v) - sha256.Size
	if salt < 0 {
		return nil, fmt.Errorf("%w: a password hash of %d bytes, want at least %d", ErrSpecSyntax, len(v), sha256.Size)
	}
	return &PasswordHash{Salt: bytes.Clone(v[:salt]), Hash: [sha256.Size]byte(v[salt:])}, nil
}

// readIPMulticast tells the four forms apart by their length: address and
// port, for IPv4 or IPv6, without or with a source.
func readIPMulticast(v []byte) (m IPMulticast, ok bool) {
	var size int
	switch len(v) {
	case 4 + 2, 4 + 2 + 4:
		size = 4
	case 16 + 2, 16 + 2 + 16:
		size = 16
	default:
		return m, false
	}
	ip, _ := netip.AddrFromSlice(v[:size])
	m.Socket = netip.AddrPortFrom(ip, uint16(v[size])<<8|uint16(v[size+1]))
	if rest := v[size+2:]; len(rest) > 0 {
		m.Source, _ = netip.AddrFromSlice(rest)
	}
	return m, true
}

// clip returns the beginning of a text, short enough for an error.
func clip(text string) string {
	if len(text) > 12 {
		return text[:12] + "…"
	}
	return text
}
