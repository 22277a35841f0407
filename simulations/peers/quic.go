package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

const alpn = "peers"

// certificate makes a self-signed certificate of P-256.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

type quicListener struct{ l *quic.Listener }

// listenQUIC listens with the defaults of quic-go.
func listenQUIC() (listener, error) {
	cert, err := certificate()
	if err != nil {
		return nil, err
	}
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}, nil)
	if err != nil {
		return nil, err
	}
	return quicListener{l}, nil
}

func (l quicListener) Addr() string { return l.l.Addr().String() }
func (l quicListener) Close()       { l.l.Close() }

func (l quicListener) Accept(ctx context.Context) (receiver, error) {
	c, err := l.l.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return quicReceiver{c}, nil
}

type quicReceiver struct{ c *quic.Conn }

func (r quicReceiver) Receive(ctx context.Context, count func(n int)) error {
	st, err := r.c.AcceptStream(ctx)
	if err != nil {
		return nil // only a set-up
	}
	b := make([]byte, messageSize)
	for {
		n, err := st.Read(b)
		count(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if _, err := st.Write([]byte{1}); err != nil {
		return err
	}
	return st.Close()
}

type quicSender struct {
	pc net.PacketConn
	c  *quic.Conn
	st *quic.Stream // from the first write on
}

func dialQUIC(ctx context.Context, address string) (sender, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	c, err := quic.Dial(ctx, pc, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}, nil)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return &quicSender{pc: pc, c: c}, nil
}

func (s *quicSender) Send(ctx context.Context, b []byte) (err error) {
	if s.st == nil {
		if s.st, err = s.c.OpenStreamSync(ctx); err != nil {
			return err
		}
	}
	_, err = s.st.Write(b)
	return err
}

func (s *quicSender) Finish(context.Context) error {
	if err := s.st.Close(); err != nil {
		return err
	}
	_, err := io.ReadFull(s.st, make([]byte, 1))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s *quicSender) Close() {
	s.c.CloseWithError(0, "")
	s.pc.Close()
}
