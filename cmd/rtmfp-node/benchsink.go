package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"rtmfp/transport/host"
)

// benchSinkCmd receives what bench send, or any other RTMFP sender, sends.
type benchSinkCmd struct {
	Listen string `default:":1935" help:"UDP address to listen on, HOST:PORT. Default: :1935." placeholder:"ADDR"`
	benchFlags
}

// Help describes the command with examples.
func (*benchSinkCmd) Help() string {
	return `
Takes every session and every flow and drops what comes. Its URLs are printed on stdout, then a line at the end of each session, and one for all of them at the end of the command. Runs until ^C or SIGTERM.

Examples:

    rtmfp-node bench sink --listen 127.0.0.1:1935
    rtmfp-node bench sink --crypto legacy --json
`
}

// sinkReport is the figures of one session.
type sinkReport struct {
	Peer       string  `json:"peer"`
	Bytes      uint64  `json:"bytes"`
	Messages   uint64  `json:"messages"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func (r sinkReport) String() string {
	return fmt.Sprintf("%.8s: %s", r.Peer, rates(r.Bytes, r.Seconds, r.CPUSeconds))
}

// sinkTotal is the figures of all sessions.
type sinkTotal struct {
	Sessions   int     `json:"sessions"`
	Bytes      uint64  `json:"bytes"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func (r sinkTotal) String() string {
	return fmt.Sprintf("%d sessions, %d bytes, %.3f CPU-s", r.Sessions, r.Bytes, r.CPUSeconds)
}

// listening says where the sink is.
type listening struct {
	URLs []string `json:"listening"`
}

func (l listening) String() string {
	var s string
	for i, u := range l.URLs {
		if i > 0 {
			s += "\n"
		}
		s += u
	}
	return s
}

// Run receives until ctx ends.
func (c *benchSinkCmd) Run(ctx context.Context, e *env) error {
	cfg, err := c.config(true)
	if err != nil {
		return err
	}
	stop, err := c.profile()
	if err != nil {
		return err
	}
	defer stop()
	h, err := host.Listen(c.Listen, cfg)
	if err != nil {
		return startError(err, c.Listen)
	}
	defer h.Close()
	if err := c.report(e, listening{urlsOf(h.Addr())}); err != nil {
		return err
	}

	watch := startWatch()
	var total sinkTotal
	var mu sync.Mutex
	var busy sync.WaitGroup
	failed := make(chan error, 1)
	go func() {
		for {
			s, err := h.Accept(ctx)
			if err != nil {
				failed <- err
				return
			}
			busy.Go(func() {
				r := c.session(ctx, s)
				mu.Lock()
				defer mu.Unlock()
				total.Sessions++
				total.Bytes += r.Bytes
				if err := c.report(e, r); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
	}()
	err = <-failed
	if ctx.Err() != nil {
		err = nil
	}
	h.Close()
	busy.Wait()
	_, total.CPUSeconds = watch.read()
	if err != nil {
		return err
	}
	return c.report(e, total)
}

// session receives all flows of a session until it ends.
func (c *benchSinkCmd) session(ctx context.Context, s *host.Session) sinkReport {
	watch := startWatch()
	r := sinkReport{Peer: s.Peer().String()}
	var bytes, messages atomic.Uint64
	var flows sync.WaitGroup
	for {
		f, err := s.AcceptFlow(ctx)
		if err != nil {
			break
		}
		flows.Go(func() {
			for {
				msg, err := f.Receive(ctx)
				if err != nil {
					return
				}
				bytes.Add(uint64(len(msg)))
				messages.Add(1)
			}
		})
	}
	flows.Wait()
	r.Bytes, r.Messages = bytes.Load(), messages.Load()
	r.Seconds, r.CPUSeconds = watch.read()
	return r
}
