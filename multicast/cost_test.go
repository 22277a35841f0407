package multicast

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// nowhere is a Flows that takes everything and keeps nothing.
type nowhere struct{ flow group.FlowID }

func (n *nowhere) OpenFlow(clock.Time, group.LinkID, []byte, group.RecvID, group.Class) group.FlowID {
	n.flow++
	return n.flow
}
func (*nowhere) CloseFlow(clock.Time, group.FlowID)                {}
func (*nowhere) RejectFlow(clock.Time, group.RecvID)               {}
func (*nowhere) Send(clock.Time, group.FlowID, []byte, clock.Time) {}
func (*nowhere) Backlog(group.FlowID) int                          { return 0 }
func (*nowhere) LastHeard(group.LinkID) clock.Time                 { return 0 }
func (*nowhere) SlowStart(group.LinkID) bool                       { return false }
func (*nowhere) RTT(group.LinkID) time.Duration                    { return time.Millisecond }

// relay is one node between a publisher, link 1, and other members, all of
// which are played by the test.
type relay struct {
	svc   *Service
	sub   *Subscription
	now   clock.Time
	id    uint64
	epoch uint64
	msg   []byte
	state state
	far   int

	keys  Keys
	ready [][]byte // of a signed stream: the fragments to come, digests included
	next  uint64   // the id after them
}

const relayPayload = 940

// newRelay returns a node that watches a stream among far neighbors, of which
// the first feeds it and the next children are fed by it.
func newRelay(t testing.TB, far, children int) *relay {
	r := &relay{far: far, now: clock.Time(time.Second)}
	r.svc = New(Config{Rand: rand.New(rand.NewPCG(1, 1)), AllowUnsigned: true, Keys: newTestKeys(1)}, &nowhere{})
	for i := range far {
		r.svc.NeighborUp(r.now, group.LinkID(i+1), Member{Peer: group.PeerID{byte(i)}, Session: group.RecvID(1000 + i), Modern: true})
	}
	var err error
	if r.sub, err = r.svc.Play(r.now, "cam", PlayConfig{}); err != nil {
		t.Fatal(err)
	}
	d := describe("cam", Key{7}, StreamConfig{}.withDefaults())
	for i := range far {
		r.svc.FlowOpened(r.now, group.LinkID(i+1), r.control(i), metaControl, 0)
		r.svc.Message(r.now, r.control(i), appendDescription(nil, &d))
	}
	r.state.flags = stateTree | stateFull
	r.tell()
	r.svc.Advance(r.now)
	st := r.svc.streams[0]
	r.svc.FlowOpened(r.now, 1, 2000, metaMedia, st.peers[0].ctrlOut)
	for i := range children {
		r.svc.Message(r.now, r.control(i+1), appendAsk(nil, ask{mask: 0xff}))
	}
	return r
}

func (r *relay) control(i int) group.RecvID { return group.RecvID(100 + i) }

// tell has every neighbor say what it holds: the publisher everything, the
// others a bit less.
func (r *relay) tell() {
	for i := range r.far {
		st := r.state
		if st.newest = r.id; st.newest > 4 && i > 0 {
			st.newest -= 4
		}
		st.oldest = max(st.newest, 1300) - 1300
		for s := range st.routes {
			st.routes[s] = route{epoch: r.epoch, depth: uint8(min(i, 2))}
		}
		r.msg = appendState(r.msg[:0], &st)
		for range 4 {
			if st.newest > 40 {
				r.msg = append(r.msg, 0xff)
			}
		}
		r.svc.Message(r.now, r.control(i), r.msg)
	}
	r.state.flags = stateTree
	r.epoch++
}

// step has one more fragment come from the publisher.
func (r *relay) step() {
	r.now = r.now.Add(7520 * time.Microsecond)
	r.id++
	if r.id%13 == 0 {
		r.tell()
	}
	r.feed()
}

// sign makes the stream one that is signed.
func (r *relay) sign() {
	r.keys = newTestKeys(2)
	st := r.svc.streams[0]
	st.desc.author = &author{}
	st.desc.author.peer, st.desc.author.verify = r.keys.Author(r.keys.Certificate())
	r.next = 1
}

// prepare makes runs of four fragments.
func (r *relay) prepare(runs int) {
	st := r.svc.streams[0]
	for range runs {
		at := len(r.ready)
		r.ready = append(r.ready, nil)
		var hashes []fragmentHash
		for i := range uint64(4) {
			var payload [relayPayload]byte
			payload[0] = byte((r.next + i) % 133 / 132)
			msg := appendFragment(nil, fragment{id: r.next + 1 + i, start: true, typ: TypeOwn, payload: payload[:]})
			r.ready, hashes = append(r.ready, msg), append(hashes, st.hash(msg))
		}
		digest := appendDigest(nil, r.next, digestKey, 1, hashes)
		sig := r.keys.Sign(r.svc.toSign(runLabel, &st.desc.key, digest))
		r.ready[at] = append(digest, sig[:]...)
		r.next += 5
	}
}

// feedSigned has the publisher push the fragment r.id, and its digest before it.
func (r *relay) feedSigned() {
	for range 2 {
		if len(r.ready) == 0 {
			r.prepare(200)
		}
		msg := r.ready[0]
		f, _ := consumeFragment(msg)
		r.id, r.ready = f.id, r.ready[1:]
		r.svc.Message(r.now, 2000, msg)
		if !f.isDigest() {
			break
		}
	}
	r.svc.Advance(r.now)
}

// feed has the publisher push the fragment r.id.
func (r *relay) feed() {
	if r.keys != nil {
		r.feedSigned()
		return
	}
	var payload [relayPayload]byte
	payload[0] = byte(r.id % 133 / 132)
	r.msg = appendFragment(r.msg[:0], fragment{id: r.id, start: true, typ: TypeOwn, payload: payload[:]})
	r.svc.Message(r.now, 2000, r.msg)
	r.svc.Advance(r.now)
}

// Passing a fragment on to three children allocates nothing, maps, pulls, and
// all the rest included, once the window has been filled.
func TestRelayAllocatesNothing(t *testing.T) {
	for _, signed := range []bool{false, true} {
		r := newRelay(t, 6, 3)
		if signed {
			r.sign()
			r.prepare(1300)
		}
		for range 3000 {
			r.step()
		}
		if n := testing.AllocsPerRun(2000, r.step); n != 0 {
			t.Errorf("signed: %v: %v allocations per fragment", signed, n)
		}
		s := r.sub.Stats()
		if s.Fragments < 5000 || s.FragmentsPushedToPeers < 14000 || s.Missing != 0 || signed && s.Digests < 1200 {
			t.Errorf("signed: %v: the relay did not work: %+v", signed, s)
		}
	}
}

// Playing allocates nothing where frames are given back.
func TestPlayingAllocatesNothing(t *testing.T) {
	r := newRelay(t, 6, 3)
	frames := 0
	step := func() {
		r.step()
		for f, ok := r.sub.NextFrame(); ok; f, ok = r.sub.NextFrame() {
			if len(f.Data) != relayPayload-ownHeadSize || f.ID != r.id {
				t.Fatalf("frame %d has %d bytes after fragment %d", f.ID, len(f.Data), r.id)
			}
			r.sub.Reuse(f.Data)
			frames++
		}
	}
	for range 3000 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	if frames < 4500 {
		t.Errorf("%d frames were played", frames)
	}
}

func BenchmarkRelay(b *testing.B) {
	r := newRelay(b, 10, 3)
	for range 3000 {
		r.step()
	}
	b.ReportAllocs()
	for b.Loop() {
		r.step()
	}
}

// The same of a signed stream, in runs of four: what it takes longer is what it
// costs to verify a fragment.
func BenchmarkRelaySigned(b *testing.B) {
	r := newRelay(b, 10, 3)
	r.sign()
	for range 3000 {
		r.step()
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(r.ready) == 0 {
			b.StopTimer()
			r.prepare(2000)
			b.StartTimer()
		}
		r.step()
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"gap", unsafe.Sizeof(gap{}), 56},
		{"peer", unsafe.Sizeof(peer{}), 500},
	} {
		if c.got > c.want {
			t.Errorf("a %s takes %d bytes, more than %d", c.name, c.got, c.want)
		}
	}
}
