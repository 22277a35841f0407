package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rtmfp/replication/content"
)

const envFull = "RTMFP_STORE_FULL"

func init() { children[envFull] = fill }

// A disk that is really full, for the index too: a small one, which only this
// process's child sees.
func TestFullDisk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envFull+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "mount:") {
		t.Skipf("this user may not mount a small disk: %v %s", err, out)
	}
	if err != nil || !strings.HasPrefix(string(out), "full ") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// fill fills a disk of 3 MiB in several ways, and checks that all stays well.
func fill(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	defer syscall.Unmount(dir, 0)
	storeDir := filepath.Join(dir, "store")
	s, err := Open(storeDir, Options{})
	if err != nil {
		return err
	}
	fulls, kept := 0, make(map[int]bool)
	src := newSource(randomData(7, 30*content.BlockSize))
	if _, err := s.Create(manifest("big", src.data)); err != nil {
		return err
	}
	sent := make(map[int]bool)
	for round := range 60 {
		k := round % 20
		var err error
		switch round % 3 {
		case 0:
			err = src.send(s, round%30)
			if err == nil {
				sent[round%30] = true
			}
		case 1:
			err = s.Sync(src.tree.Root())
		default:
			_, err = s.AddBytes(randomData(k, 200000+k), AddOptions{Name: "x"})
			if err == nil {
				kept[k] = true
			}
		}
		if errors.Is(err, ErrFull) {
			fulls++
			// Something is taken away, and it goes on.
			for old := range kept {
				if err := s.Remove(content.Sum(randomData(old, 200000+old))); err != nil && !errors.Is(err, ErrFull) {
					return err
				} else if err == nil {
					delete(kept, old)
				}
				break
			}
		} else if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if round%25 == 24 {
			if err := s.Close(); err != nil && !errors.Is(err, ErrFull) {
				return err
			}
			if s, err = Open(storeDir, Options{}); err != nil {
				return err
			}
		}
	}
	for k := range kept {
		h := content.Sum(randomData(k, 200000+k))
		for i := range 4 {
			if _, _, err := s.ReadBlock(h, i, 0, nil); err != nil {
				return fmt.Errorf("%d was added: %w", k, err)
			}
		}
	}
	for i := range sent {
		if _, _, err := s.ReadBlock(src.tree.Root(), i, 0, nil); err != nil {
			return fmt.Errorf("block %d was written: %w", i, err)
		}
	}
	if fulls == 0 {
		return errors.New("the disk was never full")
	}
	fmt.Printf("full %d times; %d files and %d blocks are there\n", fulls, len(kept), len(sent))
	return s.Close()
}
