package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests' own program is what compare starts as workers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "-worker":
			main()
			return
		case "receive", "send":
			foreign(os.Args[1:])
			return
		}
	}
	os.Exit(m.Run())
}

// foreign plays a peer that is a program of its own.
func foreign(args []string) {
	w := workerOptions{role: args[0], peer: "rtmfp"}
	if w.role == "send" {
		w.to = args[1]
		fmt.Sscan(args[2], &w.bytes)
		seconds, _ := strconv.ParseFloat(args[3], 64)
		w.duration = time.Duration(seconds * float64(time.Second))
	}
	if err := work(w, os.Stdin, os.Stdout); err != nil {
		panic(err)
	}
}

// Each peer carries a stream whole, and opens sessions.
func TestProtocols(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			in, parent := io.Pipe()
			out, worker := io.Pipe()
			failed := make(chan error, 1)
			go func() { failed <- p.receive(in, worker) }()
			line := make([]byte, 64)
			n, err := out.Read(line)
			if err != nil {
				t.Fatal(err)
			}
			w := workerOptions{to: strings.TrimSpace(string(line[:n])), bytes: 1_000_001, setups: 3}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			s, err := p.send(ctx, w)
			if err != nil {
				t.Fatal(err)
			}
			if s.Bytes != w.bytes || s.Seconds <= 0 {
				t.Errorf("sent: got %+v, want %d bytes", s, w.bytes)
			}
			if s, err = p.setups(ctx, w); err != nil || len(s.Setups) != w.setups {
				t.Errorf("set-ups: got %+v, %v, want %d", s, err, w.setups)
			}
			parent.Close()
			text := make([]byte, 1000)
			if n, err = out.Read(text); err != nil {
				t.Fatal(err)
			}
			var r received
			if err := parse(text[:n], &r); err != nil {
				t.Fatal(err)
			}
			if r.Bytes != w.bytes || r.FirstSecond <= 0 {
				t.Errorf("received: got %+v, want %d bytes", r, w.bytes)
			}
			if err := <-failed; err != nil {
				t.Error(err)
			}
		})
	}
}

// A comparison runs each row for each peer in processes of their own.
func TestCompare(t *testing.T) {
	all := protocols
	protocols = append(slices.Clone(protocols), protocol{name: "foreign", program: os.Args[0]})
	t.Cleanup(func() { protocols = all })
	o := options{
		peers: []string{"rtmfp", "quic", "foreign"}, rows: []string{"bulk", "loss0", "setup"}, runs: 1, bytes: 1_000_000,
		duration: 300 * time.Millisecond, setups: 2, json: true,
	}
	var out bytes.Buffer
	if err := compare(o, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var results []result
	for line := range strings.Lines(out.String()) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r.Error != "" {
			t.Errorf("%s, %s: %s", r.Row, r.Peer, r.Error)
		}
		results = append(results, r)
	}
	// A program of its own has no row of set-ups.
	if len(results) != 8 {
		t.Fatalf("got %d results, want 8", len(results))
	}
	out.Reset()
	if err := table(o, results, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 2+5 {
		t.Errorf("got %d lines, want a head and five rows:\n%s", got, &out)
	}

	for _, bad := range []options{
		{peers: []string{"tcp"}, rows: o.rows, runs: 1, setups: 1},
		{peers: o.peers, rows: []string{"loss99"}, runs: 1, setups: 1},
		{peers: o.peers, rows: o.rows},
	} {
		if err := compare(bad, io.Discard, io.Discard); err == nil {
			t.Errorf("%+v: got no error", bad)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
}
