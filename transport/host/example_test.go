package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"rtmfp/transport/host"
)

// listen returns a host on a free port of this machine.
func listen(cfg host.Config) *host.Host {
	h, err := host.Listen("127.0.0.1:0", cfg)
	if err != nil {
		log.Fatal(err)
	}
	return h
}

// pair returns both ends of a session.
func pair() (near, far *host.Session) {
	ctx := context.Background()
	a, b := listen(host.Config{}), listen(host.Config{})
	near, err := a.Dial(ctx, b.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	if far, err = b.Accept(ctx); err != nil {
		log.Fatal(err)
	}
	return near, far
}

// A server takes sessions, and flows on each of them, as they come.
func ExampleListen() {
	ctx := context.Background()
	server, err := host.Listen("127.0.0.1:0", host.Config{}) // ":1935" in earnest
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go client(server.Addr().String())

	session, err := server.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	flow, err := session.AcceptFlow(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for {
		msg, err := flow.Receive(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", flow.Metadata(), msg)
	}
	// Output:
	// greetings: hello
	// greetings: and goodbye
}

func client(address string) {
	ctx := context.Background()
	h := listen(host.Config{})
	defer h.Close()
	session, err := h.Dial(ctx, "rtmfp://"+address)
	if err != nil {
		log.Fatal(err)
	}
	flow, err := session.OpenFlow(host.FlowOptions{Metadata: []byte("greetings")})
	if err != nil {
		log.Fatal(err)
	}
	for _, msg := range []string{"hello", "and goodbye"} {
		if err := flow.Send(ctx, []byte(msg), host.SendOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	flow.Close()
	<-flow.Done() // everything has arrived
}

// The far end of a dialed session is whoever holds the key of Session.Peer.
func ExampleHost_Dial() {
	server, h := listen(host.Config{}), listen(host.Config{})
	defer server.Close()
	defer h.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	session, err := h.Dial(ctx, server.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.Peer() == server.ID(), session.Suite())
	// Output: true AES-128-GCM/X25519
}

// Two who know only a third, and each other's names, are brought together by it.
func ExampleHost_DialPeer() {
	ctx := context.Background()
	seed := listen(host.Config{Introduce: true})
	alice, bob := listen(host.Config{}), listen(host.Config{})
	defer seed.Close()
	defer alice.Close()
	defer bob.Close()
	via, err := alice.Dial(ctx, seed.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := bob.Dial(ctx, seed.Addr().String()); err != nil {
		log.Fatal(err)
	}

	session, err := alice.DialPeer(ctx, bob.ID(), via)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.FarAddr() == bob.Addr())
	// Output: true
}

// A message with a deadline is given up when it passes; a receipt tells.
func ExampleSendFlow_Send() {
	near, far := pair()
	ctx := context.Background()
	flow, err := near.OpenFlow(host.FlowOptions{})
	if err != nil {
		log.Fatal(err)
	}
	var receipts [3]host.Receipt
	for i, d := range []time.Duration{time.Minute, -time.Second, time.Minute} { // the second is late already
		err := flow.Send(ctx, fmt.Appendf(nil, "frame %d", i+1), host.SendOptions{
			Deadline: time.Now().Add(d),
			Receipt:  &receipts[i],
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	for i := range receipts {
		err := receipts[i].Wait(ctx)
		fmt.Println("frame", i+1, "given up:", errors.Is(err, host.ErrAbandoned))
	}

	in, err := far.AcceptFlow(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		msg, err := in.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", msg)
	}
	// Output:
	// frame 1 given up: false
	// frame 2 given up: true
	// frame 3 given up: false
	// frame 1
	// frame 3
}

// Messages come in order, unless that is not wanted: then none waits for
// another that was lost on the way.
func ExampleRecvFlow_AsReceived() {
	near, far := pair()
	ctx := context.Background()
	out, err := near.OpenFlow(host.FlowOptions{Metadata: []byte("positions"), TimeCritical: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := out.Send(ctx, []byte("12 9"), host.SendOptions{}); err != nil {
		log.Fatal(err)
	}

	in, err := far.AcceptFlow(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := in.AsReceived(); err != nil {
		log.Fatal(err)
	}
	msg, err := in.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", msg)
	// Output: 12 9
}

// A flow in reply to another one makes a conversation of the two.
func ExampleSendFlow_AcceptReply() {
	near, far := pair()
	ctx := context.Background()
	go func() { // the far end answers
		question, err := far.AcceptFlow(ctx)
		if err != nil {
			log.Fatal(err)
		}
		msg, err := question.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		answer, err := far.OpenFlow(host.FlowOptions{Reply: question})
		if err != nil {
			log.Fatal(err)
		}
		if err := answer.Send(ctx, fmt.Appendf(nil, "%s? yes", msg), host.SendOptions{}); err != nil {
			log.Fatal(err)
		}
	}()

	question, err := near.OpenFlow(host.FlowOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := question.Send(ctx, []byte("ready"), host.SendOptions{}); err != nil {
		log.Fatal(err)
	}
	answer, err := question.AcceptReply(ctx)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := answer.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", msg)
	// Output: ready? yes
}

// What is urgent overtakes what is not, on a flow of a higher priority.
func ExampleSession_OpenFlow() {
	near, far := pair()
	ctx := context.Background()
	for _, o := range []host.FlowOptions{
		{Metadata: []byte("file"), Priority: 1},
		{Metadata: []byte("voice"), Priority: 6, TimeCritical: true},
	} {
		f, err := near.OpenFlow(o)
		if err != nil {
			log.Fatal(err)
		}
		if err := f.Send(ctx, o.Metadata, host.SendOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	heard := map[string]bool{}
	for range 2 {
		f, err := far.AcceptFlow(ctx)
		if err != nil {
			log.Fatal(err)
		}
		heard[string(f.Metadata())] = true
	}
	fmt.Println(heard)
	// Output: map[file:true voice:true]
}

// Closing a session tells the far end; flows that are to arrive whole are
// closed first.
func ExampleSession_Close() {
	near, far := pair()
	near.Close()
	<-far.Done()
	fmt.Println(far.Err())
	// Output: transport: closed by the far end
}
