//go:build e2e && reality && linux

package e2e

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is a network of namespaces, one for each process, between which this test
// carries every IP packet with a delay. The processes know nothing of it: they
// have addresses of their own, and use them as on any network.
type lab struct {
	delay func(from, to int) time.Duration
	hosts []*labHost

	mu        sync.Mutex
	flights   labFlights
	seq       uint64
	wake      chan struct{}
	end       chan struct{}
	tasks     sync.WaitGroup
	forwarded atomic.Uint64
	late      []float64 // ms by which packets were delivered too late
}

// labHost is one namespace.
type labHost struct {
	addr netip.Addr
	tun  *os.File
	runs chan func() // on its thread
}

// newLab makes the namespaces of n hosts.
func newLab(t *testing.T, n int, delay func(from, to int) time.Duration) *lab {
	t.Helper()
	l := &lab{delay: delay, wake: make(chan struct{}, 1), end: make(chan struct{})}
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
		l.tasks.Go(func() { l.read(i) })
	}
	l.tasks.Go(l.deliver)
	t.Cleanup(func() {
		close(l.end)
		for _, h := range l.hosts {
			h.tun.Close()
			close(h.runs)
		}
		l.tasks.Wait()
	})
	return l
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
	h.tun = os.NewFile(uintptr(fd), "tun")
	return nil
}

// start runs the program under test on a host.
func (l *lab) start(t *testing.T, host int, name string, args ...string) *process {
	t.Helper()
	var p *process
	done := make(chan struct{})
	l.hosts[host].runs <- func() {
		defer close(done)
		p = node(t, name, args...) // a child has the namespace of the thread that starts it
	}
	<-done
	return p
}

// read takes what a host sends.
func (l *lab) read(from int) {
	buf := make([]byte, 2048)
	for {
		n, err := l.hosts[from].tun.Read(buf)
		if err != nil {
			return
		}
		if n < 20 || buf[0]>>4 != 4 {
			continue
		}
		to := int(buf[19]) - 1
		if binary.BigEndian.Uint32(buf[16:])>>8 != 10<<16|9<<8 || to < 0 || to >= len(l.hosts) {
			continue
		}
		f := labFlight{at: time.Now().Add(l.delay(from, to)), to: to, data: append([]byte(nil), buf[:n]...)}
		l.mu.Lock()
		l.seq++
		f.seq = l.seq
		heap.Push(&l.flights, f)
		first := l.flights[0].seq == f.seq
		l.mu.Unlock()
		if first {
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}
}

// deliver hands packets over when their time has come.
func (l *lab) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		for {
			l.mu.Lock()
			if len(l.flights) == 0 {
				l.mu.Unlock()
				break
			}
			late := time.Since(l.flights[0].at)
			if late < 0 {
				wait = -late
				l.mu.Unlock()
				break
			}
			f := heap.Pop(&l.flights).(labFlight)
			l.late = append(l.late, float64(late.Microseconds())/1000)
			l.mu.Unlock()
			_, _ = l.hosts[f.to].tun.Write(f.data) // lost, as on any network
			l.forwarded.Add(1)
		}
		timer.Reset(wait)
		select {
		case <-l.end:
			return
		case <-l.wake:
		case <-timer.C:
		}
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
