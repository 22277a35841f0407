package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"rtmfp/simulations/peers/usage"
)

// workerOptions tell a process of its own what to do.
type workerOptions struct {
	role     string // receive or send
	peer     string // protocol
	to       string // of a sender: the receiver's address
	bytes    int64  // of a sender: how much, 0 = duration
	duration time.Duration
	setups   int // of a sender: set-ups instead of a transfer
}

// sent is what a sender reports.
type sent struct {
	Bytes   int64     `json:"bytes"`
	Seconds float64   `json:"seconds"` // until the far end had everything
	CPU     float64   `json:"cpu_seconds"`
	Setups  []float64 `json:"setups,omitempty"` // each in ms, socket included
}

// received is what a receiver reports.
type received struct {
	Bytes       int64   `json:"bytes"`
	FirstSecond int64   `json:"first_second_bytes"` // within a second of the session's beginning
	CPU         float64 `json:"cpu_seconds"`        // of the session with data, or of all set-ups
	Sessions    int     `json:"sessions"`
}

// work is the body of a worker process.
func work(w workerOptions, in io.Reader, out io.Writer) error {
	p := protocolNamed(w.peer)
	if p == nil {
		return fmt.Errorf("no such peer: %q", w.peer)
	}
	if w.role == "receive" {
		return p.receive(in, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var r sent
	var err error
	if w.setups > 0 {
		r, err = p.setups(ctx, w)
	} else {
		r, err = p.send(ctx, w)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return emit(out, r)
}

// receiver returns the command of a receiving worker. self is this program.
func (p *protocol) receiver(self string) *exec.Cmd {
	if p.program != "" {
		return exec.Command(p.program, "receive")
	}
	return exec.Command(self, "-worker", "receive", "-peer", p.name)
}

// sender returns the command of a sending worker.
func (p *protocol) sender(self string, w workerOptions) *exec.Cmd {
	if p.program != "" {
		return exec.Command(p.program, "send", w.to, fmt.Sprint(w.bytes), fmt.Sprint(w.duration.Seconds()))
	}
	return exec.Command(self, "-worker", "send", "-peer", p.name, "-to", w.to,
		"-bytes", fmt.Sprint(w.bytes), "-duration", w.duration.String(), "-worker-setups", fmt.Sprint(w.setups))
}

// receive prints where it listens, takes sessions until in ends, and prints
// what came.
func (p *protocol) receive(in io.Reader, out io.Writer) error {
	l, err := p.listen()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var r received
	began := usage.CPUSeconds()
	var busy sync.WaitGroup
	go func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				if ctx.Err() != nil || errors.Is(err, io.EOF) {
					return
				}
				continue
			}
			busy.Go(func() {
				opened, cpu := time.Now(), usage.CPUSeconds()
				var total, first int64
				_ = c.Receive(ctx, func(n int) {
					total += int64(n)
					if time.Since(opened) <= time.Second {
						first = total
					}
				})
				mu.Lock()
				defer mu.Unlock()
				r.Sessions++
				if total > 0 {
					r.Bytes, r.FirstSecond, r.CPU = total, first, usage.CPUSeconds()-cpu
				}
			})
		}
	}()
	_, _ = io.Copy(io.Discard, bufio.NewReader(in)) // until the parent is content
	all := usage.CPUSeconds() - began
	cancel()
	l.Close()
	done := make(chan struct{})
	go func() { busy.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(100 * time.Millisecond): // some never learn of the end
	}
	mu.Lock()
	defer mu.Unlock()
	if r.Bytes == 0 {
		r.CPU = all
	}
	return emit(out, r)
}

func (p *protocol) send(ctx context.Context, w workerOptions) (r sent, err error) {
	s, err := p.dial(ctx, w.to)
	if err != nil {
		return r, err
	}
	defer s.Close()
	size := int64(messageSize)
	if p.message > 0 {
		size = int64(p.message)
	}
	msg := make([]byte, size)
	for i := range msg {
		msg[i] = byte(i * 7)
	}
	began, cpu := time.Now(), usage.CPUSeconds()
	for w.bytes == 0 && time.Since(began) < w.duration || r.Bytes < w.bytes {
		part := msg
		if w.bytes > 0 {
			part = msg[:min(size, w.bytes-r.Bytes)]
		}
		if err := s.Send(ctx, part); err != nil {
			return r, err
		}
		r.Bytes += int64(len(part))
	}
	if err := s.Finish(ctx); err != nil {
		return r, err
	}
	r.Seconds, r.CPU = time.Since(began).Seconds(), usage.CPUSeconds()-cpu
	return r, nil
}

func (p *protocol) setups(ctx context.Context, w workerOptions) (r sent, err error) {
	cpu := usage.CPUSeconds()
	for range w.setups {
		began := time.Now()
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		s, err := p.dial(one, w.to)
		cancel()
		if err != nil {
			return r, err
		}
		r.Setups = append(r.Setups, time.Since(began).Seconds()*1000)
		s.Close()
	}
	r.CPU = usage.CPUSeconds() - cpu
	return r, nil
}

// parse reads the last line of a worker's output.
func parse(out []byte, into any) error {
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("worker printed %q: %w", out, err)
	}
	return nil
}
