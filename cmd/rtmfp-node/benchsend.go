package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rtmfp/transport"
	"rtmfp/transport/host"
)

// benchSendCmd measures a transfer, or the set-up of sessions.
type benchSendCmd struct {
	URL      bootURL       `arg:"" help:"Who receives, rtmfp://HOST[:PORT]."`
	Metadata string        `default:"bench" help:"Metadata of the flows. Default: bench." placeholder:"TEXT"`
	Size     int           `default:"65536" help:"Bytes per message. Default: 65536." placeholder:"BYTES"`
	Seconds  float64       `xor:"much" help:"How long to send. Default: 10." placeholder:"S"`
	Bytes    uint64        `xor:"much" help:"How much to send, in all flows together." placeholder:"N"`
	Setups   int           `xor:"much" help:"Send nothing: open and close a session this often, each from a socket of its own." placeholder:"N"`
	Flows    int           `default:"1" help:"Number of flows, side by side. Default: 1." placeholder:"N"`
	Timeout  time.Duration `default:"10s" help:"How long to wait for the far end to answer. Default: 10s." placeholder:"D"`
	benchFlags
}

// Help describes the command with examples.
func (*benchSendCmd) Help() string {
	return `
Opens a session and sends messages on reliable flows. The figures on stdout count what the far end has acknowledged, from the first message until everything was; cpu_seconds is of this process alone.

Examples:

    rtmfp-node bench send rtmfp://127.0.0.1 --bytes 1073741824
    rtmfp-node bench send rtmfp://192.0.2.7:2000 --seconds 30 --flows 4 --json
    rtmfp-node bench send rtmfp://127.0.0.1 --setups 500
`
}

// Validate is called by the parser once all flags are set.
func (c *benchSendCmd) Validate() error {
	switch {
	case c.Size < 1 || c.Size > 1<<20:
		return errors.New("--size is from 1 to 1048576")
	case c.Flows < 1 || c.Flows > 1000:
		return errors.New("--flows is from 1 to 1000")
	case c.Seconds < 0 || c.Setups < 0:
		return errors.New("--seconds and --setups can't be negative")
	case c.Timeout <= 0:
		return errors.New("--timeout must be more than 0")
	}
	return c.benchFlags.Validate()
}

// sendReport is the figures of a transfer.
type sendReport struct {
	Bytes         uint64  `json:"bytes"`
	Seconds       float64 `json:"seconds"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	Packets       uint64  `json:"packets"`
	Retransmitted uint64  `json:"retransmitted"`
	SRTTMS        float64 `json:"srtt_ms"`
	SetupMS       float64 `json:"setup_ms"`
	Suite         string  `json:"suite"`
	FirstSecond   uint64  `json:"first_second_bytes"` // sent in the first second, repetitions included
}

func (r sendReport) String() string {
	return fmt.Sprintf("%s, %d packets, %d fragments again, round trip %.3f ms, set-up %.3f ms, %s",
		rates(r.Bytes, r.Seconds, r.CPUSeconds), r.Packets, r.Retransmitted, r.SRTTMS, r.SetupMS, r.Suite)
}

// setupReport is the figures of many set-ups. Times are of the median one and
// of others.
type setupReport struct {
	Setups     int     `json:"setups"`
	SetupMS    float64 `json:"setup_ms"`
	P90MS      float64 `json:"setup_p90_ms"`
	MaxMS      float64 `json:"setup_max_ms"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Suite      string  `json:"suite"`
}

func (r setupReport) String() string {
	return fmt.Sprintf("%d set-ups: median %.3f ms, p90 %.3f ms, max %.3f ms, %.3f CPU-s, %s",
		r.Setups, r.SetupMS, r.P90MS, r.MaxMS, r.CPUSeconds, r.Suite)
}

// Run measures.
func (c *benchSendCmd) Run(ctx context.Context, e *env) error {
	if c.Seconds == 0 && c.Bytes == 0 {
		c.Seconds = 10
	}
	cfg, err := c.config(false)
	if err != nil {
		return err
	}
	stop, err := c.profile()
	if err != nil {
		return err
	}
	defer stop()
	if c.Setups > 0 {
		return c.setups(ctx, e, cfg)
	}
	h, s, setup, err := c.dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := c.transfer(ctx, s)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sending to %s: %w", c.URL, err)
	}
	r.SetupMS, r.Suite = millis(setup), s.Suite()
	return c.report(e, r)
}

// dial opens a session from a new socket, and returns how long that took.
func (c *benchSendCmd) dial(ctx context.Context, cfg host.Config) (*host.Host, *host.Session, time.Duration, error) {
	const listen = ":0"
	h, err := host.Listen(listen, cfg)
	if err != nil {
		return nil, nil, 0, startError(err, listen)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	s, err := h.Dial(ctx, string(c.URL))
	took := time.Since(began)
	if err == nil {
		return h, s, took, nil
	}
	h.Close()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		err = failf(exitUnreachable, "nobody answered at %s within %v; check the address, that \"rtmfp-node bench sink\" runs there with the same --crypto, and that UDP gets through", c.URL, c.Timeout)
	case errors.Is(err, transport.ErrCrypto):
		err = failf(exitUnreachable, "%w; start both ends with the same --crypto", err)
	default:
		err = failf(exitUnreachable, "%w", err)
	}
	return nil, nil, 0, err
}

// transfer sends on all flows and waits until everything is acknowledged.
func (c *benchSendCmd) transfer(ctx context.Context, s *host.Session) (r sendReport, err error) {
	flows := make([]*host.SendFlow, c.Flows)
	for i := range flows {
		if flows[i], err = s.OpenFlow(host.FlowOptions{Metadata: []byte(c.Metadata)}); err != nil {
			return r, err
		}
	}
	enough := ctx
	if c.Seconds > 0 {
		var cancel context.CancelFunc
		enough, cancel = context.WithTimeout(ctx, time.Duration(c.Seconds*float64(time.Second)))
		defer cancel()
	}
	before := s.Stats()
	watch := startWatch()
	second := time.AfterFunc(time.Second, func() {
		atomic.StoreUint64(&r.FirstSecond, s.Stats().DataBytesSent-before.DataBytesSent)
	})
	defer second.Stop()
	var left atomic.Int64
	left.Store(int64(c.Bytes))
	var wg sync.WaitGroup
	errs := make([]error, len(flows))
	for i, f := range flows {
		wg.Go(func() { errs[i] = c.feed(ctx, enough, f, &left) })
	}
	wg.Wait()
	r.Seconds, r.CPUSeconds = watch.read()
	after := s.Stats()
	for _, f := range flows {
		st := f.Stats()
		r.Bytes += st.Bytes
		r.Retransmitted += st.Retransmitted
	}
	r.Packets = after.PacketsSent - before.PacketsSent
	r.SRTTMS = millis(after.SRTT)
	return r, errors.Join(errs...)
}

// feed sends on one flow until enough ends or nothing is left, and waits until
// all is acknowledged.
func (c *benchSendCmd) feed(ctx, enough context.Context, f *host.SendFlow, left *atomic.Int64) error {
	msg := make([]byte, c.Size)
	for i := range msg {
		msg[i] = byte(i * 7)
	}
	for {
		part := msg
		if c.Bytes > 0 {
			rest := left.Add(-int64(len(msg))) + int64(len(msg))
			if rest <= 0 {
				break
			}
			part = msg[:min(rest, int64(len(msg)))]
		}
		if err := f.Send(enough, part, host.SendOptions{}); err != nil {
			if ctx.Err() == nil && enough.Err() != nil {
				break
			}
			return err
		}
	}
	f.Close()
	select {
	case <-f.Done():
		return f.Session().Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setups measures how long sessions take to open.
func (c *benchSendCmd) setups(ctx context.Context, e *env, cfg host.Config) error {
	times := make([]time.Duration, c.Setups)
	watch := startWatch()
	r := setupReport{Setups: c.Setups}
	for i := range times {
		h, s, took, err := c.dial(ctx, cfg)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		times[i], r.Suite = took, s.Suite()
		h.Close()
	}
	_, r.CPUSeconds = watch.read()
	slices.Sort(times)
	at := func(percent int) float64 { return millis(times[(len(times)-1)*percent/100]) }
	r.SetupMS, r.P90MS, r.MaxMS = at(50), at(90), at(100)
	return c.report(e, r)
}
