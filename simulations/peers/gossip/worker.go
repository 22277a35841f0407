package gossip

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"
)

// systems are what is compared, each with how it runs a scenario.
var systems = map[string]func(t *testing.T, s *Scenario, report func(Result)){
	"rtmfp":     runRTMFP,
	"gossipsub": runGossipSub,
}

// work is the body of a process that runs one scenario on one system: it reads
// the scenario from in, prints the result, and ends the process. Each run has
// a process of its own so that its CPU time and memory are nobody else's.
//
// Virtual time for code that calls package time is testing/synctest, which
// exists for tests only; testing.Main is there for other programs that want to
// run some.
func work(system string, in io.Reader, out io.Writer) error {
	f := systems[system]
	if f == nil {
		return fmt.Errorf("no such system: %q", system)
	}
	var s Scenario
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("scenario: %w", err)
	}
	if err := s.settle(); err != nil {
		return err
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: system, F: func(t *testing.T) {
			f(t, &s, func(r Result) {
				if err := json.NewEncoder(out).Encode(r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				os.Exit(0)
			})
		},
	}}, nil, nil)
	return nil // not reached
}
