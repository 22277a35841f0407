// Package files copies one file from a seed to several leechers at once, by this
// project's groups and by BitTorrent (anacrolix/torrent), each in a process of
// its own that runs all of them, over loopback, with files on disk at both
// ends, and compares time and CPU time.
//
//	go run . files -leechers 8 -size 256M -runs 3
//	go run . files -leechers 8 -size 256M -runs 3 -limit 10M
//
// The clock runs from when all leechers are told to fetch, nodes and clients
// being up and the file hashed by the seed, until the last has the whole file,
// checked, where a user would find it. Each run finds the machine's free memory at
// hand, see warm, and every second time the other is the first.
// docs/files.md has the results.
package files

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"rtmfp/simulations/peers/usage"
)

// Work is what is to be copied.
type Work struct {
	Dir      string `json:"dir"` // with the file at Dir/seed/file
	Size     int64  `json:"size"`
	Leechers int    `json:"leechers"`
	Limit    int    `json:"limit"`   // of each one's upload in bytes per second, 0 for none
	Profile  string `json:"profile"` // where a CPU profile goes, with the swarm's name behind it
}

// Result is one run.
type Result struct {
	Swarm   string    `json:"swarm"`
	Run     int       `json:"run"`
	Done    []float64 `json:"done"`   // seconds, by leecher
	CPU     float64   `json:"cpu"`    // seconds, of all together
	Memory  int64     `json:"memory"` // most bytes of the process
	Seed    int64     `json:"seed"`   // bytes that the seed sent
	Failure string    `json:"failure,omitempty"`
}

// Last returns when the last leecher was done.
func (r *Result) Last() float64 { return slices.Max(r.Done) }

// swarm is a way to copy files.
type swarm struct {
	name string
	// start makes the seed and the leechers ready, and returns how to fetch the
	// file as the i-th leecher, to the path that is given.
	start func(ctx context.Context, w *Work) (group, error)
}

type group interface {
	Fetch(ctx context.Context, i int, path string) error
	SeedSent() int64
	Close()
}

var swarms = []swarm{{"rtmfp", startRTMFP}, {"torrent", startTorrent}}

// Main runs the comparison that args ask for.
func Main(args []string, out, progress io.Writer) error {
	f := flag.NewFlagSet("files", flag.ContinueOnError)
	var w Work
	size := f.String("size", "256M", "size of the file; M and G are powers of 1024")
	limit := f.String("limit", "0", "most that each one sends, in bytes per second; M is a million")
	f.IntVar(&w.Leechers, "leechers", 8, "leechers beside the one seed")
	runs := f.Int("runs", 3, "interleaved runs; the table shows medians")
	names := f.String("swarms", "rtmfp,torrent", "what to compare")
	f.StringVar(&w.Dir, "dir", "", "folder for the files; default: a temporary one")
	f.StringVar(&w.Profile, "profile", "", "file for a CPU profile of each swarm's last run, the name of which is put behind")
	asJSON := f.Bool("json", false, "print every run as a JSON object instead of the table")
	worker := f.String("worker", "", "for the program's own use")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *worker != "" {
		return work(*worker, os.Stdin, out)
	}
	bytes, err := number(*size, 1<<20)
	if err != nil {
		return err
	}
	rate, err := number(*limit, 1e6)
	if err != nil {
		return err
	}
	w.Size, w.Limit = bytes, int(rate)
	if w.Leechers < 1 || *runs < 1 {
		return errors.New("-leechers and -runs: at least one")
	}
	var results []Result
	for run := range *runs {
		order := strings.Split(*names, ",")
		if run%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			memory, err := warm(progress)
			if err != nil {
				return err
			}
			fmt.Fprintf(progress, "run %d of %d: %s\n", run+1, *runs, name)
			r := one(name, w)
			memory.close()
			r.Run = run
			if r.Failure != "" {
				fmt.Fprintln(progress, r.Failure)
			}
			if *asJSON {
				if err := json.NewEncoder(out).Encode(r); err != nil {
					return err
				}
			}
			results = append(results, r)
		}
	}
	if !*asJSON {
		table(out, w, results)
	}
	for _, r := range results {
		if r.Failure != "" {
			return errors.New("not all runs succeeded")
		}
	}
	return nil
}

// number reads a number with M or G behind it, which stand for unit and the next
// power of it.
func number(text string, unit float64) (int64, error) {
	by := 1.0
	switch {
	case strings.HasSuffix(text, "M"):
		by = unit
	case strings.HasSuffix(text, "G") && unit == 1<<20:
		by = 1 << 30
	case strings.HasSuffix(text, "G"):
		by = 1e9
	}
	v, err := strconv.ParseFloat(strings.TrimRight(text, "MG"), 64)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is not a number of bytes", text)
	}
	return int64(v * by), nil
}

// one makes one run in a process of its own.
func one(name string, w Work) (r Result) {
	r.Swarm = name
	dir, err := os.MkdirTemp(w.Dir, "peers-files-")
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	defer os.RemoveAll(dir)
	w.Dir = dir
	self, err := os.Executable()
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	input, err := json.Marshal(w)
	if err != nil {
		r.Failure = err.Error()
		return r
	}
	cmd := exec.Command(self, "files", "-worker", name)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(input)), os.Stderr
	output, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(output, &r)
	}
	if err != nil {
		r.Failure = fmt.Sprintf("%s: %v", name, err)
	}
	return r
}

// work is the body of a process that makes one run.
func work(name string, in io.Reader, out io.Writer) error {
	var w Work
	if err := json.NewDecoder(in).Decode(&w); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	i := slices.IndexFunc(swarms, func(s swarm) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("no such swarm: %q", name)
	}
	r, err := Run(context.Background(), &w, swarms[i])
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// seedFile is where the seed's file is.
func (w *Work) seedFile() string { return filepath.Join(w.Dir, "seed", "file") }

// Run copies the file once and checks every copy.
func Run(ctx context.Context, w *Work, s swarm) (*Result, error) {
	if err := randomFile(w.seedFile(), w.Size); err != nil {
		return nil, err
	}
	g, err := s.start(ctx, w)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	r := &Result{Swarm: s.name, Done: make([]float64, w.Leechers)}
	errs := make([]error, w.Leechers)
	done := make(chan int)
	if w.Profile != "" {
		f, err := os.Create(w.Profile + "." + s.name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
		defer pprof.StopCPUProfile()
	}
	cpu, began := usage.CPUSeconds(), time.Now()
	path := func(i int) string { return filepath.Join(w.Dir, fmt.Sprint("leecher", i), "file") }
	for i := range w.Leechers {
		go func() {
			errs[i] = g.Fetch(ctx, i, path(i))
			r.Done[i] = time.Since(began).Seconds()
			done <- i
		}()
	}
	for range w.Leechers {
		<-done
	}
	pprof.StopCPUProfile()
	r.CPU, r.Memory, r.Seed = usage.CPUSeconds()-cpu, usage.PeakMemory(), g.SeedSent()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i := range w.Leechers {
		if err := same(w.seedFile(), path(i)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// randomFile makes a file of random bytes.
func randomFile(path string, size int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{7}), size); err != nil {
		return err
	}
	return f.Close()
}

// same returns an error if two files differ.
func same(a, b string) error {
	fa, err := os.Open(a)
	if err != nil {
		return err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return err
	}
	defer fb.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(fa, x)
		m, errB := io.ReadFull(fb, y)
		if n != m || string(x[:n]) != string(y[:m]) {
			return fmt.Errorf("%s differs from %s", b, a)
		}
		if errA != nil || errB != nil {
			return nil
		}
	}
}
