package store

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rtmfp/replication/content"
)

var kills = flag.Int("kills", 10, "how many times the process with the store is killed")

const (
	envChild  = "RTMFP_STORE_CHILD" // where the child finds its store
	envSeed   = "RTMFP_STORE_SEED"
	poolFiles = 12
)

// children are what the test's own program does in a process of its own.
var children = map[string]func(dir string) error{envChild: child}

func TestMain(m *testing.M) {
	for name, play := range children {
		if dir := os.Getenv(name); dir != "" {
			if err := play(dir); err != nil {
				fmt.Println("FAIL", err)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// poolData returns the contents of one of the files that parent and child know.
func poolData(k int) []byte {
	return randomData(100+k, []int{0, 5, 65536, 200000, 300000, 1 << 20}[k%6]+k/6)
}

// child uses a store as wildly as it can until it is killed, and says what is
// done.
func child(dir string) error {
	seed, _ := strconv.ParseUint(os.Getenv(envSeed), 10, 64)
	r := rand.New(rand.NewPCG(seed, 1))
	// What a process has written is there when it is killed, synced or not: without
	// waiting for the disk there are more points at which it can be.
	s, err := Open(filepath.Join(dir, "store"), Options{SyncBytes: 300000, noSync: true, disk: fastDisk{}})
	if err != nil {
		return err
	}
	for {
		k := r.IntN(poolFiles)
		src := newSource(poolData(k))
		h := src.tree.Root()
		switch r.IntN(8) {
		case 0:
			if _, err := s.AddBytes(src.data, AddOptions{Name: "x"}); err != nil {
				return err
			}
			fmt.Println("whole", k)
		case 1:
			if _, err := s.Add(ctx, filepath.Join(dir, strconv.Itoa(k)), AddOptions{InPlace: true}); err != nil {
				return err
			}
			fmt.Println("whole", k)
		case 2:
			fmt.Println("remove", k)
			s.Remove(h)
		case 3:
			fmt.Println("move", k)
			s.Export(ctx, h, filepath.Join(dir, "moved", strconv.Itoa(k)), ExportOptions{Move: true, Overwrite: true})
		default:
			if _, err := s.Create(manifest("x", src.data)); err != nil {
				return err
			}
			for _, i := range r.Perm(src.tree.Blocks()) {
				if err := src.send(s, i); err != nil {
					return err
				}
				fmt.Println("block", k, i)
				if r.IntN(10) == 0 {
					break
				}
			}
		}
		if got, _, err := s.ReadBlock(h, 0, 0, nil); err == nil && !bytes.Equal(got, block(src.data, 0)) {
			return fmt.Errorf("wrong bytes of %d", k)
		}
	}
}

// However a process with a store is killed, blocks that it said are written are
// there and right, and everything goes on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "moved"), 0o755); err != nil {
		t.Fatal(err)
	}
	for k := range poolFiles {
		written(t, filepath.Join(dir, strconv.Itoa(k)), poolData(k))
	}
	r := rand.New(rand.NewPCG(uint64(*kills), 1))
	there := make([]map[int]bool, poolFiles) // blocks that were acknowledged
	for k := range there {
		there[k] = make(map[int]bool)
	}
	said := 0
	for round := range *kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envChild+"="+dir, envSeed+"="+strconv.Itoa(round))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It goes on while it is read, and so is killed anywhere.
		left := 1 + r.IntN(150)
		for lines := bufio.NewScanner(out); lines.Scan(); left-- {
			if left == 0 {
				cmd.Process.Kill()
			}
			said++
			f := strings.Fields(lines.Text())
			if len(f) < 2 || f[0] == "FAIL" {
				t.Errorf("child: %s", lines.Text())
				continue
			}
			k, _ := strconv.Atoi(f[1])
			switch f[0] {
			case "whole":
				for i := range content.BlocksOf(int64(len(poolData(k)))) {
					there[k][i] = true
				}
			case "block":
				i, _ := strconv.Atoi(f[2])
				there[k][i] = true
			default: // it may be gone, or not; and a file that was moved changes when it is moved again
				clear(there[k])
			}
		}
		cmd.Wait()
		if left > 0 {
			t.Fatal("the child ended by itself")
		}
		s := opened(t, filepath.Join(dir, "store"), Options{})
		for k := range there {
			data := poolData(k)
			h := content.Sum(data)
			for i := range content.BlocksOf(int64(len(data))) {
				got, _, err := s.ReadBlock(h, i, 0, nil)
				if err == nil && !bytes.Equal(got, block(data, i)) {
					t.Errorf("round %d: wrong bytes in block %d of %d", round, i, k)
				}
				if err != nil && there[k][i] {
					t.Errorf("round %d: block %d of %d is lost: %v", round, i, k, err)
				}
			}
		}
		for _, in := range s.List() {
			if _, damaged, err := s.Verify(ctx, in.Manifest.Hash, nil); (damaged != 0 || err != nil) && !in.Broken {
				t.Errorf("round %d: %d damaged blocks of %+v, %v", round, damaged, in, err)
			}
		}
		clean(t, s)
		if round < *kills-1 && round%2 == 0 {
			abandon(s)
			continue
		}
		if round == *kills-1 {
			for k := range poolFiles {
				created(t, s, "x", poolData(k))
				src := newSource(poolData(k))
				for i := range src.tree.Blocks() {
					sent(t, s, src, i)
				}
				holds(t, s, src.data)
			}
		}
		closed(t, s)
	}
	t.Logf("%d times killed, after %d operations", *kills, said)
}
