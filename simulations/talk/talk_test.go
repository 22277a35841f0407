package talk

import (
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// made returns a book with one flow of a kind and messages on it.
func made(k kind, count int, deadline clock.Time) (*book, *flow) {
	b := &book{pattern: make([]byte, 100+shifts)}
	for i := range b.pattern {
		b.pattern[i] = byte(i * 7)
	}
	f := &flow{kind: k}
	b.flows = append(b.flows, f)
	for i := range count {
		m := &message{flow: f, place: i, number: uint64(i), size: 100, at: 1, deadline: deadline}
		f.sent = append(f.sent, m)
		b.messages = append(b.messages, m)
	}
	return b, f
}

// What may not come of messages is found, and what may is let pass.
func TestBook(t *testing.T) {
	const soon, never = clock.Time(50), clock.Never
	for _, c := range []struct {
		name     string
		kind     kind
		deadline clock.Time
		// A letter is the arrival of a message: a is the first one, in capitals
		// marked as the first after others that were given up; a digit is a
		// receipt, + or - before it says whether it was delivered; ! is the end
		// of the flow.
		story string
		want  string // of the error, "" if there is to be none
	}{
		{"in order", ordered, never, "a+0b+1c+2!", ""},
		{"as received", 0, never, "c+2a+0b+1!", ""},
		{"receipts late", ordered, never, "ab+1+0c+2!", ""},
		{"given up", ordered, soon, "a+0-1C+2!", ""},
		{"given up, and came all the same", 0, soon, "a+0-1bc+2!", ""},
		{"twice", 0, never, "aba", "came twice"},
		{"out of order", ordered, soon, "aCb", "after its successor"},
		{"a gap without a mark", ordered, soon, "ac", "marked false"},
		{"a mark without a gap", ordered, never, "aB", "marked true"},
		{"skipped", ordered, never, "aC", "has no deadline"},
		{"skipped after a receipt", ordered, soon, "a+1C", "was told that it was delivered"},
		{"a receipt for what was skipped", ordered, soon, "aC+1", "but was skipped"},
		{"an untrue receipt", 0, never, "a+0+1", "but was not"},
		{"two receipts", 0, never, "a+0+0", "two receipts"},
		{"given up too early", 0, never, "-0", "before its deadline"},
		{"the end without a message", ordered, never, "ab!", "has not come"},
		{"the end without what was given up", ordered, soon, "ab-2!", ""},
		{"the end without what has a receipt", ordered, soon, "ab+2!", "has not come"},
	} {
		b, f := made(c.kind, 3, c.deadline)
		var err error
		for i := 0; i < len(c.story) && err == nil; i++ {
			switch at := c.story[i]; {
			case at == '!':
				err = b.ended(f)
			case at == '+' || at == '-':
				i++
				err = b.receipt(100, f, uint64(c.story[i]-'0')+1, at == '+')
			default:
				number := (at | 0x20) - 'a'
				err = b.delivered(100, f, b.write(b.messages[number]), at < 'a')
			}
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// A message that was changed, and one that comes on another flow, is found.
func TestBytes(t *testing.T) {
	b, f := made(0, 2, clock.Never)
	data := b.write(f.sent[0])
	data[50] ^= 1
	if b.delivered(1, f, data, false) == nil {
		t.Error("a changed bit is not seen")
	}
	data = append(b.write(f.sent[0])[:50], b.write(f.sent[1])[50:]...)
	if b.delivered(1, f, data, false) == nil {
		t.Error("pieces of two messages are taken for one")
	}
	if b.delivered(1, &flow{}, b.write(f.sent[0]), false) == nil {
		t.Error("a message of another flow is taken")
	}
	if b.delivered(1, f, b.write(f.sent[0])[:99], false) == nil {
		t.Error("a message that was cut is taken")
	}
}

// What takes too long is found: a message, a receipt, and the end of a flow;
// but a flow that is held is not blamed.
func TestOverdue(t *testing.T) {
	const patience = clock.Time(10 * time.Second)
	at := func(d time.Duration) clock.Time { return clock.Time(d) }
	b, f := made(ordered, 1, clock.Never)
	if err := f.overdue(at(9*time.Second), patience); err != nil {
		t.Errorf("too early: %v", err)
	}
	if f.overdue(at(11*time.Second), patience) == nil {
		t.Error("a message that does not arrive is not missed")
	}
	f.held = true
	if err := f.overdue(at(11*time.Second), patience); err != nil {
		t.Errorf("held: %v", err)
	}
	f.held = false
	if err := b.delivered(1, f, b.write(f.sent[0]), false); err != nil {
		t.Fatal(err)
	}
	if f.overdue(at(11*time.Second), patience) == nil {
		t.Error("a receipt that does not come is not missed")
	}
	if err := b.receipt(2, f, 1, true); err != nil {
		t.Fatal(err)
	}
	if err := f.overdue(at(11*time.Second), patience); err != nil {
		t.Errorf("all is well: %v", err)
	}
	f.closing = 1
	if f.overdue(at(11*time.Second), patience) == nil {
		t.Error("a flow that does not end is not missed")
	}
}
