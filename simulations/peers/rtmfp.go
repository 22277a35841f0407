package main

import (
	"context"
	"crypto/rand"
	"io"

	"rtmfp/transport/crypto"
	"rtmfp/transport/host"
)

// flavor is a way to run RTMFP.
type flavor int

const (
	modern     flavor = iota // AES-128-GCM, datagrams of 1200 bytes and up to 1472 where the path has them
	modern1200               // datagrams of 1200 bytes
	legacy                   // AES-128-CBC with HMAC and sequence numbers (RFC 7425)
)

func (f flavor) config(server bool) (host.Config, error) {
	cfg := host.Config{}
	var o crypto.IdentityOptions
	switch f {
	case modern1200:
		cfg.MTU, cfg.MaxMTU = 1200, 1200
	case legacy:
		cfg.Policy.AllowLegacy = true
		o.Groups, o.Modern = []crypto.DHGroup{crypto.Group14, crypto.Group2}, server
	}
	var err error
	cfg.Identity, err = crypto.NewIdentity(rand.Reader, o)
	return cfg, err
}

type rtmfpListener struct{ h *host.Host }

func listenRTMFP(f flavor) func() (listener, error) {
	return func() (listener, error) {
		cfg, err := f.config(true)
		if err != nil {
			return nil, err
		}
		h, err := host.Listen("127.0.0.1:0", cfg)
		if err != nil {
			return nil, err
		}
		return rtmfpListener{h}, nil
	}
}

func (l rtmfpListener) Addr() string { return l.h.Addr().String() }
func (l rtmfpListener) Close()       { l.h.Close() }

func (l rtmfpListener) Accept(ctx context.Context) (receiver, error) {
	s, err := l.h.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return rtmfpReceiver{s}, nil
}

type rtmfpReceiver struct{ s *host.Session }

func (r rtmfpReceiver) Receive(ctx context.Context, count func(n int)) error {
	f, err := r.s.AcceptFlow(ctx)
	if err != nil {
		return nil // only a set-up
	}
	for {
		b, err := f.Receive(ctx)
		if err == io.EOF {
			return nil // the acknowledgements tell
		}
		if err != nil {
			return err
		}
		count(len(b))
	}
}

// dialRTMFP uses one identity for all sessions, as others use one certificate.
func dialRTMFP(f flavor) func(context.Context, string) (sender, error) {
	var cfg host.Config
	return func(ctx context.Context, address string) (sender, error) {
		if cfg.Identity == nil {
			var err error
			if cfg, err = f.config(false); err != nil {
				return nil, err
			}
		}
		h, err := host.Listen("127.0.0.1:0", cfg)
		if err != nil {
			return nil, err
		}
		s, err := h.Dial(ctx, address)
		if err != nil {
			h.Close()
			return nil, err
		}
		return &rtmfpSender{h: h, s: s}, nil
	}
}

type rtmfpSender struct {
	h *host.Host
	s *host.Session
	f *host.SendFlow // from the first message on
}

func (s *rtmfpSender) Send(ctx context.Context, b []byte) (err error) {
	if s.f == nil {
		if s.f, err = s.s.OpenFlow(host.FlowOptions{}); err != nil {
			return err
		}
	}
	return s.f.Send(ctx, b, host.SendOptions{})
}

func (s *rtmfpSender) Finish(ctx context.Context) error {
	s.f.Close()
	select {
	case <-s.f.Done():
		return s.s.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *rtmfpSender) Close() { s.h.Close() }
