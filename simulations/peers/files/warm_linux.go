package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"rtmfp/simulations/peers/usage"

	"golang.org/x/sys/unix"
)

// warmth is memory of the machine that nobody uses, held so that it stays at
// hand, and given back as a run asks for it.
//
// A virtual machine returns what it does not use to its host within seconds, and
// gets it back page by page, at the cost of the first who touches it: up to 2.7 s
// of processor time for each GB, of which a write from memory to memory needs 0.14.
// That would be most of what is measured where copies fill the memory.
type warmth struct {
	pieces [][]byte
	stop   chan struct{}
	done   chan struct{}
}

const (
	warmPiece = 64 << 20
	// What is left free: a piece is given back when less is, long before the
	// system itself begins to look for memory.
	warmFree  = 1 << 30
	warmCheck = 10 * time.Millisecond
)

// warm takes the memory that is free and touches it. Give it back with close.
func warm(progress io.Writer) (*warmth, error) {
	w := &warmth{stop: make(chan struct{}), done: make(chan struct{})}
	for {
		free, err := freeMemory()
		if err == nil && free > warmFree+warmPiece {
			err = w.take()
		} else if err == nil {
			break
		}
		if err != nil {
			w.drop(len(w.pieces))
			return nil, err
		}
	}
	fmt.Fprintf(progress, "%d MiB of free memory are at hand\n", len(w.pieces)*(warmPiece>>20))
	go w.serve()
	return w, nil
}

func (w *warmth) take() error {
	b, err := unix.Mmap(-1, 0, warmPiece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("memory to hold: %w", err)
	}
	w.pieces = append(w.pieces, b)
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	return nil
}

// drop gives pieces back, those that were touched last first.
func (w *warmth) drop(n int) {
	for ; n > 0 && len(w.pieces) > 0; n-- {
		last := len(w.pieces) - 1
		_ = unix.Munmap(w.pieces[last]) // it is a mapping of ours
		w.pieces = w.pieces[:last]
	}
}

// serve gives back as much as others take.
func (w *warmth) serve() {
	defer close(w.done)
	tick := time.NewTicker(warmCheck)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			w.drop(len(w.pieces))
			return
		case <-tick.C:
		}
		if free, err := freeMemory(); err == nil && free < warmFree {
			w.drop(int((warmFree-free)/warmPiece) + 1)
		}
	}
}

// close gives back what is left.
func (w *warmth) close() {
	close(w.stop)
	<-w.done
}

// freeMemory returns how many bytes of memory nothing is in.
func freeMemory() (int64, error) {
	if n, ok := usage.Proc("/proc/meminfo", "MemFree"); ok {
		return n, nil
	}
	return 0, errors.New("/proc/meminfo does not tell how much memory is free")
}
