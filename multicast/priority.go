package multicast

import "time"

// Where not all of a stream fits, what matters least goes first. Messages are of three
// classes, which the publisher gives and every member minds where its upload limit or what
// is queued for a neighbor leaves no room for all:
//
//  1. what is oldest is given up at its deadline, which comes sooner for spare messages;
//  2. spare messages are sent only as long as there is plenty of room,
//  3. plain ones as long as there is any,
//  4. and the first of all, key frames among them, may take a little more
//     than there is, which those after them make good.

// Class is what becomes of a message where there is no room for all.
type Class uint8

// Classes.
const (
	Plain Class = iota // most pictures
	First              // sound, and whatever others need: key frames are of it in any case
	Spare              // what can be done without: refinements, pictures that no other needs
)

// An eighth of a second of the upload limit is a bucket. To push, and to answer a pull,
// so many eighths of it may be used before, for each class.
var (
	pushRoom = [...]uint64{Plain: 8, First: 9, Spare: 5}
	pullRoom = [...]uint64{Plain: 2, First: 4, Spare: 1} // or what nobody can push takes the room of pushes
)

// queueRoom is how many quarters of what may be queued for a neighbor may be.
var queueRoom = [...]int{Plain: 4, First: 5, Spare: 1}

// classed is a message of several pieces that is not plain, or has a lifetime.
type classed struct {
	first, last uint64
	class       Class
	life        byte // its code
}

const maxClassed = 8 // messages of which that is remembered

// classOf returns the class of a fragment.
func (st *stream) classOf(f *fragment) Class {
	if f.start {
		switch {
		case f.isKey(), st.classed && f.isDigest():
			return First
		case f.typ == TypeOwn && len(f.payload) > 0 && f.payload[0]&ownFirst != 0, f.typ == TypeAudio:
			return First
		case f.typ == TypeOwn && len(f.payload) > 0 && f.payload[0]&ownSpare != 0:
			return Spare
		}
		return Plain
	}
	for i := range st.classes {
		if c := &st.classes[i]; f.id > c.first && f.id <= c.last {
			return c.class
		}
	}
	return Plain
}

// hasClass reports whether the publisher gave a message a class.
func (f *fragment) hasClass() bool {
	return f.start && f.typ == TypeOwn && len(f.payload) > 0 && f.payload[0]&(ownFirst|ownSpare) != 0
}

// classOfHeld is the same of a fragment in the window, for a pull. The beginning of its
// message may have been there long ago. What was got from the window before is not valid
// any more.
func (st *stream) classOfHeld(id uint64) Class {
	if st.s.uploadLimit() == 0 {
		return Plain // it does not matter
	}
	f, ok := consumeFragment(st.win.get(id))
	if !ok {
		return Plain
	}
	for n := 0; !f.start && n < maxPieces && st.win.has(f.id-1); n++ {
		f, _ = consumeFragment(st.win.get(f.id - 1))
	}
	return st.classOf(&f)
}

// noteClass remembers the class of a message for the pieces of it that follow.
func (st *stream) noteClass(f *fragment) {
	if !f.start || f.pieces == 0 {
		return
	}
	if c, life := st.classOf(f), f.lifeCode(); c != Plain || life != 0 {
		if len(st.classes) >= maxClassed {
			st.classes = st.classes[:copy(st.classes, st.classes[1:])]
		}
		st.classes = append(st.classes, classed{f.id, f.id + uint64(f.pieces), c, life})
	}
}

// life is how long a fragment is worth sending.
func (st *stream) life(c Class) time.Duration {
	life := min(max(st.desc.window/2, minPushLife), maxPushLife)
	switch {
	case c == Spare:
		life = max(life/4, minPushLife)
	case c == Plain && st.classed: // or what is first would wait behind it until it is given up itself
		life = max(life/2, minPushLife)
	}
	return life
}
