package simulations

// Drop says why a datagram did not arrive.
type Drop uint8

// Reasons of the network.
const (
	DropLoss     Drop = iota // by the link's loss, random or in a burst
	DropDead                 // sent to nobody, or to a node that was stopped
	DropUplink               // no room in the queue of the sender's access link, or CoDel
	DropDownlink             // likewise of the receiver's
	DropFilter               // a NAT did not let it in
	DropPorts                // a NAT had no port left
	DropSize                 // over the MTU of the link
	DropFault                // by a Fault: a partition, say
	DropSocket               // the receiver was too slow or stalled, and its socket full
	drops
)

var dropNames = [...]string{"loss", "dead", "uplink", "downlink", "filter", "ports", "size", "fault", "socket"}

// String returns the reason as a word.
func (d Drop) String() string { return dropNames[d] }

// Stats counts what happened on the network.
type Stats struct {
	Events     uint64 // datagrams, timers, and calls that were handled
	Sent       uint64 // datagrams
	Delivered  uint64
	Lost       uint64 // by the links' loss
	Dead       uint64 // sent to nobody, or to a node that was stopped
	Bytes      uint64 // UDP payload sent
	Duplicated uint64 // datagrams that the network doubled
	Corrupted  uint64 // datagrams of which it changed bits
	Reordered  uint64 // datagrams that it held back

	DeliveredBytes  uint64
	DuplicatedBytes uint64
	Dropped         [drops]uint64 // by Drop; Lost and Dead are two of them
	DroppedBytes    [drops]uint64
}

// add counts what another has counted.
func (s *Stats) add(o *Stats) {
	s.Events += o.Events
	s.Sent += o.Sent
	s.Delivered += o.Delivered
	s.Lost += o.Lost
	s.Dead += o.Dead
	s.Bytes += o.Bytes
	s.Duplicated += o.Duplicated
	s.Corrupted += o.Corrupted
	s.Reordered += o.Reordered
	s.DeliveredBytes += o.DeliveredBytes
	s.DuplicatedBytes += o.DuplicatedBytes
	for i := range s.Dropped {
		s.Dropped[i] += o.Dropped[i]
		s.DroppedBytes[i] += o.DroppedBytes[i]
	}
}

func (l *lane) drop(why Drop, size int) {
	l.stats.Dropped[why]++
	l.stats.DroppedBytes[why] += uint64(size)
	switch why {
	case DropLoss:
		l.stats.Lost++
	case DropDead:
		l.stats.Dead++
	}
}
