package talk

import (
	"rtmfp/simulations/figure"
	"rtmfp/transport"
)

// Result is what came of what a pair said.
type Result struct {
	Delay figure.Histogram // µs, of messages without a deadline, until they are delivered
	Close figure.Histogram // µs, from closing a flow until its sender is told that it has ended
	Open  figure.Histogram // µs, from asking for a session until it is open at both ends

	Sessions, Broken    int    // begun; ended for another reason than that an end closed them
	Messages            int    // sent
	Perishable, GivenUp int    // with a deadline; those of which the sender was told that they were given up
	Payload             uint64 // bytes delivered
	Refused             uint64 // fragments for which a receiver had no room
	Stray               uint64 // datagrams or parts of them that an end had no use for, apart from those
	Datagrams           uint64 // that came
}

// Add adds o to r.
func (r *Result) Add(o *Result) {
	r.Delay.Merge(&o.Delay)
	r.Close.Merge(&o.Close)
	r.Open.Merge(&o.Open)
	r.Sessions += o.Sessions
	r.Broken += o.Broken
	r.Messages += o.Messages
	r.Perishable += o.Perishable
	r.GivenUp += o.GivenUp
	r.Payload += o.Payload
	r.Refused += o.Refused
	r.Stray += o.Stray
	r.Datagrams += o.Datagrams
}

// Result returns what came of it so far.
func (p *Pair) Result() Result {
	b := &p.book
	r := Result{
		Sessions: b.sessions, Broken: b.broken, Messages: len(b.messages),
		Perishable: b.perishable, GivenUp: b.out, Payload: b.payload,
	}
	r.Delay.Merge(&b.delay)
	r.Close.Merge(&b.closeTime)
	r.Open.Merge(&b.openTime)
	for _, e := range p.Ends {
		st := e.Stats()
		r.Datagrams += st.DatagramsReceived
		for why, n := range st.Dropped {
			if transport.Drop(why) == transport.DropBuffer {
				r.Refused += n
			} else {
				r.Stray += n
			}
		}
	}
	return r
}
