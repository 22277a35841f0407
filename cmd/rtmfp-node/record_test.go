package main

import (
	"encoding/json"
	"strings"
	"testing"

	"rtmfp/group"
)

// What one process puts, another one gets, after the first has gone.
func TestRecord(t *testing.T) {
	spec, url := startSeed(t, group.SpecFields{})
	common := []string{"--group", spec, "--bootstrap", url, "--listen", "127.0.0.1:0"}
	identity := t.TempDir() + "/identity"
	for _, c := range []struct {
		stdin  string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"", []string{"get", "--identity=none", "motd"}, exitFailure, "", `there is no record "motd"`},
		{"", []string{"put", "--identity", identity, "--sequence=5", "motd", "hello"}, exitOK, "", ""},
		{"", []string{"get", "--identity=none", "motd"}, exitOK, "hello\n", ""},
		{"", []string{"put", "--identity", identity, "--sequence=4", "motd", "older"}, exitFailure, "", "higher number than 4"},
		{"\xff", []string{"put", "--identity", identity, "--sequence=6", "motd"}, exitOK, "", ""},
		{"", []string{"put", "--identity=none", "--sequence=1", "motd", "mine"}, exitOK, "", ""},
		{"", []string{"get", "--identity=none", "motd"}, exitOK, "\xff\n", ""},
		{"", []string{"get", "--identity=none", "--owner=" + strings.Repeat("0", 64), "motd"}, exitFailure, "", "no record"},
		{"", []string{"get", "--identity=none", "--owner=12", "motd"}, exitUsage, "", "64 hexadecimal digits"},
		{"", []string{"put", "--identity=none", "--ttl=48h", "motd", "x"}, exitUsage, "", "at most 24h"},
		{strings.Repeat("x", 1025), []string{"put", "--identity=none", "motd"}, exitInput, "", "at most 1024 bytes"},
	} {
		args := append(append([]string{"record", c.args[0]}, common...), c.args[1:]...)
		code, stdout, stderr := command(t, c.stdin, args...)
		if code != c.code || stdout != c.stdout || !strings.Contains(stderr, c.stderr) || (stderr != "") != (c.stderr != "") {
			t.Errorf("%v: got exit code %d, %q, %q; want %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
	code, stdout, _ := command(t, "", append([]string{"record", "get", "--json", "--identity=none"}, append(common, "motd")...)...)
	d := json.NewDecoder(strings.NewReader(stdout))
	var r [2]recordReport
	for i := range r {
		if err := d.Decode(&r[i]); err != nil {
			t.Fatalf("exit code %d, record %d of %q: %v", code, i, stdout, err)
		}
	}
	if r[0].Base64 != "/w==" || r[0].Sequence != 6 || r[1].Text == nil || *r[1].Text != "mine" || r[0].Owner == r[1].Owner {
		t.Errorf("as JSON: %s", stdout)
	}
}
