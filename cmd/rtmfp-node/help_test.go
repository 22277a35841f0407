package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"rtmfp/group"
)

// TestHelp checks that every command has help with examples, that help goes to
// stdout with exit code 0, and that the examples parse.
func TestHelp(t *testing.T) {
	t.Chdir(t.TempDir())
	spec := testSpec(t, group.SpecFields{Replication: true, Multicast: true, Posting: true, Routing: true})
	if err := os.WriteFile("group.txt", []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	app, err := kong.New(&cli{}, kong.Name("rtmfp-node"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range app.Model.Leaves(true) {
		t.Run(cmd.Path(), func(t *testing.T) {
			args := append(strings.Fields(cmd.FullPath())[1:], "--help")
			code, stdout, stderr := command(t, "", args...)
			if code != exitOK || stderr != "" || !strings.Contains(stdout, "Example") {
				t.Errorf("%v: got exit code %d, stderr %q, want 0 and examples on stdout:\n%s", args, code, stderr, stdout)
			}
			checkExamples(t, cmd.Detail, spec)
		})
	}
	code, stdout, _ := command(t, "")
	for _, want := range []string{"demo", "publish", "Exit codes"} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("without arguments: got exit code %d, want 0 and a text with %q:\n%s", code, want, stdout)
		}
	}
}

// TestDocumentedCommands checks the command lines in the documentation.
func TestDocumentedCommands(t *testing.T) {
	dir := t.TempDir()
	spec := testSpec(t, group.SpecFields{Replication: true, Multicast: true, Posting: true, Routing: true})
	if err := os.WriteFile(filepath.Join(dir, "party.group"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "depot.group"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range []string{"../../README.md", "../../docs/swarm.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	t.Chdir(dir)
	for _, text := range texts {
		checkExamples(t, text, spec)
	}
}

// checkExamples parses the indented command lines of a text.
func checkExamples(t *testing.T, text, spec string) {
	t.Helper()
	found := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		for part := range strings.SplitSeq(line, "|") {
			words := shellWords(strings.ReplaceAll(part, `"$SPEC"`, spec))
			if len(words) < 2 || strings.TrimPrefix(words[0], "./") != "rtmfp-node" {
				continue
			}
			found++
			e := &env{stdout: new(bytes.Buffer), console: newConsole(new(bytes.Buffer), false)}
			if _, _, err := parse(e, words[1:]); err != nil {
				t.Errorf("%s: %v", part, err)
			}
		}
	}
	if found == 0 {
		t.Error("got no example that runs rtmfp-node")
	}
}

// shellWords splits a line at spaces outside double quotes, up to a
// redirection.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, some := false, false
	flush := func() {
		if some {
			words = append(words, word.String())
		}
		word.Reset()
		some = false
	}
	for _, r := range line {
		switch {
		case r == '"':
			quoted, some = !quoted, true
		case r == ' ' && !quoted:
			flush()
		case r == '>' && !quoted:
			return words
		default:
			word.WriteRune(r)
			some = true
		}
	}
	flush()
	return words
}
