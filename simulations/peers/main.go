// Command peers runs the same work on RTMFP and on its peers, QUIC (quic-go)
// and SCTP (pion) with and without DTLS, interleaved in one run, and prints
// what each cost and how they compare.
//
//	go run .                     # all of it, about half an hour
//	go run . -rows bulk -runs 3  # less
//
// With -rtmfp-cpp it compares with that library, too, which others must have
// built.
//
// It also carries one stream through a group of RTMFP nodes and through
// GossipSub, on virtual time (package gossip):
//
//	go run . gossip
//
// And it copies files to many at once, as BitTorrent does (package files):
//
//	go run . files
//
// Sender and receiver are processes of their own, pinned to a core each on
// Linux. It is a module of its own, so that no dependency of it reaches the
// product. docs/performance.md has the results and what they mean.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"rtmfp/simulations/peers/files"
	"rtmfp/simulations/peers/gossip"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "gossip" {
		fail(gossip.Main(os.Args[2:], os.Stdout, os.Stderr))
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "files" {
		fail(files.Main(os.Args[2:], os.Stdout, os.Stderr))
		return
	}
	var o options
	var w workerOptions
	names := flag.String("peers", "", "what to compare, the first is the one that ratios are to the benefit of; all of "+strings.Join(allPeers(), ","))
	cpp := flag.String("rtmfp-cpp", "", "a checkout of zenomt/rtmfp-cpp in which librtmfp.a was built; adds the peer "+rtmfpCPP)
	rows := flag.String("rows", strings.Join(allRows(), ","), "what to measure")
	flag.IntVar(&o.runs, "runs", 5, "interleaved runs of each row; the table shows medians")
	flag.Int64Var(&o.bytes, "bytes", 1<<30, "size of the bulk transfer")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "length of the transfers over a bad path")
	flag.IntVar(&o.setups, "setups", 500, "set-ups in all runs together")
	flag.BoolVar(&o.json, "json", false, "print every run as a JSON object instead of the table")
	flag.BoolVar(&o.unpinned, "unpinned", false, "let the system choose the cores")
	flag.StringVar(&w.role, "worker", "", "for the program's own use")
	flag.StringVar(&w.peer, "peer", "", "likewise")
	flag.StringVar(&w.to, "to", "", "likewise")
	flag.IntVar(&w.setups, "worker-setups", 0, "likewise")
	flag.Parse()
	var err error
	if w.role != "" {
		w.bytes, w.duration = o.bytes, o.duration
		err = work(w, os.Stdin, os.Stdout)
	} else {
		err = o.start(*names, *rows, *cpp)
	}
	fail(err)
}

// fail ends the program if there was an error.
func fail(err error) {
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// start compares the peers and rows of two lists, of which an empty one stands
// for all peers.
func (o options) start(names, rows, cpp string) error {
	if cpp != "" {
		remove, err := buildRTMFPCPP(cpp)
		if err != nil {
			return err
		}
		defer remove()
	}
	o.peers, o.rows = allPeers(), strings.Split(rows, ",")
	if names != "" {
		o.peers = strings.Split(names, ",")
	}
	return compare(o, os.Stdout, os.Stderr)
}

// emit prints v as a line of JSON.
func emit(out interface{ Write([]byte) (int, error) }, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
