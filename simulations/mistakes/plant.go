package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module returns the folder with the go.mod of this program.
func module() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", fmt.Errorf("run this from a checkout of the module")
	}
	return filepath.Dir(mod), nil
}

// plant returns the text of the mistake's file with the mistake in it.
func (m Mistake) plant(top string) (string, error) {
	b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(m.File)))
	if err != nil {
		return "", err
	}
	text := string(b)
	if n := strings.Count(text, m.Old); n != 1 {
		return "", fmt.Errorf("mistake %s: its text stands %d times in %s, not once: it must follow the code", m.Name, n, m.File)
	}
	return strings.Replace(text, m.Old, m.New, 1), nil
}

// goBuild returns the command that builds rtmfp-node.
func goBuild(top, program string, args ...string) *exec.Cmd {
	// Without debugging information, which would cost half of the link.
	cmd := exec.Command("go", append(append([]string{"build", "-ldflags=-s -w", "-o", program}, args...), "./cmd/rtmfp-node")...)
	cmd.Dir = top
	return cmd
}
