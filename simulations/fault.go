package simulations

// Fault is something that is wrong with the network for a while.
type Fault struct {
	apply func(from, to *Node, l *Link) bool
}

// Break makes something wrong with the network until Mend. For every datagram
// f may change how the link treats it; if it returns false the datagram is
// lost. It tells directions apart, so that a fault may be one-way.
func (w *Network) Break(f func(from, to *Node, l *Link) bool) *Fault {
	fault := &Fault{f}
	w.faults = append(w.faults, fault)
	return fault
}

// Mend ends a fault; one that has ended is left alone.
func (w *Network) Mend(f *Fault) {
	for i, have := range w.faults {
		if have == f {
			w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
			return
		}
	}
}

// Partition cuts the network into parts: nothing passes between nodes for
// which part gives different numbers.
func (w *Network) Partition(part func(n *Node) int) *Fault {
	return w.Break(func(from, to *Node, _ *Link) bool { return part(from) == part(to) })
}

// OneWay loses everything that one node sends to another.
func (w *Network) OneWay(a, b *Node) *Fault {
	return w.Break(func(from, to *Node, _ *Link) bool { return from != a || to != b })
}

func (w *Network) applyFaults(from, to *Node, l *Link) bool {
	for _, f := range w.faults {
		if !f.apply(from, to, l) {
			return false
		}
	}
	return true
}
