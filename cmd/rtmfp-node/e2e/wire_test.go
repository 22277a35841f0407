//go:build e2e && linux

package e2e

import (
	"encoding/binary"
	"errors"
	"maps"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// wire counts the UDP payload that crosses the loopback interface, by source
// port: what each node sends, whatever it says of itself.
type wire struct {
	mu    sync.Mutex
	bytes map[uint16]int64
}

// listenWire counts until the test's end.
func listenWire(t *testing.T) *wire {
	t.Helper()
	const ethIPv4 = 0x0800
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(swap16(ethIPv4)))
	if err != nil {
		missing(t, "packet socket: %v", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	// Wakes the loop below now and then, to see whether it should end.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		t.Fatal(err)
	}
	w := &wire{bytes: make(map[uint16]int64)}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer unix.Close(fd)
		buf := make([]byte, 128)
		for {
			select {
			case <-stop:
				return
			default:
			}
			// MSG_TRUNC: the length is that of the packet, not of the buffer.
			n, from, err := unix.Recvfrom(fd, buf, unix.MSG_TRUNC)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return
			}
			// Each packet is seen when it goes out and when it comes in.
			if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype != unix.PACKET_HOST {
				continue
			}
			w.packet(buf[:min(n, len(buf))], n)
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return w
}

// packet counts an IPv4 packet of which head is the beginning.
func (w *wire) packet(head []byte, length int) {
	const udp = 17
	if len(head) < 20 || head[0]>>4 != 4 || head[9] != udp {
		return
	}
	ihl := int(head[0]&15) * 4
	if len(head) < ihl+8 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes[binary.BigEndian.Uint16(head[ihl:])] += int64(length - ihl - 8)
}

// sent returns the bytes that have been sent from each port.
func (w *wire) sent() map[uint16]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.bytes)
}

// swap16 puts a number into network order for a little-endian machine, and
// back; the kernel wants the protocol of a packet socket so.
func swap16(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}
