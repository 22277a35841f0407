package simulations

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"rtmfp/node"
)

// orderBook compares what is delivered with what was sent, flow by flow: what
// comes was sent, nothing comes twice, and in order where that was promised.
// Messages that are given up may be missing.
type orderBook struct {
	net   *Network
	flows map[node.FlowName]*orderFlow
}

type orderFlow struct {
	sent    []uint64       // hashes of what an ordered flow may still bring
	passed  int            // messages before those
	loose   map[uint64]int // of one that is delivered as received, how often each may still come
	ordered bool
	settled bool // it is known which of the two it is
}

// maxOpenMessages bounds what is remembered of a flow; what is older has been
// given up long ago.
const maxOpenMessages = 1 << 16

// watch returns what a node's core is to report to.
func (b *orderBook) watch(n *Node) *node.MessageWatch {
	return &node.MessageWatch{
		Sent: func(name node.FlowName, msg []byte) {
			f := b.flows[name]
			if f == nil {
				f = &orderFlow{}
				b.flows[name] = f
			}
			h := xxhash.Sum64(msg)
			if f.settled && !f.ordered {
				f.loose[h]++
				return
			}
			f.sent = append(f.sent, h)
			if len(f.sent) > maxOpenMessages {
				f.passed += len(f.sent) / 2
				f.sent = append([]uint64(nil), f.sent[len(f.sent)/2:]...)
			}
		},
		Delivered: func(name node.FlowName, ordered bool, msg []byte) {
			if err := b.delivered(name, ordered, xxhash.Sum64(msg)); err != nil {
				b.net.breachAt(n, "order", fmt.Sprintf("flow %d of session %x: %v", name.Flow, name.Session, err))
			}
		},
	}
}

func (b *orderBook) delivered(name node.FlowName, ordered bool, h uint64) error {
	f := b.flows[name]
	if f == nil {
		return fmt.Errorf("a message came of a flow on which nothing was sent")
	}
	if !f.settled {
		f.settled, f.ordered = true, ordered
		if !ordered {
			f.loose = map[uint64]int{}
			for _, h := range f.sent {
				f.loose[h]++
			}
			f.sent = nil
		}
	}
	if !f.ordered {
		if f.loose[h] == 0 {
			return fmt.Errorf("a message came that was not sent, or came twice")
		}
		if f.loose[h]--; f.loose[h] == 0 {
			delete(f.loose, h)
		}
		return nil
	}
	// Of equal messages it is taken for the first that it can be, which leaves
	// the most room for those that follow.
	for i, s := range f.sent {
		if s == h {
			f.passed += i + 1
			f.sent = f.sent[i+1:]
			return nil
		}
	}
	return fmt.Errorf("after %d messages one came that was not sent behind them: twice, out of order, or changed", f.passed)
}
