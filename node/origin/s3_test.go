package origin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// signed reports whether a request carries the signature that a secret key
// makes: AWS Signature Version 4, written down here once more since the server
// of these tests takes any.
func signed(r *http.Request, accessKey, secret string) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return false
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[key] = value
	}
	scope, ok := strings.CutPrefix(fields["Credential"], accessKey+"/")
	if !ok {
		return false
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + fields["SignedHeaders"] + "\n" + r.Header.Get("X-Amz-Content-Sha256")
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	sum := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	return hex.EncodeToString(mac(key, text)) == fields["Signature"]
}

// An object store is an origin for who has its keys, and for nobody else; it is
// asked by range, and only for what lies under the prefix.
func TestS3(t *testing.T) {
	data := randomData(40*content.BlockSize + 11)
	backend := s3mem.New()
	for _, bucket := range []string{"films", "private"} {
		if err := backend.CreateBucket(bucket); err != nil {
			t.Fatal(err)
		}
		if _, err := backend.PutObject(bucket, "a talk.mp4", nil, bytes.NewReader(data), int64(len(data)), nil); err != nil {
			t.Fatal(err)
		}
	}
	objects := gofakes3.New(backend).Server()
	var ranges []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !signed(r, "key", "secret") {
			http.Error(w, "AccessDenied", http.StatusForbidden)
			return
		}
		ranges = append(ranges, r.Header.Get("Range"))
		objects.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	films := S3{Prefix: server.URL + "/films/", AccessKey: "key", SecretKey: "secret"}
	for _, c := range []struct {
		name  string
		s3    []S3
		path  string
		known int
		want  error
	}{
		{"all of it", []S3{films}, "/films/a%20talk.mp4", 0, nil},
		{"by range", []S3{films}, "/films/a%20talk.mp4", 20, nil},
		{"no keys", nil, "/films/a%20talk.mp4", 20, ErrBad},
		{"another bucket", []S3{films}, "/private/a%20talk.mp4", 20, ErrBad},
		{"out of the bucket", []S3{films}, "/films/../private/a%20talk.mp4", 20, ErrBad},
		{"wrong keys", []S3{{Prefix: films.Prefix, AccessKey: "key", SecretKey: "guess"}}, "/films/a%20talk.mp4", 20, ErrBad},
		{"no such object", []S3{films}, "/films/b", 20, ErrBad},
	} {
		ranges = nil
		s, m := fetching(t, data, c.known, server.URL+c.path)
		client := New(Options{Private: true, S3: c.s3})
		err := client.Fetch(ctx, s, m, store.Range{From: 1, To: 4}, nil)
		client.Close()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil && c.known > 0 && fmt.Sprint(ranges) != "[bytes=65536-262143]" {
			t.Errorf("%s: asked for %q", c.name, ranges)
		}
		if c.want == nil {
			if _, damaged, err := s.Verify(ctx, m.Hash, nil); damaged != 0 || err != nil || !strings.Contains(have(t, s, m.Hash), "{0 ") {
				t.Errorf("%s: %d damaged, %v", c.name, damaged, err)
			}
		}
	}
}
