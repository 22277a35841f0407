package run

import (
	"testing"
)

// Figures do not depend on how many nodes are run at once.
func TestLanes(t *testing.T) {
	s := parse(t, `nodes = 40
warmup = "9s"
duration = "2s"
[network]
last_mile = ["1ms", "10ms"]
[live]
bitrate = "400kbit/s"
message = "900B"
[posts]
rate = 5
size = "300B"
[files]
size = "200kB"
`)
	ahead := func(r *run) {
		if r.m == nil || r.lookahead() == 0 {
			t.Fatal("nodes cannot be run ahead of each other")
		}
	}
	one := once(t, s, 5, Options{Lanes: 1, made: ahead})
	three := once(t, s, 5, Options{Lanes: 3, made: ahead})
	if one.Trace != three.Trace {
		t.Errorf("one lane: trace %v, three: %v", one.Trace, three.Trace)
	}
	same := 0
	for name, v := range one.Figures {
		switch name {
		case "memory_per_node_bytes", "events_per_s", "real_time_ratio": // of the process
			continue
		}
		if o := three.Figures[name]; o != v {
			t.Errorf("%s: %v with one lane, %v with three", name, v, o)
		}
		same++
	}
	if same < 20 || one.Figures["post_delay_p99_ms"] == 0 || one.Figures["file_done_ratio"] == 0 || one.Figures["delay_p99_ms"] == 0 {
		t.Errorf("too little was measured: %v", one.Figures)
	}
}

// A replay, in which nodes act strictly one after the other, is the run that it
// repeats, though nodes come, leave, and die in it.
func TestReplay(t *testing.T) {
	s := parse(t, `nodes = 16
warmup = "4s"
duration = "6s"
[network]
last_mile = ["1ms", "10ms"]
jitter = "2ms"
loss = 0.001
[sessions]
distribution = "exponential"
median = "10s"
orderly = 0.5
[live]
bitrate = "400kbit/s"
message = "900B"
`)
	ends := 0
	ran := once(t, s, 5, Options{Lanes: 2, made: func(r *run) {
		if r.lookahead() == 0 {
			t.Fatal("nodes cannot be run ahead of each other")
		}
	}})
	again := once(t, s, 5, Options{Tell: func(h Happening) {
		if h.What == "die" || h.What == "leave" {
			ends++
		}
	}})
	if ran.Trace != again.Trace {
		t.Errorf("run: trace %v, replay: %v", ran.Trace, again.Trace)
	}
	if ends < 3 {
		t.Errorf("only %d nodes left or died", ends)
	}
}
