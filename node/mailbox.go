package node

import (
	"context"
	"sync"
)

// mailbox holds what the loop has for somebody who reads it at his own pace. A
// slow reader loses what has no room, and is told how much.
type mailbox[T any] struct {
	most, mostBytes int
	arrived         chan struct{} // a token: look at what there is

	mu     sync.Mutex
	queue  []letter[T]
	head   int // letters before it were taken
	bytes  int
	missed int
	err    error
}

type letter[T any] struct {
	item   T
	bytes  int
	missed int // lost before it
}

// mailboxKept is for how many letters an empty mailbox keeps memory.
const mailboxKept = 32

func newMailbox[T any](most, mostBytes int) *mailbox[T] {
	return &mailbox[T]{most: most, mostBytes: mostBytes, arrived: make(chan struct{}, 1)}
}

// add puts in an item that counts for so many bytes.
func (b *mailbox[T]) add(item T, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	if len(b.queue)-b.head >= b.most || b.bytes+bytes > b.mostBytes {
		b.missed++
		return
	}
	if len(b.queue) == cap(b.queue) && b.head > len(b.queue)/2 {
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	b.queue = append(b.queue, letter[T]{item, bytes, b.missed})
	b.missed = 0
	b.bytes += bytes
	b.notify()
}

// end lets the reader have what there is, and then the error.
func (b *mailbox[T]) end(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = why
	}
	b.notify()
}

func (b *mailbox[T]) notify() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// next waits for an item, or for the end. missed counts those that were lost
// right before it.
func (b *mailbox[T]) next() (item T, missed int, err error) { return b.wait(context.Background()) }

// wait is next, or until ctx ends, after which it may be called again.
func (b *mailbox[T]) wait(ctx context.Context) (item T, missed int, err error) {
	for {
		if l, ok, err := b.try(); ok || err != nil {
			return l.item, l.missed, err
		}
		select {
		case <-b.arrived:
		case <-ctx.Done():
			return item, 0, ctx.Err()
		}
	}
}

// try returns an item if there is one, or else the end.
func (b *mailbox[T]) try() (l letter[T], ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.queue) {
		if b.err != nil {
			b.notify() // others may wait, too
		}
		return l, false, b.err
	}
	l = b.queue[b.head]
	b.queue[b.head] = letter[T]{}
	if b.head++; b.head == len(b.queue) {
		if b.queue, b.head = b.queue[:0], 0; cap(b.queue) > mailboxKept {
			b.queue = nil
		}
	} else {
		b.notify() // there may be several readers
	}
	b.bytes -= l.bytes
	return l, true, nil
}

// size returns how much waits for the reader.
func (b *mailbox[T]) size() (items, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) - b.head, b.bytes
}
