package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/sctp"
	"github.com/pion/transport/v5/udp"
)

// quietly silences the libraries: they log what is normal.
func quietly() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	return f
}

type sctpListener struct{ l net.Listener }

// listenSCTP listens for SCTP over UDP, or over DTLS 1.2 over UDP.
func listenSCTP(secure bool) func() (listener, error) {
	return func() (listener, error) {
		at := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
		var l net.Listener
		var err error
		if secure {
			var cert tls.Certificate
			if cert, err = certificate(); err != nil {
				return nil, err
			}
			l, err = dtls.ListenWithOptions("udp", at, dtls.WithCertificates(cert),
				dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), dtls.WithLoggerFactory(quietly()))
		} else {
			l, err = udp.Listen("udp", at)
		}
		if err != nil {
			return nil, err
		}
		return sctpListener{l}, nil
	}
}

func (l sctpListener) Addr() string { return l.l.Addr().String() }
func (l sctpListener) Close()       { l.l.Close() }

func (l sctpListener) Accept(context.Context) (receiver, error) {
	c, err := l.l.Accept()
	if err != nil {
		return nil, err
	}
	return sctpReceiver{c}, nil
}

// sctpReceiver is left open until the process ends: an association over plain
// UDP does not learn when the far end goes.
type sctpReceiver struct{ c net.Conn }

// Receive begins with the handshakes, which must not hold up others: the last
// words of a far end that has gone look like a new one's first.
func (r sctpReceiver) Receive(ctx context.Context, count func(n int)) error {
	if d, ok := r.c.(*dtls.Conn); ok {
		if err := d.HandshakeContext(ctx); err != nil {
			return err
		}
	}
	a, err := sctp.ServerWithOptions(sctp.WithNetConn(r.c), sctp.WithLoggerFactory(quietly()), sctp.WithBlockWrite(true))
	if err != nil {
		return err
	}
	st, err := a.AcceptStream()
	if err != nil {
		return nil // only a set-up
	}
	b := make([]byte, messageSize)
	for {
		n, err := st.Read(b)
		if err != nil {
			return err
		}
		if n == 1 { // the mark of the end, see Finish
			break
		}
		count(n)
	}
	_, err = st.WriteSCTP([]byte{1}, sctp.PayloadTypeWebRTCBinary)
	return err
}

type sctpSender struct {
	c  net.Conn
	a  *sctp.Association
	st *sctp.Stream // from the first message on
}

func dialSCTP(secure bool) func(context.Context, string) (sender, error) {
	return func(ctx context.Context, address string) (sender, error) {
		to, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			return nil, err
		}
		var c net.Conn
		if secure {
			var d *dtls.Conn
			if d, err = dtls.DialWithOptions("udp", to, dtls.WithInsecureSkipVerify(true), dtls.WithLoggerFactory(quietly())); err == nil {
				c, err = d, d.HandshakeContext(ctx)
			}
		} else {
			c, err = net.DialUDP("udp", nil, to)
		}
		if err != nil {
			return nil, err
		}
		a, err := sctp.ClientContext(ctx, sctp.WithNetConn(c), sctp.WithLoggerFactory(quietly()), sctp.WithBlockWrite(true))
		if err != nil {
			c.Close()
			return nil, err
		}
		return &sctpSender{c: c, a: a}, nil
	}
}

func (s *sctpSender) Send(_ context.Context, b []byte) (err error) {
	if s.st == nil {
		if s.st, err = s.a.OpenStream(0, sctp.PayloadTypeWebRTCBinary); err != nil {
			return err
		}
	}
	_, err = s.st.WriteSCTP(b, sctp.PayloadTypeWebRTCBinary)
	return err
}

// Finish sends a message of one byte, which is longer or shorter than any other,
// and waits for one.
func (s *sctpSender) Finish(context.Context) error {
	if _, err := s.st.WriteSCTP([]byte{1}, sctp.PayloadTypeWebRTCBinary); err != nil {
		return err
	}
	n, err := s.st.Read(make([]byte, 16))
	if err == nil && n != 1 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s *sctpSender) Close() {
	s.a.Close()
	s.c.Close()
}
