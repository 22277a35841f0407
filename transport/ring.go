package transport

// fragments is the SEND_QUEUE of a flow (RFC 7016 §3.6.2): a ring of entries by
// sequence number. An entry that is acknowledged leaves a nil until it reaches
// the front.
type fragments struct {
	buf  []*fragment // length is 0 or a power of two
	head int
	n    int
	live int    // entries that are not nil
	base uint64 // sequence number of the front
}

// end returns the sequence number after the last.
func (q *fragments) end() uint64 { return q.base + uint64(q.n) }

// at returns the entry of a sequence number, nil if it is gone or never was.
func (q *fragments) at(seq uint64) *fragment {
	i := seq - q.base
	if seq < q.base || i >= uint64(q.n) {
		return nil
	}
	return q.buf[(q.head+int(i))&(len(q.buf)-1)]
}

// front returns the first entry; trimming keeps the front from being nil.
func (q *fragments) front() *fragment {
	if q.n == 0 {
		return nil
	}
	return q.buf[q.head]
}

// push appends the entry, whose sequence number is end().
func (q *fragments) push(fr *fragment) {
	if q.n == len(q.buf) {
		q.resize(max(4, 2*len(q.buf)))
	}
	q.buf[(q.head+q.n)&(len(q.buf)-1)] = fr
	q.n++
	q.live++
}

func (q *fragments) resize(size int) {
	buf := make([]*fragment, size)
	for i := range q.n {
		buf[i] = q.buf[(q.head+i)&(len(q.buf)-1)]
	}
	q.buf, q.head = buf, 0
}

// remove empties the slot of seq and drops what is nil at the front.
func (q *fragments) remove(seq uint64) {
	q.buf[(q.head+int(seq-q.base))&(len(q.buf)-1)] = nil
	q.live--
	for q.n > 0 && q.buf[q.head] == nil {
		q.head = (q.head + 1) & (len(q.buf) - 1)
		q.base++
		q.n--
	}
}

// slim gives back the memory of a queue that is empty and has been for long.
func (q *fragments) slim() {
	if q.n == 0 {
		q.buf, q.head = nil, 0
	}
}
