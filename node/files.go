package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"mime"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node/store"
	"rtmfp/replication"
	"rtmfp/replication/content"
)

// Hash names a file: its BLAKE3 hash.
type Hash = content.Hash

// FileLink is all that one needs in order to get a file; see content.ParseLink.
type FileLink = content.Link

// Manifest is what is known of a file beside its bytes.
type Manifest = content.Manifest

// Errors of files.
var (
	// ErrNoStore says that the node was started without a store.
	ErrNoStore = errors.New("the node has no store for files")
	// ErrOtherGroup says that a link is to a file in another group.
	ErrOtherGroup = errors.New("the file is in another group")
	// ErrNoFile says that nobody who answered has published the name.
	ErrNoFile = errors.New("no such file")
)

// Objects are the files of a group: shared by members, and found by name and
// hash. Every file in the node's store is given to members who ask for it by
// its hash.
type Objects struct{ g *Group }

// Objects returns the group's files. They need a store (Config.Store), and a
// groupspec that permits object replication.
func (g *Group) Objects() *Objects { return &Objects{g} }

// ShareOptions say how a file is shared. The zero options share it where it
// lies, under its own name.
type ShareOptions struct {
	// Copy copies the file into the store instead of sharing it where it lies.
	Copy bool

	// Name is what the file is called. Default: the last part of the path.
	Name string

	// MediaType is the file's. Default: by the ending of the name.
	MediaType string

	// Origins are http and https URLs that have the same file.
	Origins []string

	// Progress is told how many bytes have been read, if it is not nil.
	Progress func(done, total int64)
}

// Share gives a file, or all files under a directory, to the members that ask
// for it, now and as long as the store has it. It returns when the file has
// been read and hashed.
func (o *Objects) Share(ctx context.Context, path string, opt ShareOptions) (FileLink, error) {
	f, err := o.files()
	if err != nil {
		return FileLink{}, fmt.Errorf("share %s: %w", path, err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return FileLink{}, fmt.Errorf("share: %w", err)
	}
	add := store.AddOptions{
		InPlace: !opt.Copy, Name: opt.Name, MediaType: opt.MediaType, Origins: opt.Origins, Pin: true, Progress: opt.Progress,
	}
	var info store.Info
	if st.IsDir() {
		info, err = f.store.AddDirectory(ctx, path, add)
	} else {
		if add.Name == "" {
			add.Name = content.CleanName(filepath.Base(path))
		}
		if add.MediaType == "" {
			add.MediaType = typeByName(add.Name)
		}
		info, err = f.store.Add(ctx, path, add)
	}
	if err == nil {
		err = f.offer(info.Manifest)
	}
	if err != nil {
		return FileLink{}, fmt.Errorf("share %s: %w", path, err)
	}
	return o.Link(info.Manifest), nil
}

// Link returns the link to a file of the group. It has no passwords and grants
// of the groupspec in it.
func (o *Objects) Link(m Manifest) FileLink {
	l := FileLink{
		Hash: m.Hash, Size: m.Size, Name: m.Name, MediaType: m.MediaType,
		Group: o.g.spec.WithoutAuthorizations(), Origins: m.Origins,
	}
	for _, url := range o.g.node.cfg.Bootstrap {
		if len(l.Introducers) < maxLinkIntroducers {
			l.Introducers = append(l.Introducers, url)
		}
	}
	return l
}

// maxLinkIntroducers bounds how long links get.
const maxLinkIntroducers = 4

// typeByName returns a media type without parameters, "" if none is known.
func typeByName(name string) string {
	t, _, err := mime.ParseMediaType(mime.TypeByExtension(filepath.Ext(name)))
	if err != nil {
		return ""
	}
	return t
}

// PublishName lets members find a file under a name of this node's: later ones
// replace earlier ones. Members keep it for as long as the record's TTL.
func (o *Objects) PublishName(ctx context.Context, name string, m Manifest, options PutOptions) error {
	value, err := m.Append(nil)
	if err != nil {
		return fmt.Errorf("publish name %q: %w", name, err)
	}
	return o.g.PutRecord(ctx, nameRecord+name, value, options)
}

// nameRecord comes before a file's name in the name of its record.
const nameRecord = "file/"

// Resolve returns what a publisher has put under a name. The error wraps
// ErrNoFile if nobody knows of it.
func (o *Objects) Resolve(ctx context.Context, name string, publisher PeerID) (Manifest, error) {
	list, err := o.g.GetRecords(ctx, nameRecord+name, publisher)
	if err != nil {
		return Manifest{}, fmt.Errorf("resolve %q: %w", name, err)
	}
	if len(list) == 0 {
		return Manifest{}, fmt.Errorf("resolve %q: %w", name, ErrNoFile)
	}
	m, err := content.ParseManifest(list[0].Value)
	if err != nil {
		return Manifest{}, fmt.Errorf("resolve %q: %w", name, err)
	}
	return *m, nil
}

// files is the exchange of a node's stored files in one group.
type files struct {
	g     *Group
	store *store.Store
	box   *mailbox[fileJob]
	start sync.Once
	ctx   context.Context // ends with the membership
	stop  context.CancelFunc

	swarms map[replication.CollectionID]*fileSwarm // the loop's
	slots  chan struct{}                           // files that are being fetched from origins
	spare  chan []byte                             // buffers with room for any block and its proof
}

// Of jobs that wait for the disk; above these the core's events wait.
const (
	fileQueue      = 256
	fileQueueBytes = 16 << 20
)

// fileWorkers is how many goroutines read, write, and verify a group's files, and
// fileBatch how many jobs each does until the loop hears of it; fileSpares is how
// many buffers for blocks are kept to be used again.
const (
	fileWorkers = 2
	fileBatch   = 8
	fileSpares  = 32
)

func newFiles(g *Group, s *store.Store) *files {
	f := &files{
		g: g, store: s, box: newMailbox[fileJob](math.MaxInt, math.MaxInt),
		swarms: map[replication.CollectionID]*fileSwarm{}, slots: make(chan struct{}, originSlots),
		spare: make(chan []byte, fileSpares),
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

func (o *Objects) files() (*files, error) {
	if o.g.files == nil {
		return nil, ErrNoStore
	}
	if !o.g.spec.Replication {
		return nil, ErrNoReplication
	}
	return o.g.files, nil
}

// do has the loop call fn unless the membership is over.
func (f *files) do(fn func(now clock.Time) error) (err error) {
	if derr := f.g.node.do(func(now clock.Time) {
		if f.g.isDone() {
			err = ErrClosed
			return
		}
		err = fn(now)
	}); derr != nil {
		return derr
	}
	return err
}

// fileSwarm is one file that members exchange.
type fileSwarm struct {
	f      *files
	hash   Hash
	size   int64
	blocks int
	core   *replication.Collection // the loop's

	mu       sync.Mutex
	users    int             // Files that are open and want all of it
	here     replication.Set // blocks
	arrived  chan struct{}   // closed at the next block
	err      error           // why it can't go on
	received uint64          // bytes of blocks that came
	bad      uint64          // blocks that were not what they should be
	fetched  uint64          // bytes that came from origins

	origins    []string // web servers that have the file
	fromOrigin bool     // somebody sees to it that they are asked
	asking     atomic.Bool
}

// swarm returns the exchange of a file of the store, which begins if it is new.
func (f *files) swarm(h Hash) (*fileSwarm, error) {
	info, err := f.store.Info(h)
	if err != nil {
		return nil, err
	}
	have, err := f.store.Have(h)
	if err != nil {
		return nil, err
	}
	var s *fileSwarm
	err = f.do(func(now clock.Time) error {
		id := replication.CollectionID(h)
		if s = f.swarms[id]; s == nil {
			f.closeIdle(now)
			core, err := f.g.core.OpenFile(now, id)
			if err != nil {
				return err
			}
			s = &fileSwarm{f: f, hash: h, size: info.Manifest.Size, blocks: info.Blocks, core: core, arrived: make(chan struct{})}
			f.swarms[id] = s
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range have {
			r := Range{Start: uint64(r.From), End: uint64(r.To)}
			s.here.Add(r)
			if err := s.core.AddHave(now, r); err != nil {
				return err
			}
		}
		s.wake()
		return nil
	})
	return s, err
}

// offer begins the exchange of a file, or of a directory and the files in it,
// for which members may wait already. Who comes later is told when he asks.
func (f *files) offer(m Manifest) error {
	if _, err := f.swarm(m.Hash); err != nil || !m.IsDirectory() {
		return err
	}
	d, err := f.store.Directory(m.Hash)
	if err != nil {
		return err
	}
	for _, e := range d.Entries[:min(len(d.Entries), maxIdle)] {
		if _, err := f.swarm(e.Hash); err != nil {
			return err
		}
	}
	return nil
}

// maxIdle bounds the files that nobody wants and whose exchange is open.
const maxIdle = 1024

// closeIdle ends the exchange of files that nobody wants, here or elsewhere,
// when there are many. Who asks again has it opened again.
func (f *files) closeIdle(now clock.Time) {
	if len(f.swarms) < maxIdle {
		return
	}
	for id, s := range f.swarms { // order-free
		s.mu.Lock()
		used := s.users > 0
		s.mu.Unlock()
		if _, wanters := s.core.Sources(); wanters == 0 && !used {
			f.g.core.CloseFile(now, s.core)
			delete(f.swarms, id)
		}
	}
}

// fileJob is something that needs the disk.
type fileJob struct {
	kind    replication.EventKind
	swarm   *fileSwarm
	id      replication.CollectionID
	index   uint64
	data    []byte
	memory  []byte // data is in it
	link    group.LinkID
	request replication.RequestID
}

// take gives an event of the core to the workers, and reports whether it was
// about a file. The loop calls it.
func (f *files) take(ev replication.Event) bool {
	job := fileJob{kind: ev.Kind, id: ev.ID, index: ev.Index, data: ev.Data, memory: ev.Memory, link: ev.Link, request: ev.Request}
	if ev.Kind != replication.Sought {
		s := f.swarms[ev.Collection.ID()]
		if s == nil || s.core != ev.Collection {
			return false
		}
		job.swarm = s
	}
	f.start.Do(func() {
		for range fileWorkers {
			go f.work()
		}
	})
	f.box.add(job, len(ev.Data))
	return true
}

// full reports whether the workers have enough to do.
func (f *files) full() bool {
	n, bytes := f.box.size()
	return n >= fileQueue || bytes >= fileQueueBytes
}

// work does jobs until the membership ends. Several are answered in one turn of
// the loop.
func (f *files) work() {
	var replies []func(now clock.Time)
	for {
		job, _, err := f.box.wait(f.ctx)
		if err != nil {
			return
		}
		for {
			if reply := f.handle(job); reply != nil {
				replies = append(replies, reply)
			}
			if len(replies) == fileBatch {
				break
			}
			next, ok, err := f.box.try()
			if !ok || err != nil {
				break
			}
			job = next.item
		}
		_ = f.do(func(now clock.Time) error {
			for _, reply := range replies {
				reply(now)
			}
			return nil
		})
		clear(replies)
		replies = replies[:0]
	}
}

// handle does one job and returns what the loop is to do about it.
func (f *files) handle(job fileJob) func(now clock.Time) {
	switch job.kind {
	case replication.Sought:
		// Who seeks what is not here has to look elsewhere.
		_, _ = f.swarm(Hash(job.id))
	case replication.Requested:
		return job.swarm.answer(job)
	case replication.Fetched:
		return job.swarm.accept(job)
	}
	return nil
}

// A block travels as a byte that counts the hashes of its proof, these, and the
// block (docs/files.md).

// front is what such a message has room for before the proof and the block.
const front = replication.HeadRoom + 1

// answer reads a block that a neighbor asked for.
func (s *fileSwarm) answer(job fileJob) func(now clock.Time) {
	var msg []byte
	select {
	case msg = <-s.f.spare:
	default:
		msg = make([]byte, front+content.MaxProof+content.BlockSize)
	}
	data, proof, err := s.f.store.ReadBlock(s.hash, int(job.index), content.MaxProof/content.HashSize, msg[front:])
	if err != nil {
		s.f.keep(msg)
		r := Range{Start: job.index, End: job.index + 1}
		if errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound) {
			r = Range{Start: 0, End: uint64(s.blocks)}
		}
		s.mu.Lock()
		s.here.Remove(r)
		s.mu.Unlock()
		return func(now clock.Time) {
			_ = s.f.g.core.objects.Deny(now, job.request)
			_ = s.core.RemoveHave(now, r)
			if s.wanted() { // what the disk has lost is fetched again
				_ = s.core.AddWant(now, r)
			}
		}
	}
	msg[front-1] = byte(len(proof) / content.HashSize) // the proof and the block are behind it
	return func(now clock.Time) {
		sent := func() { s.f.keep(msg) }
		if s.f.g.core.objects.AnswerShared(now, job.request, msg[:front+len(proof)+len(data)], sent) != nil {
			sent() // it was taken back meanwhile
		}
	}
}

// keep keeps a buffer of answer's for the next.
func (f *files) keep(msg []byte) {
	select {
	case f.spare <- msg:
	default:
	}
}

// accept verifies and writes a block that has come.
func (s *fileSwarm) accept(job fileJob) func(now clock.Time) {
	err := content.ErrInvalid
	if len(job.data) > 0 {
		if n := int(job.data[0]) * content.HashSize; n <= content.MaxProof && len(job.data) > n {
			err = s.f.store.WriteBlock(s.hash, int(job.index), job.data[1+n:], job.data[1:1+n])
		}
	}
	switch {
	case errors.Is(err, content.ErrInvalid):
		s.mu.Lock()
		s.bad++
		s.mu.Unlock()
		return func(now clock.Time) { s.core.Bad(now, job.index, job.link) }
	case err != nil:
		s.fail(err)
		return func(now clock.Time) { _ = s.core.RemoveWant(now, Range{Start: 0, End: uint64(s.blocks)}) }
	}
	s.mu.Lock()
	s.here.Add(Range{Start: job.index, End: job.index + 1})
	s.received += uint64(len(job.data))
	s.wake()
	s.mu.Unlock()
	return func(now clock.Time) {
		_ = s.core.AddHave(now, Range{Start: job.index, End: job.index + 1})
		s.f.g.core.objects.Recycle(job.memory)
	}
}

func (s *fileSwarm) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users > 0
}

// fail ends all downloads of the file with an error of the disk.
func (s *fileSwarm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.wake()
	}
}

// wake has those who wait look again. The caller holds mu.
func (s *fileSwarm) wake() {
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// missing returns how many blocks are not here. The caller holds mu.
func (s *fileSwarm) missing() int { return s.blocks - int(s.here.Count()) }
