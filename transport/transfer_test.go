package transport

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"rtmfp/transport/crypto"
)

func TestHandshakeAndMessages(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b crypto.IdentityOptions
	}{{"modern", modern, modern}, {"legacy", legacy, legacy},
		{"legacy ephemeral responder", legacy, crypto.IdentityOptions{Groups: []crypto.DHGroup{crypto.Group2}, Ephemeral: true}}} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, 1)
			a, b := n.add("a", c.a, nil), n.add("b", c.b, nil)
			sa, sb := n.connect(a, b)
			if sa.Suite() == "" || sa.Suite() != sb.Suite() {
				t.Errorf("suites: got %q and %q, want the same", sa.Suite(), sb.Suite())
			}
			an, af := sa.Nonces()
			bn, bf := sb.Nonces()
			if an != bf || bn != af || an == bn {
				t.Errorf("nonces do not match crosswise")
			}
			f := open(t, sa, n.now, FlowOptions{Metadata: []byte("hello")})
			want := [][]byte{numbered(1, 4), numbered(2, 1000), numbered(3, 70000), {}, numbered(4, 300000)}
			for _, m := range want {
				send(t, f, n.now, m, SendOptions{})
			}
			f.Close(n.now)
			n.until(30*time.Second, func() bool { return len(a.ended) == 1 && len(b.done) == 1 })
			r := b.flows[0]
			if string(r.Metadata()) != "hello" {
				t.Errorf("metadata: got %q", r.Metadata())
			}
			if len(b.messages[r]) != len(want) {
				t.Fatalf("messages: got %d, want %d", len(b.messages[r]), len(want))
			}
			for i, m := range b.messages[r] {
				if !bytes.Equal(m, want[i]) {
					t.Errorf("message %d differs", i)
				}
			}
		})
	}
}

// Everything arrives, once and in order, whatever the network does.
func TestLossyTransfer(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n, a, b := pair(t, seed)
			n.loss = float64(seed%5) * 0.04
			n.duplicate = float64(seed%3) * 0.05
			n.jitter = time.Duration(seed%4) * 5 * time.Millisecond
			sa, _ := n.connect(a, b)
			const flows, count = 3, 60
			for i := range flows {
				f := open(t, sa, n.now, FlowOptions{Metadata: []byte{byte(i)}, Priority: uint8(i)})
				for k := range count {
					send(t, f, n.now, numbered(k, 10+int(seed)*37*k%9000), SendOptions{Receipt: uint64(i*1000 + k + 1)})
				}
				f.Close(n.now)
			}
			n.until(2*time.Minute, func() bool { return len(b.done) == flows && len(a.ended) == flows })
			for _, r := range b.flows {
				got := b.messages[r]
				if len(got) != count || b.skipped[r] != 0 {
					t.Fatalf("flow %x: got %d messages with %d gaps, want %d without", r.Metadata(), len(got), b.skipped[r], count)
				}
				for k := range got {
					if !bytes.Equal(got[k], numbered(k, 10+int(seed)*37*k%9000)) {
						t.Fatalf("flow %x: message %d differs", r.Metadata(), k)
					}
				}
			}
			if len(a.receipts) != flows*count {
				t.Errorf("receipts: got %d, want %d", len(a.receipts), flows*count)
			}
			for id, delivered := range a.receipts {
				if !delivered {
					t.Errorf("receipt %d: not delivered", id)
				}
			}
			if o := sa.Stats().Outstanding; o != 0 {
				t.Errorf("outstanding at the end: got %d bytes, want 0", o)
			}
		})
	}
}
