package files

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/time/rate"
)

// torrentSwarm is clients of which the first is the seed, and which know of
// each other.
type torrentSwarm struct {
	w       *Work
	clients []*torrent.Client
	seed    *torrent.Torrent
	meta    metainfo.MetaInfo
}

func startTorrent(ctx context.Context, w *Work) (group, error) {
	s := &torrentSwarm{w: w}
	info := metainfo.Info{PieceLength: metainfo.ChoosePieceLength(w.Size)}
	if err := info.BuildFromFilePath(w.seedFile()); err != nil {
		return nil, err
	}
	var err error
	if s.meta.InfoBytes, err = bencode.Marshal(info); err != nil {
		return nil, err
	}
	for i := range w.Leechers + 1 {
		dir := filepath.Join(w.Dir, "seed")
		if i > 0 {
			dir = filepath.Join(w.Dir, fmt.Sprint("leecher", i-1))
		}
		cfg := torrent.NewDefaultClientConfig()
		cfg.DefaultStorage = storage.NewFileWithCompletion(dir, storage.NewMapPieceCompletion())
		cfg.DataDir = dir
		cfg.Seed = true
		cfg.NoDHT, cfg.DisableTrackers, cfg.DisablePEX, cfg.DisableIPv6, cfg.NoDefaultPortForwarding = true, true, true, true, true
		cfg.DisableUTP = true // TCP is what it is fastest with
		cfg.ListenHost = func(string) string { return "127.0.0.1" }
		cfg.ListenPort = 0
		cfg.Slogger = slog.New(slog.NewTextHandler(io.Discard, nil))
		if w.Limit > 0 {
			cfg.UploadRateLimiter = rate.NewLimiter(rate.Limit(w.Limit), 256<<10)
		}
		c, err := torrent.NewClient(cfg)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.clients = append(s.clients, c)
	}
	if s.seed, err = s.clients[0].AddTorrent(&s.meta); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.seed.VerifyDataContext(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *torrentSwarm) Fetch(ctx context.Context, i int, path string) error {
	t, err := s.clients[i+1].AddTorrent(&s.meta)
	if err != nil {
		return err
	}
	for k, c := range s.clients {
		if k != i+1 {
			t.AddClientPeer(c)
		}
	}
	t.DownloadAll()
	select {
	case <-t.Complete().On():
		return nil // at the path, under its name
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *torrentSwarm) SeedSent() int64 {
	st := s.seed.Stats()
	return st.BytesWrittenData.Int64()
}

func (s *torrentSwarm) Close() {
	for _, c := range s.clients {
		c.Close()
	}
}
