// Package driver runs a pure core on a real UDP socket: one loop goroutine
// that owns the core, one reader, and a few workers for public-key work,
// however many sessions there are.
//
// A Driver is made with Start and ends with Stop or when its socket fails. Do
// and Wake may be called from any goroutine; the core and the AfterTurn hook
// belong to the loop.
package driver

import (
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/udp"
)

// Core is a deterministic state machine that speaks RTMFP.
type Core interface {
	HandleArrival(now clock.Time, a transport.Arrival, b []byte)
	NextWork() (*transport.Work, bool)
	FinishWork(now clock.Time, w *transport.Work)
	Advance(now clock.Time)
	Transmit(now clock.Time, buf []byte) (transport.Batch, bool)
	Deadline() clock.Time
}

// Driver runs one Core on one socket.
type Driver struct {
	core      Core
	conn      *udp.Conn
	start     time.Time // the clock's origin
	afterTurn func(now clock.Time)

	commands chan func(now clock.Time)
	inboxes  chan inbox      // filled, on the way to the loop
	spent    chan *udp.Inbox // empty, on the way to the reader
	work     chan *transport.Work
	worked   chan *transport.Work
	waking   chan struct{}
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{} // closed when the loop and its helpers have ended

	// The loop's own.
	pending []*transport.Work // work that no worker has room for yet
	out     []byte
	batches []udp.Batch
	err     error // why the socket can't be used any more
}

// inbox is one batch of datagrams on its way from the reader to the loop.
type inbox struct {
	memory  *udp.Inbox
	packets []udp.Packet
	err     error
}

// Sizes of the driver's queues. None of them bounds what peers can make us
// hold: the reader waits for the loop, and the kernel drops what does not fit.
const (
	inboxesInFlight = 3       // batches of datagrams between reader and loop
	workQueue       = 64      // public-key work given to the workers
	outStart        = 1 << 16 // bytes of datagrams per write,
	outSize         = 1 << 18 // and once a write was that long
)

// Start runs core on conn, which the driver closes at its end. afterTurn is
// called on the loop after each turn of the core, to drain its events.
func Start(conn *udp.Conn, core Core, afterTurn func(now clock.Time)) *Driver {
	d := &Driver{
		core: core, conn: conn, start: time.Now(), afterTurn: afterTurn,
		commands: make(chan func(clock.Time)),
		inboxes:  make(chan inbox, inboxesInFlight+1), // and the error that ends reading
		spent:    make(chan *udp.Inbox, inboxesInFlight),
		work:     make(chan *transport.Work, workQueue),
		worked:   make(chan *transport.Work, workQueue),
		waking:   make(chan struct{}, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		out:      make([]byte, outStart),
	}
	go d.run()
	return d
}

// Do runs f on the loop, which then turns the core, and waits for f. It
// returns net.ErrClosed if the driver has ended.
func (d *Driver) Do(f func(now clock.Time)) error {
	ran := make(chan struct{})
	select {
	case d.commands <- func(now clock.Time) { f(now); close(ran) }:
		<-ran
		return nil
	case <-d.done:
		return net.ErrClosed
	}
}

// Wake makes the loop turn the core soon.
func (d *Driver) Wake() {
	select {
	case d.waking <- struct{}{}:
	default:
	}
}

// Stop ends the driver and closes its socket. The core is left as it is.
func (d *Driver) Stop() {
	d.stopOnce.Do(func() { close(d.stop) })
	<-d.done
}

// Done is closed when the driver has ended; the core then belongs to whoever
// made it again.
func (d *Driver) Done() <-chan struct{} { return d.done }

// Err returns why the socket failed, nil if it did not. It may be called once
// Done is closed.
func (d *Driver) Err() error { return d.err }

// now returns the instant for the core.
func (d *Driver) now() clock.Time { return clock.Time(time.Since(d.start)) }

// Instant returns the core's instant at t. Any goroutine may call it.
func (d *Driver) Instant(t time.Time) clock.Time { return clock.Time(t.Sub(d.start)) }

// run is the loop goroutine with its helpers: the reader and the workers.
func (d *Driver) run() {
	var helpers sync.WaitGroup
	helpers.Go(d.read)
	for range workers() {
		helpers.Go(func() {
			for w := range d.work {
				w.Run()
				d.worked <- w
			}
		})
	}
	d.loop()
	close(d.spent) // the reader may wait for one, and the socket for the reader
	d.conn.Close()
	close(d.work)
	go func() { // a worker must not wait for a loop that has gone
		for range d.worked {
		}
	}()
	helpers.Wait()
	close(d.worked)
	close(d.done)
}

// workers is the number of goroutines for public-key work, few so that a node
// has at most eight goroutines in all.
func workers() int { return min(max(runtime.GOMAXPROCS(0)-1, 1), 4) }

// read fills inboxes until the socket is closed.
func (d *Driver) read() {
	made := 0
	err := d.conn.Receive(func() *udp.Inbox { return d.empty(&made) }, func(in *udp.Inbox, packets []udp.Packet) {
		d.inboxes <- inbox{memory: in, packets: packets} // has room for all that there are
	})
	if err != nil {
		d.inboxes <- inbox{err: err}
	}
}

// empty returns an inbox to be filled, nil at the end. Each holds much, so one
// is made only when the loop has not kept up with those that there are.
func (d *Driver) empty(made *int) *udp.Inbox {
	if *made < inboxesInFlight {
		select {
		case in := <-d.spent:
			return in
		default:
			*made++
			return d.conn.NewInbox()
		}
	}
	return <-d.spent
}

// loop owns the core. It takes what happens, turns the core, and sleeps.
func (d *Driver) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for d.err == nil {
		select {
		case in := <-d.inboxes:
			d.receive(in)
			d.receiveMore()
		case f := <-d.commands:
			f(d.now())
		case w := <-d.worked:
			d.core.FinishWork(d.now(), w)
		case <-d.waking:
		case <-timer.C:
		case <-d.stop:
			return
		}
		d.turn()
		timer.Reset(max(d.core.Deadline().Sub(d.now()), 0))
	}
}

// receive hands datagrams to the core and gives the inbox back to the reader.
func (d *Driver) receive(in inbox) {
	now := d.now()
	for i := range in.packets {
		p := &in.packets[i]
		a := transport.Arrival{From: p.From, Local: p.Local, ECN: transport.ECN(p.ECN)}
		for b := p.Next(); b != nil; b = p.Next() {
			d.core.HandleArrival(now, a, b)
		}
	}
	if in.err != nil {
		d.fail(in.err)
		return
	}
	d.spent <- in.memory
}

// receiveMore hands over what else has come by now, so that one turn answers it
// all: with fewer acknowledgements, and more in each system call.
func (d *Driver) receiveMore() {
	for range inboxesInFlight - 1 {
		select {
		case in := <-d.inboxes:
			d.receive(in)
		default:
			return
		}
	}
}

// turn lets the core act, and carries out what it wants done.
func (d *Driver) turn() {
	now := d.now()
	d.core.Advance(now)
	d.dispatchWork()
	d.transmit(now)
	d.afterTurn(now)
}

func (d *Driver) dispatchWork() {
	for w, ok := d.core.NextWork(); ok; w, ok = d.core.NextWork() {
		d.pending = append(d.pending, w)
	}
	given := 0
	for given < len(d.pending) && len(d.work) < cap(d.work) { // or FinishWork of an earlier one brings us back
		d.work <- d.pending[given]
		given++
	}
	d.pending = slices.Delete(d.pending, 0, given)
}

// transmit sends everything that the core has to send.
func (d *Driver) transmit(now clock.Time) {
	for more := true; more; {
		free := d.out
		d.batches = d.batches[:0]
		for len(free) >= len(d.out)/2 {
			var b transport.Batch
			if b, more = d.core.Transmit(now, free); !more {
				break
			}
			d.batches = append(d.batches, udp.Batch{
				To: b.To, Local: b.Local, ECN: uint8(b.ECN), Data: b.B, Segment: b.Segment, Probe: b.Probe,
			})
			free = free[len(b.B):]
		}
		if len(d.batches) == 0 {
			return
		}
		if err := d.conn.Write(d.batches); err != nil {
			d.fail(err)
			return
		}
		if more && len(d.out) < outSize {
			d.out = make([]byte, outSize)
		}
	}
}

func (d *Driver) fail(err error) {
	if d.err == nil && !errors.Is(err, net.ErrClosed) {
		d.err = err
	}
}
