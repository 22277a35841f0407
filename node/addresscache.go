package node

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// The address cache is a file that remembers where members of groups were, so
// that a node finds its groups again though no introducer answers. It is
// bounded, forgets what is old, and is replaced as a whole, so that whoever reads
// it finds one version or another. Several processes may share it: each keeps
// what the others have written, unless both write in the same instant.

// Limits of the cache.
const (
	cacheGroups  = 64                  // the ones used last
	cacheMembers = 32                  // of one group
	cacheAddrs   = 4                   // of one member
	cacheTTL     = 14 * 24 * time.Hour // since it was last linked with
	cacheSize    = 4 << 20             // bytes; a longer file is not ours
	cacheFirst   = 2 * time.Second     // after the first neighbor the cache is written,
	cacheEvery   = 5 * time.Minute     // and then this often
)

// addressFile is the file's content, as JSON.
type addressFile struct {
	Version int                        `json:"version"` // 1
	Groups  map[string][]cachedAddress `json:"groups"`  // by group id, in hexadecimal digits
}

// cachedAddress is a member that a node was linked with.
type cachedAddress struct {
	Peer      string           `json:"peer"`
	Addresses []netip.AddrPort `json:"addresses"`
	Worked    time.Time        `json:"worked"` // last
}

// readAddresses reads a cache. One that is not there is empty; one that can't be
// understood is an error, and empty too.
func readAddresses(path string) (addressFile, error) {
	empty := addressFile{Version: 1, Groups: map[string][]cachedAddress{}}
	if info, err := os.Stat(path); err == nil && info.Size() > cacheSize {
		return empty, fmt.Errorf("address cache %s: %d bytes are too many", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("address cache: %w", err)
	}
	f := addressFile{}
	if err := json.Unmarshal(data, &f); err != nil || f.Version != 1 || f.Groups == nil {
		return empty, fmt.Errorf("address cache %s: not one, or of a newer version", path)
	}
	return f, nil
}

// keep adds what worked, and drops what is old or too much.
func (f *addressFile) keep(id string, worked []cachedAddress, now time.Time) {
	list := slices.Clone(worked)
	for _, old := range f.Groups[id] {
		if !slices.ContainsFunc(worked, func(c cachedAddress) bool { return c.Peer == old.Peer }) {
			list = append(list, old)
		}
	}
	f.Groups[id] = list
	for id, list := range f.Groups {
		list = slices.DeleteFunc(list, func(c cachedAddress) bool { return now.Sub(c.Worked) > cacheTTL || c.Worked.After(now.Add(time.Hour)) })
		slices.SortStableFunc(list, func(a, b cachedAddress) int { return b.Worked.Compare(a.Worked) })
		list = list[:min(len(list), cacheMembers)]
		for i := range list {
			list[i].Addresses = list[i].Addresses[:min(len(list[i].Addresses), cacheAddrs)]
		}
		if f.Groups[id] = list; len(list) == 0 {
			delete(f.Groups, id)
		}
	}
	ids := slices.SortedFunc(maps.Keys(f.Groups), func(a, b string) int {
		return f.Groups[b][0].Worked.Compare(f.Groups[a][0].Worked)
	})
	for _, id := range ids[min(len(ids), cacheGroups):] {
		delete(f.Groups, id)
	}
}

// write replaces the file.
func (f *addressFile) write(path string) error {
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	t, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // readable by its owner only
	if err != nil {
		return err
	}
	_, err = t.Write(append(data, '\n'))
	if err == nil {
		err = t.Sync()
	}
	if err = errors.Join(err, t.Close()); err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		os.Remove(t.Name())
	}
	return err
}

// cachedSeed is a member to begin with.
type cachedSeed struct {
	peer  group.PeerID
	addrs []element.Address
}

// cachedSeeds returns what the cache has of a group.
func (n *Node) cachedSeeds(spec *group.Spec) []cachedSeed {
	if n.cfg.AddressCache == "" {
		return nil
	}
	f, err := readAddresses(n.cfg.AddressCache)
	if err != nil {
		n.log.Warn("starting with an empty address cache", "err", err)
		return nil
	}
	id := spec.ID()
	f.keep(hex.EncodeToString(id[:]), nil, time.Now())
	var seeds []cachedSeed
	for _, c := range f.Groups[hex.EncodeToString(id[:])] {
		peer, err := hex.DecodeString(c.Peer)
		if err != nil || len(peer) != len(group.PeerID{}) {
			continue
		}
		s := cachedSeed{peer: group.PeerID(peer)}
		for _, a := range c.Addresses {
			s.addrs = append(s.addrs, element.Address{AddrPort: a, Origin: element.OriginObserved})
		}
		seeds = append(seeds, s)
	}
	return seeds
}

// worked returns the members that a group is linked with, introducers first,
// then those that have been neighbors for longest. The loop calls it.
func (g *Group) worked(at time.Time) []cachedAddress {
	views := g.core.group.ViewNeighbors()
	slices.SortStableFunc(views, func(a, b group.NeighborView) int {
		ai, bi := a.Features&group.FeatureIntroduce != 0, b.Features&group.FeatureIntroduce != 0
		switch {
		case ai && !bi:
			return -1
		case bi && !ai:
			return 1
		}
		return int(a.Since.Sub(b.Since))
	})
	var list []cachedAddress
	for _, v := range views[:min(len(views), cacheMembers)] {
		if a := (groupLinks{g.core, flowGroup}).FarAddr(v.Link); a.IsValid() {
			list = append(list, cachedAddress{hex.EncodeToString(v.Peer[:]), []netip.AddrPort{a}, at})
		}
	}
	return list
}

// saveLater has the cache written a while from now, again and again. The loop
// calls it when there is a first neighbor.
func (n *Node) saveLater(d time.Duration) {
	if n.cfg.AddressCache == "" || n.saving != nil {
		return
	}
	n.saving = time.AfterFunc(d, func() {
		n.saveAddresses()
		_ = n.do(func(clock.Time) {
			n.saving = nil
			n.saveLater(cacheEvery)
		})
	})
}

// saveAddresses writes the cache. Any goroutine may call it.
func (n *Node) saveAddresses() {
	if n.cfg.AddressCache == "" {
		return
	}
	n.cacheMu.Lock()
	defer n.cacheMu.Unlock()
	now := time.Now().UTC().Truncate(time.Second)
	worked := map[string][]cachedAddress{}
	if n.do(func(clock.Time) {
		for _, g := range n.groups {
			if list := g.worked(now); len(list) > 0 {
				id := g.spec.ID()
				worked[hex.EncodeToString(id[:])] = list
			}
		}
	}) != nil || len(worked) == 0 {
		return
	}
	f, err := readAddresses(n.cfg.AddressCache)
	if err != nil {
		n.log.Warn("the address cache is begun anew", "err", err)
	}
	for _, id := range slices.Sorted(maps.Keys(worked)) {
		f.keep(id, worked[id], now)
	}
	if err := f.write(n.cfg.AddressCache); err != nil {
		n.log.Warn("can't write the address cache", "err", err)
	}
}
