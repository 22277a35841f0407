//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Limits of what processes on one machine must show.
const (
	ringMembers = 32
	ringKilled  = 8
	ringLimit   = 5 * time.Second  // from the last start, or from the kill, to one ring
	doorLimit   = 90 * time.Second // from an introducer's return to when its group has it: calls come once a minute
)

// sight is what a member says of itself: a line of group neighbors --follow --json.
type sight struct {
	Time      time.Time `json:"time"`
	Peer      string    `json:"peer"`
	Address   string    `json:"address"`
	Estimate  int       `json:"estimate"`
	Neighbors []struct {
		Peer    string   `json:"peer"`
		Address string   `json:"address"`
		Roles   []string `json:"roles"`
		Up      int      `json:"up"`
		Down    int      `json:"down"`
	} `json:"neighbors"`
	Refused struct {
		Proofs, Joins, Evicted, Revocations, Forged, Unauthorized, Untimely uint64
	} `json:"refused"`
}

// next returns the addresses of the neighbors next to the member, "" if it has none.
func (s *sight) next() (up, down string) {
	for _, n := range s.Neighbors {
		if n.Up == 1 {
			up = n.Address
		}
		if n.Down == 1 {
			down = n.Address
		}
	}
	return up, down
}

// linked reports whether a peer is among the neighbors.
func (s *sight) linked(peer string) bool {
	for _, n := range s.Neighbors {
		if n.Peer == peer {
			return true
		}
	}
	return false
}

// observer is a process that tells how it is linked.
type observer struct {
	*process
	sights []sight
	read   int // bytes of its output
}

// observe starts a member.
func observe(t *testing.T, name string, args ...string) *observer {
	t.Helper()
	return &observer{process: node(t, name, append([]string{"group", "neighbors", "--follow", "--json", "--no-lan"}, args...)...)}
}

// look takes in what the process has written since.
func (o *observer) look(t *testing.T) {
	t.Helper()
	text := o.out.String()[o.read:]
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		o.read += len(line)
		var s sight
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s: %q: %v", o.name, line, err)
		}
		o.sights = append(o.sights, s)
	}
}

// at returns the last sight before an instant, nil if there is none.
func (o *observer) at(when time.Time) *sight {
	i := len(o.sights)
	for i > 0 && o.sights[i-1].Time.After(when) {
		i--
	}
	if i == 0 {
		return nil
	}
	return &o.sights[i-1]
}

// url waits until the process tells under which URL it can be reached.
func (o *observer) url(t *testing.T) string {
	t.Helper()
	line := o.line(t, &o.err, "--bootstrap rtmfp://", 20*time.Second)
	return line[strings.Index(line, "rtmfp://"):]
}

// oneRing says why members are no ring at an instant, "" if they are: each must
// be linked with the next of them on either side.
func oneRing(members []*observer, when time.Time) string {
	sights := make([]*sight, len(members))
	for i, o := range members {
		if sights[i] = o.at(when); sights[i] == nil {
			return o.name + " has said nothing yet"
		}
	}
	order := slices.SortedFunc(slices.Values(sights), func(a, b *sight) int { return strings.Compare(a.Address, b.Address) })
	for i, s := range order {
		up, down := s.next()
		wantUp, wantDown := order[(i+1)%len(order)].Address, order[(i+len(order)-1)%len(order)].Address
		if up != wantUp || down != wantDown {
			return fmt.Sprintf("%.8s is next to %.8s and %.8s, not to %.8s and %.8s", s.Address, up, down, wantUp, wantDown)
		}
	}
	return ""
}

// ringTime waits until members are one ring, and returns the instant since which
// they are, by what they say themselves: their clocks are one.
func ringTime(t *testing.T, members []*observer, limit time.Duration) time.Time {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		for _, o := range members {
			o.look(t)
		}
		now := time.Now()
		why := oneRing(members, now)
		if why == "" {
			break
		}
		if now.After(end) {
			t.Fatalf("no ring: %s", why)
		}
		time.Sleep(20 * time.Millisecond)
	}
	// Which of the sights made it one? Look back, from the latest on.
	var instants []time.Time
	for _, o := range members {
		for i := range o.sights {
			instants = append(instants, o.sights[i].Time)
		}
	}
	slices.SortFunc(instants, func(a, b time.Time) int { return b.Compare(a) })
	since := time.Now()
	for _, at := range instants {
		if oneRing(members, at) != "" {
			break
		}
		since = at
	}
	return since
}

// lateness measures how late this machine wakes whoever sleeps.
type lateness struct {
	worst atomic.Int64
	stop  chan struct{}
}

func watchLateness(t *testing.T) *lateness {
	l := &lateness{stop: make(chan struct{})}
	t.Cleanup(func() { close(l.stop) })
	go func() {
		const nap = 10 * time.Millisecond
		for {
			began := time.Now()
			select {
			case <-l.stop:
				return
			case <-time.After(nap):
			}
			if late := time.Since(began) - nap; late > time.Duration(l.worst.Load()) {
				l.worst.Store(int64(late))
			}
		}
	}()
	return l
}

// take returns the worst so far, and begins anew.
func (l *lateness) take() time.Duration { return time.Duration(l.worst.Swap(0)) }

// within fails the test if something took longer than its limit. Where the
// machine itself was late by more than a tenth of a second at times, a bound of a
// few seconds says little about the program: forming a ring takes some twenty
// turns of one process after another.
func (l *lateness) within(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	late := l.take()
	allowed := limit
	if late > 100*time.Millisecond {
		allowed += 20 * late
	}
	show(t, "%s: %.2f s, limit %v (machine late by up to %v)", what, took.Seconds(), limit, late.Round(time.Millisecond))
	if took > allowed {
		t.Errorf("%s: took %v, limit %v", what, took, allowed)
	}
}

// newSpec makes a groupspec.
func newSpec(t *testing.T, args ...string) string {
	t.Helper()
	out, stderr, err := command(t, 20*time.Second, nodeProgram, append([]string{"group", "new"}, args...)...)
	if err != nil {
		t.Fatalf("group new: %v\n%s", err, stderr)
	}
	return strings.TrimSpace(out)
}

// 32 processes form one ring, heal it when a quarter of them is killed at once,
// and do not notice that the introducer dies and comes back, except that it is
// one of them again.
func TestRingOfProcesses(t *testing.T) {
	late := watchLateness(t)
	spec := newSpec(t, "--name", "ring", "--multicast", "--unique")
	flags := []string{"--group", spec, "--identity", "none"}
	door := func(port uint16) *observer {
		return observe(t, "introducer", append(flags, "--listen", fmt.Sprintf("127.0.0.1:%d", port))...)
	}
	port := freePort(t)
	members := []*observer{door(port)}
	url := members[0].url(t)
	var last time.Time
	for i := 1; i < ringMembers; i++ {
		last = time.Now()
		members = append(members, observe(t, fmt.Sprint("member ", i), append(flags, "--listen", "127.0.0.1:0", "--bootstrap", url)...))
	}
	since := ringTime(t, members, time.Minute)
	late.within(t, fmt.Sprintf("%d processes, from the last start to one ring", ringMembers), since.Sub(last), ringLimit)

	killed := time.Now()
	for i := range ringKilled {
		members[4*i+2].signal(t, syscall.SIGKILL)
	}
	var rest []*observer
	for i, o := range members {
		if i%4 != 2 {
			rest = append(rest, o)
		}
	}
	since = ringTime(t, rest, time.Minute)
	late.within(t, fmt.Sprintf("%d killed at once, from that to one ring", ringKilled), since.Sub(killed), ringLimit)

	rest[0].signal(t, syscall.SIGKILL)
	killed = time.Now()
	others := rest[1:]
	since = ringTime(t, others, time.Minute)
	late.within(t, "introducer killed, from that to one ring", since.Sub(killed), ringLimit)
	wantNext := func(what string, from time.Time) {
		t.Helper()
		for _, o := range others {
			o.look(t)
			for i := range o.sights {
				if s := &o.sights[i]; s.Time.After(from) {
					if why := oneRing(others, s.Time); why != "" {
						t.Errorf("%s: %s", what, why)
						return
					}
				}
			}
		}
	}
	mended := time.Now()

	// It comes back at its address, knows nobody, and has another identity.
	back := door(port)
	back.url(t)
	began := time.Now()
	wantNext("while the introducer was away", mended)
	since = ringTime(t, append([]*observer{back}, others...), doorLimit+time.Minute)
	late.within(t, "introducer back, until its group has it", since.Sub(began), doorLimit)
	// Members that came in by it go on with it.
	newcomer := observe(t, "newcomer", append(flags, "--listen", "127.0.0.1:0", "--bootstrap", url)...)
	began = time.Now()
	since = ringTime(t, append([]*observer{back, newcomer}, others...), time.Minute)
	late.within(t, "a newcomer through it", since.Sub(began), ringLimit)
}
