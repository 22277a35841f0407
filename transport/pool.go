package transport

// pool holds the free records and buffers of an endpoint, so that the steady
// state allocates nothing. Buffers come in three sizes: control messages, small
// media, and whole packets. What is free is at most as much as is in use, and a
// little: what a burst needed is given back as the burst is acknowledged.
type pool struct {
	fragments *fragment // by next
	messages  *message  // by next
	blocks    [blockClasses][][]byte
	kept      int // bytes in blocks
	lent      int // bytes of pooled blocks in use
	limit     int
	records   int // free fragments and messages
	inUse     int // fragments and messages
}

const (
	blockClasses = 3
	recordsKept  = 8192
	recordsIdle  = 16 // kept even if none is in use
	smallBlock   = 128
	middleBlock  = 512
	bytesIdle    = 2 << 10 // of blocks, likewise
)

// class returns the size class of n bytes, whole being the size of the largest.
func (p *pool) class(n int) int {
	switch {
	case n <= smallBlock:
		return 0
	case n <= middleBlock:
		return 1
	default:
		return 2
	}
}

// block returns a buffer of n bytes. Buffers over whole bytes are not pooled.
func (p *pool) block(n, whole int) []byte {
	if n > whole {
		return make([]byte, n)
	}
	c := p.class(n)
	size := [blockClasses]int{smallBlock, middleBlock, whole}[c]
	p.lent += size
	if k := len(p.blocks[c]); k > 0 {
		b := p.blocks[c][k-1]
		p.blocks[c][k-1] = nil
		p.blocks[c] = p.blocks[c][:k-1]
		p.kept -= size
		return b[:n]
	}
	return make([]byte, n, size)
}

// free takes back a buffer that block gave; nil is ignored.
func (p *pool) free(b []byte, whole int) {
	size := cap(b)
	var c int
	switch size {
	case smallBlock:
		c = 0
	case middleBlock:
		c = 1
	case whole:
		c = 2
	default:
		return
	}
	p.lent = max(p.lent-size, 0)
	if p.kept+size > min(p.limit, p.lent+bytesIdle) {
		p.drop()
		return
	}
	p.kept += size
	p.blocks[c] = append(p.blocks[c], b[:0])
}

// drop lets go of what is kept beyond what may be.
func (p *pool) drop() {
	for c := blockClasses - 1; c >= 0; c-- {
		for k := len(p.blocks[c]); k > 0 && p.kept > p.lent+bytesIdle; k-- {
			p.kept -= cap(p.blocks[c][k-1])
			p.blocks[c][k-1] = nil
			p.blocks[c] = p.blocks[c][:k-1]
		}
		if k := len(p.blocks[c]); cap(p.blocks[c]) > 16 && k < cap(p.blocks[c])/4 {
			p.blocks[c] = append(make([][]byte, 0, 2*k), p.blocks[c]...)
		}
	}
}

func (p *pool) fragment() *fragment {
	p.inUse++
	fr := p.fragments
	if fr == nil {
		return &fragment{}
	}
	p.fragments = fr.next
	p.records--
	*fr = fragment{}
	return fr
}

func (p *pool) freeFragment(fr *fragment) {
	if !p.keepRecord() {
		return
	}
	*fr = fragment{next: p.fragments}
	p.fragments = fr
}

func (p *pool) message() *message {
	p.inUse++
	m := p.messages
	if m == nil {
		return &message{}
	}
	p.messages = m.next
	p.records--
	*m = message{}
	return m
}

func (p *pool) freeMessage(m *message) {
	if !p.keepRecord() {
		return
	}
	*m = message{next: p.messages}
	p.messages = m
}

// keepRecord counts a record that is no longer in use, and reports whether to
// keep it.
func (p *pool) keepRecord() bool {
	p.inUse = max(p.inUse-1, 0)
	for p.records > p.inUse+recordsIdle {
		switch {
		case p.fragments != nil:
			p.fragments = p.fragments.next
		case p.messages != nil:
			p.messages = p.messages.next
		default:
			panic("BUG: transport: the pool counts records that it does not hold")
		}
		p.records--
	}
	if p.records >= min(recordsKept, p.inUse+recordsIdle) {
		return false
	}
	p.records++
	return true
}
