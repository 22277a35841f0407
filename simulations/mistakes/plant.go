package main

import (
	"encoding/json"
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

// build builds rtmfp-node into dir, with the mistake planted if there is one.
func build(top, dir string, m *Mistake) (string, error) {
	program := filepath.Join(dir, "rtmfp-node")
	args := []string{"build", "-o", program}
	if m != nil {
		text, err := m.plant(top)
		if err != nil {
			return "", err
		}
		wrong := filepath.Join(dir, "wrong.go")
		if err := os.WriteFile(wrong, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay, err := json.Marshal(map[string]map[string]string{
			"Replace": {filepath.Join(top, filepath.FromSlash(m.File)): wrong},
		})
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(file, overlay, 0o600); err != nil {
			return "", err
		}
		args = append(args, "-overlay", file)
	}
	cmd := exec.Command("go", append(args, "./cmd/rtmfp-node")...)
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %w\n%s", err, out)
	}
	return program, nil
}
