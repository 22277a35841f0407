//go:build e2e && linux

package e2e

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is a network of namespaces, one for each process, between which this test
// carries every IP packet with a delay. The processes know nothing of it: they
// have addresses of their own, and use them as on any network.
//
// One thread carries, before all other threads of the machine if it may, so that
// it adds little to the delays; by how much it is late is measured.
type lab struct {
	delay func(from, to int) time.Duration
	hosts []*labHost
	end   int // an eventfd
	done  chan struct{}

	// The carrier's own until done is closed.
	flights labFlights
	free    [][]byte
	carried uint64
	lost    uint64    // that a host's interface did not take
	late    []float64 // ms by which packets were delivered too late
}

// labHost is one namespace.
type labHost struct {
	addr netip.Addr
	tun  int
	runs chan func() // on its thread

	cut  atomic.Bool   // nothing gets in or out
	port atomic.Uint32 // which others see instead of labPort; 0: the same
}

// labPort is where all processes listen.
const labPort = 1935

// newLab makes the namespaces of n hosts.
func newLab(t *testing.T, n int, delay func(from, to int) time.Duration) *lab {
	t.Helper()
	l := &lab{delay: delay, done: make(chan struct{})}
	var err error
	if l.end, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		h := &labHost{addr: netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), runs: make(chan func())}
		ready := make(chan error)
		// The goroutine's thread stays in the namespace and ends with it.
		go func() {
			runtime.LockOSThread()
			ready <- h.enter()
			for f := range h.runs {
				f()
			}
		}()
		if err := <-ready; err != nil {
			missing(t, "network namespace: %v", err)
		}
		l.hosts = append(l.hosts, h)
	}
	go l.carry()
	t.Cleanup(l.close)
	return l
}

// close ends the carrier and the namespaces.
func (l *lab) close() {
	select {
	case <-l.done:
		return
	default:
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(l.end, one[:])
	<-l.done
	unix.Close(l.end)
	for _, h := range l.hosts {
		unix.Close(h.tun)
		close(h.runs)
	}
}

// enter puts the thread into a namespace of its own with one interface, of
// which this process is the other end.
func (h *labHost) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	req, err := unix.NewIfreq("lab")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	for _, args := range []string{"addr add " + h.addr.String() + "/24 dev lab", "link set lab txqueuelen 10000 up", "link set lo up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	h.tun = fd
	return nil
}

// on runs f on a host's thread.
func (l *lab) on(host int, f func()) {
	done := make(chan struct{})
	l.hosts[host].runs <- func() { defer close(done); f() }
	<-done
}

// listen returns where a host's process listens.
func (l *lab) listen(host int) string { return fmt.Sprintf("%v:%d", l.hosts[host].addr, labPort) }

// start runs the program under test on a host.
func (l *lab) start(t *testing.T, host int, name string, args ...string) (p *process) {
	t.Helper()
	// A child has the namespace of the thread that starts it.
	l.on(host, func() { p = node(t, name, args...) })
	return p
}

// dropped returns how many packets the hosts' kernels have dropped: at the
// interfaces, and for want of room in sockets.
func (l *lab) dropped() (interfaces, sockets uint64) {
	for i := range l.hosts {
		l.on(i, func() {
			// lab: then bytes, packets, errs, drop, and four others, both ways.
			dev := procLine("/proc/thread-self/net/dev", "lab:", 0)
			interfaces += number(dev, 3) + number(dev, 11)
			names := procLine("/proc/thread-self/net/snmp", "Udp:", 0)
			values := procLine("/proc/thread-self/net/snmp", "Udp:", 1)
			for _, name := range []string{"InErrors", "SndbufErrors"} {
				sockets += number(values, slices.Index(names, name))
			}
		})
	}
	return interfaces, sockets
}

// procLine returns the words behind a label, of the skip-th line that has it.
func procLine(file, label string, skip int) []string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), label); ok {
			if skip--; skip < 0 {
				return strings.Fields(rest)
			}
		}
	}
	return nil
}

func number(words []string, at int) uint64 {
	if at < 0 || at >= len(words) {
		return 0
	}
	n, _ := strconv.ParseUint(words[at], 10, 64)
	return n
}

// carry takes what hosts send and hands it over when its time has come.
func (l *lab) carry() {
	runtime.LockOSThread() // which ends with the goroutine
	defer close(l.done)
	// Without the right to it, lateness will show.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
	fds := []unix.PollFd{{Fd: int32(l.end), Events: unix.POLLIN}}
	for _, h := range l.hosts {
		fds = append(fds, unix.PollFd{Fd: int32(h.tun), Events: unix.POLLIN})
	}
	for {
		var wait *unix.Timespec
		if len(l.flights) > 0 {
			ts := unix.NsecToTimespec(max(time.Until(l.flights[0].at), 0).Nanoseconds())
			wait = &ts
		}
		if _, err := unix.Ppoll(fds, wait, nil); err != nil && !errors.Is(err, unix.EINTR) {
			panic(err)
		}
		if fds[0].Revents != 0 {
			return
		}
		for i := range l.hosts {
			if fds[i+1].Revents&unix.POLLIN != 0 {
				l.take(i)
			}
		}
		l.deliver()
	}
}

// take reads some of what a host sends.
func (l *lab) take(from int) {
	const some = 16 // others have sent, too
	for range some {
		var buf []byte
		if last := len(l.free) - 1; last >= 0 {
			buf, l.free = l.free[last], l.free[:last]
		} else {
			buf = make([]byte, 2048)
		}
		n, err := unix.Read(l.hosts[from].tun, buf[:cap(buf)])
		if err != nil {
			l.free = append(l.free, buf)
			return
		}
		to := -1
		if n >= 20 && buf[0]>>4 == 4 && binary.BigEndian.Uint32(buf[16:])>>8 == 10<<16|9<<8 {
			to = int(buf[19]) - 1
		}
		if to < 0 || to >= len(l.hosts) || l.hosts[from].cut.Load() || !l.hosts[from].translate(buf[:n], 0) {
			l.free = append(l.free, buf)
			continue
		}
		l.carried++
		heap.Push(&l.flights, labFlight{at: time.Now().Add(l.delay(from, to)), seq: l.carried, to: to, data: buf[:n]})
	}
}

// translate puts the port that others see into a packet that a host sends, at
// byte 0 of its UDP header, and takes it out of one that comes, at byte 2. It
// returns false for what comes to another port, as to the one before.
func (h *labHost) translate(packet []byte, at int) bool {
	seen := uint16(h.port.Load())
	const udp = 17
	head := int(packet[0]&15) * 4
	if seen == 0 || packet[9] != udp || len(packet) < head+8 {
		return true
	}
	was, is := uint16(labPort), seen
	if at == 2 {
		was, is = seen, labPort
	}
	port := packet[head+at:]
	if binary.BigEndian.Uint16(port) != was {
		return false
	}
	binary.BigEndian.PutUint16(port, is)
	binary.BigEndian.PutUint16(packet[head+6:], 0) // no checksum (RFC 768)
	return true
}

// deliver hands over what is due.
func (l *lab) deliver() {
	for len(l.flights) > 0 {
		late := time.Since(l.flights[0].at)
		if late < 0 {
			return
		}
		f := heap.Pop(&l.flights).(labFlight)
		l.late = append(l.late, float64(late.Microseconds())/1000)
		if to := l.hosts[f.to]; !to.cut.Load() && to.translate(f.data, 2) {
			if _, err := unix.Write(to.tun, f.data); err != nil {
				l.lost++
			}
		}
		l.free = append(l.free, f.data)
	}
}

type labFlight struct {
	at   time.Time
	seq  uint64
	to   int
	data []byte
}

// labFlights is a heap by time, then by sending.
type labFlights []labFlight

func (f labFlights) Len() int { return len(f) }
func (f labFlights) Less(i, j int) bool {
	return f[i].at.Before(f[j].at) || f[i].at.Equal(f[j].at) && f[i].seq < f[j].seq
}
func (f labFlights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *labFlights) Push(x any)   { *f = append(*f, x.(labFlight)) }
func (f *labFlights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = labFlight{}
	*f = (*f)[:last]
	return x
}
