package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	groups "rtmfp/group"
	"rtmfp/node"
	"rtmfp/node/store"
)

// rtmfpSwarm is a group whose first member is the seed.
type rtmfpSwarm struct {
	link   string
	nodes  []*node.Node
	groups []*node.Group
	stores []*store.Store
}

func startRTMFP(ctx context.Context, w *Work) (group, error) {
	spec, err := groups.NewSpec(groups.SpecFields{Name: "peers", Version: 2, Replication: true, ServerChannel: true})
	if err != nil {
		return nil, err
	}
	s := &rtmfpSwarm{}
	for i := range w.Leechers + 1 {
		dir := filepath.Join(w.Dir, fmt.Sprint("store", i))
		kept, err := store.Open(dir, store.Options{})
		if err != nil {
			s.Close()
			return nil, err
		}
		s.stores = append(s.stores, kept)
		cfg := node.Config{Listen: "127.0.0.1:0", Introduce: i == 0, Store: kept, UploadLimit: w.Limit}
		if i > 0 {
			cfg.Bootstrap = []string{"rtmfp://" + s.nodes[0].Addr().String()}
		}
		n, err := node.Start(ctx, cfg)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.nodes = append(s.nodes, n)
		g, err := n.Join(ctx, spec.String())
		if err != nil {
			s.Close()
			return nil, err
		}
		s.groups = append(s.groups, g)
	}
	l, err := s.groups[0].Objects().Share(ctx, w.seedFile(), node.ShareOptions{})
	if err == nil {
		s.link, err = l.Text()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	// Members of a group are linked all the time; clients of a torrent are not
	// before they have one in common, but a link takes them a millisecond.
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		linked := true
		for _, g := range s.groups {
			linked = linked && g.Stats().Neighbors >= min(w.Leechers, 6)
		}
		if linked {
			return s, nil
		}
	}
	var counts []int
	for _, g := range s.groups {
		counts = append(counts, g.Stats().Neighbors)
	}
	s.Close()
	return nil, fmt.Errorf("the members did not link with each other: they have %v neighbors", counts)
}

func (s *rtmfpSwarm) Fetch(ctx context.Context, i int, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := s.groups[i+1].Objects().Open(ctx, s.link)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Wait(ctx); err != nil {
		return err
	}
	return f.Export(ctx, path, store.ExportOptions{Move: true})
}

func (s *rtmfpSwarm) SeedSent() int64 { return int64(s.groups[0].Stats().Total.Objects.Sent) }

func (s *rtmfpSwarm) Close() {
	for _, n := range s.nodes {
		n.Close()
	}
	for _, k := range s.stores {
		k.Close()
	}
}
