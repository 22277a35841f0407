package node

import (
	"strings"
	"testing"
)

func TestParseBootstrap(t *testing.T) {
	for _, c := range []struct {
		text, host string
		port       uint16
		err        string
	}{
		{text: "rtmfp://seed.example.org", host: "seed.example.org", port: 1935},
		{text: "rtmfp://127.0.0.1:4000", host: "127.0.0.1", port: 4000},
		{text: "rtmfp://[2001:db8::1]:4000/", host: "2001:db8::1", port: 4000},
		{text: "rtmp://seed", err: "scheme"},
		{text: "seed:1935", err: "scheme"},
		{text: "rtmfp://", err: "no host"},
		{text: "rtmfp://seed:0", err: "port"},
		{text: "rtmfp://seed:99999", err: "port"},
		{text: "rtmfp://me@seed", err: "user"},
		{text: "rtmfp://se ed", err: "not a URL"},
	} {
		u, err := parseBootstrap(c.text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "rtmfp://HOST") {
				t.Errorf("%q: got error %v, want one about %q that shows the form", c.text, err, c.err)
			}
			continue
		}
		if err != nil || u.host != c.host || u.port != c.port {
			t.Errorf("%q: got %q %d %v, want %q %d", c.text, u.host, u.port, err, c.host, c.port)
		}
	}
}
