package multicast

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"rtmfp/group"
)

// testKeys is an identity whose certificate is its public key.
type testKeys struct{ private ed25519.PrivateKey }

func newTestKeys(no byte) testKeys {
	return testKeys{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{no}, ed25519.SeedSize))}
}

func (k testKeys) Certificate() []byte { return k.private.Public().(ed25519.PublicKey) }

func (k testKeys) Sign(message []byte) (s [SignatureSize]byte) {
	copy(s[:], ed25519.Sign(k.private, message))
	return s
}

func (testKeys) Author(certificate []byte) (group.PeerID, func(message, signature []byte) bool) {
	if len(certificate) != ed25519.PublicKeySize {
		return group.PeerID{}, nil
	}
	return sha256.Sum256(certificate), func(message, signature []byte) bool {
		return ed25519.Verify(certificate, message, signature)
	}
}

// addSigning makes a node with a key.
func (w *network) addSigning(cfg Config) *testNode {
	cfg.Keys = newTestKeys(byte(len(w.nodes) + 1))
	return w.add(cfg, true)
}

// A signed stream reaches everybody, over bad links and in good time, and what the
// signatures take is 3 % of it.
func TestSignedStream(t *testing.T) {
	w := newNetwork(t, 5)
	w.latency = func(a, b *testNode) time.Duration { return time.Duration(5+a.no+b.no) * time.Millisecond }
	w.loss, w.jitter = 0.01, 3*time.Millisecond
	pub := w.addSigning(Config{})
	src := w.publish(pub, "cam", StreamConfig{}, 940, 4*time.Millisecond, 250)
	for range 10 {
		n := w.addSigning(Config{PushLimit: 2})
		n.play("cam")
		w.mesh(n)
		w.run(200 * time.Millisecond)
	}
	at := w.now
	w.run(10 * time.Second)
	src.stopped = true
	src.pub.Close(w.now)
	pub.turn()
	w.run(3 * time.Second)
	for _, n := range w.nodes[1:] {
		f, s := n.figures(at), n.sub.Stats()
		t.Logf("node %d: %v; dup %d pushed %d pulled %d, digests %d of %d bytes, pulled %d, %d fragments waited %v in all", n.no, f, s.Duplicates,
			s.FragmentsPushedFromPeers, s.FragmentsRequestedFromPeers, s.Digests, s.DigestBytes, s.DigestsPulled, s.Waited, s.WaitTime)
		if f.lost+f.outOfOrder > 0 || f.frames < 2400 || !n.sub.Ended() {
			t.Errorf("node %d: %v, ended: %v", n.no, f, n.sub.Ended())
		}
		if c := n.svc.Counters(); c.Bans+c.Forged+c.Altered+c.WaitingDropped > 0 {
			t.Errorf("node %d: %+v", n.no, c)
		}
		if f.max > 500*time.Millisecond || f.startup > time.Second {
			t.Errorf("node %d: delays %v", n.no, f)
		}
	}
	s := src.pub.Stats()
	if share := float64(s.DigestBytes) / float64(s.Fragments*957+s.DigestBytes); share > 0.03 {
		t.Errorf("signatures are %.4f of the bytes", share)
	}
}

// What a stranger says that is not the publisher's costs it the link at once, is
// counted for what it is, and nobody gets to see it.
func TestWhatIsRejected(t *testing.T) {
	type stage struct {
		w           *network
		src         *source
		n           *testNode
		ctrl, media group.RecvID
		run         [][]byte // a whole one that the node has not got yet: digest and fragments
	}
	resign := func(s *stage, k Keys, d digest, id uint64, epoch uint32, key *Key) []byte {
		var hashes []fragmentHash
		for h := d.hashes; len(h) > 0; h = h[hashSize:] {
			hashes = append(hashes, fragmentHash(h))
		}
		b := appendDigest(nil, id, 0, epoch, hashes)
		sig := k.Sign(s.n.svc.toSign(runLabel, key, b))
		return append(b, sig[:]...)
	}
	read := func(s *stage) digest {
		f, _ := consumeFragment(s.run[0])
		d, ok := consumeDigest(&f, s.run[0])
		if !ok {
			s.w.t.Fatal("no digest")
		}
		return d
	}
	send := func(s *stage, recv group.RecvID, msg []byte) {
		s.n.svc.Message(s.w.now, recv, msg)
		s.n.turn()
	}
	changed := func(msg []byte, at int) []byte {
		b := bytes.Clone(msg)
		b[(at+len(b))%len(b)] ^= 0x40
		return b
	}
	for _, c := range []struct {
		name   string
		attack func(s *stage)
		want   Counters
	}{
		{"the digest of somebody else", func(s *stage) {
			d := read(s)
			send(s, s.media, resign(s, newTestKeys(99), d, d.id, d.epoch, &s.src.pub.st.desc.key))
		}, Counters{Forged: 1, Bans: 1}},
		{"a digest of another stream of the publisher", func(s *stage) {
			d := read(s)
			key := Key{5}
			send(s, s.media, resign(s, s.src.node.svc.cfg.Keys, d, d.id, d.epoch, &key))
		}, Counters{Forged: 1, Bans: 1}},
		{"a digest with a later epoch", func(s *stage) {
			b := bytes.Clone(s.run[0])
			b[len(b)-SignatureSize-len(read(s).hashes)-1]++
			send(s, s.media, b)
		}, Counters{Forged: 1, Bans: 1}},
		{"a digest with another hash", func(s *stage) {
			send(s, s.media, changed(s.run[0], -SignatureSize-1))
		}, Counters{Forged: 1, Bans: 1}},
		{"a digest that is too short", func(s *stage) {
			send(s, s.media, s.run[0][:len(s.run[0])-1])
		}, Counters{Forged: 1, Bans: 1}},
		{"an altered payload", func(s *stage) {
			send(s, s.media, s.run[0])
			send(s, s.media, changed(s.run[1], -1))
		}, Counters{Altered: 1, Bans: 1}},
		{"an altered timestamp", func(s *stage) {
			send(s, s.media, s.run[0])
			f, _ := consumeFragment(s.run[1])
			f.timestamp++
			send(s, s.media, appendFragment(nil, f))
		}, Counters{Altered: 1, Bans: 1}},
		{"an altered count of pieces", func(s *stage) {
			send(s, s.media, s.run[0])
			f, _ := consumeFragment(s.run[1])
			f.pieces++
			send(s, s.media, appendFragment(nil, f))
		}, Counters{Altered: 1, Bans: 1}},
		{"swapped ids", func(s *stage) {
			send(s, s.media, s.run[0])
			a, _ := consumeFragment(s.run[1])
			b, _ := consumeFragment(s.run[2])
			a.id = b.id
			send(s, s.media, appendFragment(nil, a))
		}, Counters{Altered: 1, Bans: 1}},
		{"an altered payload before its digest", func(s *stage) {
			send(s, s.media, changed(s.run[1], -1))
			if c := s.n.svc.Counters(); c.Bans > 0 || len(s.n.svc.streams[0].waiting) != 1 {
				t.Errorf("before the digest: %+v, %d wait", c, len(s.n.svc.streams[0].waiting))
			}
			s.w.run(100 * time.Millisecond) // the digest comes from the publisher
		}, Counters{Altered: 1, Bans: 1}},
		{"a fragment in the place of the digest", func(s *stage) {
			f, _ := consumeFragment(s.run[1])
			f.id--
			send(s, s.media, appendFragment(nil, f))
			s.w.run(100 * time.Millisecond)
		}, Counters{Altered: 1, Bans: 1}},
		{"another version of what is there", func(s *stage) {
			st := s.n.svc.streams[0]
			send(s, s.media, changed(st.win.get(st.win.top), -1))
		}, Counters{Altered: 1, Bans: 1}},
		{"a forged end", func(s *stage) {
			st := s.n.svc.streams[0]
			sig := newTestKeys(99).Sign(st.endMessage(st.frontier))
			send(s, s.ctrl, appendEnd(nil, msgEnd, st.frontier, sig[:]))
		}, Counters{Forged: 1, Bans: 1}},
		{"an end without a signature", func(s *stage) {
			send(s, s.ctrl, appendEnd(nil, msgEnd, s.n.svc.streams[0].frontier, nil))
			send(s, s.ctrl, appendEnd(nil, msgDescription, s.n.svc.streams[0].frontier, nil))
		}, Counters{Unexpected: 2}},
		{"a forged epoch", func(s *stage) {
			lie := state{flags: stateTree}
			for i := range lie.routes {
				lie.routes[i] = route{epoch: s.src.pub.epoch + 100}
			}
			send(s, s.ctrl, appendState(nil, &lie))
			if st := s.n.svc.streams[0]; st.epochTop > s.src.pub.epoch {
				t.Errorf("epoch %d is believed, the publisher is at %d", st.epochTop, s.src.pub.epoch)
			}
		}, Counters{OutOfWindow: numSlices}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newNetwork(t, 3)
			w.latency = func(a, b *testNode) time.Duration { return 20 * time.Millisecond }
			s := &stage{w: w}
			pub := w.addSigning(Config{})
			s.src = w.publish(pub, "cam", StreamConfig{}, 940, 4*time.Millisecond, 25)
			s.n = w.addSigning(Config{})
			s.n.play("cam")
			w.link(pub, s.n)
			w.run(2 * time.Second)
			s.ctrl, s.media = stranger(s.n, &s.src.pub.st.desc)
			for len(s.run) == 0 { // to where a run has just gone out
				top := pub.svc.streams[0].win.top
				w.run(time.Millisecond)
				for id := top + 1; id <= pub.svc.streams[0].win.top; id++ {
					s.run = append(s.run, bytes.Clone(pub.svc.streams[0].win.get(id)))
				}
			}
			before := s.n.svc.Counters()
			c.attack(s)
			got := s.n.svc.Counters()
			got.SignaturesChecked, got.OutOfWindow = 0, got.OutOfWindow-before.OutOfWindow
			got.FlowsRefused -= before.FlowsRefused
			if got != c.want {
				t.Errorf("counters: got %+v, want %+v", got, c.want)
			}
			if st := s.n.svc.streams[0]; c.want.Bans > 0 && len(st.peers) != 1 {
				t.Errorf("the stranger is still there")
			}
			w.run(2 * time.Second)
			f := s.n.figures(0)
			if f.lost+f.outOfOrder > 0 || f.frames < 900 || s.n.sub.Ended() {
				t.Errorf("the picture: %v, ended: %v", f, s.n.sub.Ended())
			}
			genuine(t, s.n, 940)
		})
	}
}

// genuine fails if a node was shown anything that the source did not publish.
func genuine(t *testing.T, n *testNode, size int) {
	t.Helper()
	for _, f := range n.frames {
		if len(f.Data) != size || !bytes.Equal(f.Data[4:], make([]byte, size-4)) {
			t.Fatalf("node %d was shown a false frame at %v", n.no, f.at)
		}
	}
}

// A third of the members sends on everything altered. Nobody is shown any of it, or
// misses anything for long, and the polluters are cut off.
func TestPolluters(t *testing.T) {
	w := newNetwork(t, 8)
	w.latency = func(a, b *testNode) time.Duration { return time.Duration(3+(a.no*7+b.no*5)%20) * time.Millisecond }
	pub := w.addSigning(Config{})
	w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 200)
	for i := range 15 {
		n := w.addSigning(Config{PushLimit: 2})
		if i%3 == 1 {
			n.alter = func(msg []byte) { msg[len(msg)-1] ^= 1 }
		}
		n.play("cam")
		w.mesh(n)
		w.run(50 * time.Millisecond)
	}
	w.run(2 * time.Second)
	at := w.now
	w.run(scaled(6 * time.Second))
	for _, n := range w.nodes[1:] {
		if n.alter != nil {
			continue
		}
		f := n.figures(at)
		t.Logf("node %d: %v; %+v", n.no, f, n.svc.Counters())
		if f.lost+f.outOfOrder > 0 || f.frames < 800 || f.max > 500*time.Millisecond {
			t.Errorf("node %d: %v", n.no, f)
		}
		genuine(t, n, 940)
		for _, m := range n.svc.neighbors {
			for _, p := range w.nodes {
				if !m.banned && p.alter != nil && m.Peer == p.peer && n.svc.Counters().Bans == 0 {
					t.Errorf("node %d never saw through node %d", n.no, p.no)
				}
			}
		}
	}
}

// A publisher that signs two versions of its stream loses the stream, and does
// not make members part with each other.
func TestTwoVersions(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newNetwork(t, 3)
		w.latency = func(a, b *testNode) time.Duration { return 20 * time.Millisecond }
		pub := w.addSigning(Config{})
		src := w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 0)
		n := w.addSigning(Config{})
		n.play("cam")
		w.link(pub, n)
		w.run(2 * time.Second)
		_, media := stranger(n, &src.pub.st.desc)
		st := n.svc.streams[0]
		id := st.win.top
		for ; ; id-- {
			if f, _ := consumeFragment(st.win.get(id)); f.isDigest() {
				break
			}
		}
		if late {
			id++ // where the first version has a fragment of the run
		}
		b := appendDigest(nil, id, 0, 7, make([]fragmentHash, 4))
		sig := pub.svc.cfg.Keys.Sign(n.svc.toSign(runLabel, &st.desc.key, b))
		n.svc.Message(w.now, media, append(b, sig[:]...))
		n.turn()
		c := n.svc.Counters()
		if c.Equivocated != 1 || c.Bans != 0 {
			t.Errorf("in place of a fragment: %v: %+v", late, c)
		}
		frames := len(n.frames)
		w.run(time.Second)
		if played := len(n.frames) - frames; played > 20 {
			t.Errorf("in place of a fragment: %v: %d more frames were played", late, played)
		}
	}
}

// Who sent an altered fragment of one stream has its part in others still, until
// it does the same there: what it passed on may be another version by the publisher.
func TestAlteredCostsTheStream(t *testing.T) {
	w := newNetwork(t, 3)
	pub := w.addSigning(Config{})
	w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 0)
	w.publish(pub, "mic", StreamConfig{}, 300, 20*time.Millisecond, 0)
	n := w.addSigning(Config{RelayAll: true})
	n.play("cam")
	w.link(pub, n)
	w.run(time.Second)
	pub.alter = func(msg []byte) {
		if len(msg) > 900 {
			msg[len(msg)-1] ^= 1
		}
	}
	w.run(2 * time.Second)
	if c := n.svc.Counters(); c.Altered != 1 || c.Bans != 1 {
		t.Errorf("counters: %+v", c)
	}
	for _, s := range n.svc.Streams() {
		if want := map[string]int{"cam": 0, "mic": 1}[s.Name]; s.Neighbors != want {
			t.Errorf("stream %q has %d neighbors, want %d", s.Name, s.Neighbors, want)
		}
		if s.Name == "mic" && s.Fragments < 140 {
			t.Errorf("%d fragments came of the other stream", s.Fragments)
		}
	}
}
