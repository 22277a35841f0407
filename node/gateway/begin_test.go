package gateway

import (
	"net/http"
	"testing"
)

// What a request reads first is fetched first.
func TestBeginning(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "bytes=0-": 0, "bytes=500-": 500, "bytes=500-999": 500, "bytes=70000-70001,5-6": 70000,
		"bytes=-500": 0, "bytes=x-": 0, "lines=5-": 0, "bytes=99999999999999999999-": 0,
	} {
		r := &http.Request{Header: http.Header{"Range": {text}}}
		if got := beginning(r); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
