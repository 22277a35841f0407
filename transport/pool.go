package transport

// pool holds the free records and buffers of an endpoint, so that the steady
// state allocates nothing. Buffers come in three sizes: control messages, small
// media, and whole packets.
type pool struct {
	fragments *fragment // by next
	messages  *message  // by next
	blocks    [blockClasses][][]byte
	kept      int // bytes in blocks
	limit     int
	records   int // free fragments and messages
}

const (
	blockClasses = 3
	recordsKept  = 8192
	smallBlock   = 128
	middleBlock  = 512
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
	if k := len(p.blocks[c]); k > 0 {
		b := p.blocks[c][k-1]
		p.blocks[c][k-1] = nil
		p.blocks[c] = p.blocks[c][:k-1]
		p.kept -= cap(b)
		return b[:n]
	}
	return make([]byte, n, [blockClasses]int{smallBlock, middleBlock, whole}[c])
}

// free takes back a buffer that block gave; nil is ignored.
func (p *pool) free(b []byte, whole int) {
	size := cap(b)
	if p.kept+size > p.limit {
		return
	}
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
	p.kept += size
	p.blocks[c] = append(p.blocks[c], b[:0])
}

func (p *pool) fragment() *fragment {
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
	if p.records >= recordsKept {
		return
	}
	p.records++
	*fr = fragment{next: p.fragments}
	p.fragments = fr
}

func (p *pool) message() *message {
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
	if p.records >= recordsKept {
		return
	}
	p.records++
	*m = message{next: p.messages}
	p.messages = m
}
