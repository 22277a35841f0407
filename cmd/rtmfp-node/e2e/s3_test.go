//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"rtmfp/node/origin"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// Keys of the object store.
const (
	s3Access = "AKIAIOSFODNN7EXAMPLE"
	s3Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// objectStore is a server of S3, versitygw, that runs as a process of its own.
type objectStore struct{ url string }

// newObjectStore builds the server, which the module in s3server names, and
// starts it with nothing in it.
func newObjectStore(t *testing.T) *objectStore {
	t.Helper()
	program := filepath.Join(scratch, "versitygw")
	build := exec.Command("go", "build", "-o", program, "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = "s3server"
	if out, err := build.CombinedOutput(); err != nil {
		missing(t, "go build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	for _, sub := range []string{"objects", "attributes"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	server := start(t, "versitygw", program, "--port", addr, "--access", s3Access, "--secret", s3Secret, "--region", "us-east-1",
		"posix", "--sidecar", filepath.Join(dir, "attributes"), filepath.Join(dir, "objects"))
	s := &objectStore{url: "http://" + addr}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return s
		}
		select {
		case <-server.done:
			t.Fatalf("versitygw: %v", server.exit)
		default:
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("versitygw does not listen")
		}
	}
}

// put makes a bucket, or an object.
func (s *objectStore) put(t *testing.T, path string, data []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, s.url+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	resp, err := http.DefaultClient.Do(signer.SignV4(*req, s3Access, s3Secret, "", "us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var why bytes.Buffer
		_, _ = why.ReadFrom(resp.Body)
		t.Fatalf("PUT %s: %s, %s", path, resp.Status, &why)
	}
}

// An object of a real object store is an origin for who has its keys, whole and
// by range, and for nobody else.
func TestObjectStore(t *testing.T) {
	objects := newObjectStore(t)
	data := make([]byte, 40*content.BlockSize+11)
	rand.NewChaCha8([32]byte{7}).Read(data)
	for _, bucket := range []string{"/films", "/private"} {
		objects.put(t, bucket, nil)
		objects.put(t, bucket+"/season%201/a%20talk.mp4", data)
	}
	if resp, err := http.Get(objects.url + "/films/season%201/a%20talk.mp4"); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("without a signature: %v, %v", resp, err)
	}
	tree, err := content.Build(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	films := origin.S3{Prefix: objects.url + "/films/", AccessKey: s3Access, SecretKey: s3Secret}
	for _, c := range []struct {
		name  string
		s3    []origin.S3
		path  string
		known bool // there is every other block, and so the hashes of all
		want  error
		have  int // blocks

	}{
		{"all of it", []origin.S3{films}, "/films/season%201/a%20talk.mp4", false, nil, 41},
		{"by range", []origin.S3{films}, "/films/season%201/a%20talk.mp4", true, nil, 22},
		{"no keys", nil, "/films/season%201/a%20talk.mp4", true, origin.ErrBad, 20},
		{"another bucket", []origin.S3{films}, "/private/season%201/a%20talk.mp4", true, origin.ErrBad, 20},
		{"wrong secret", []origin.S3{{Prefix: films.Prefix, AccessKey: s3Access, SecretKey: "guess"}}, "/films/season%201/a%20talk.mp4", true, origin.ErrBad, 20},
		{"wrong key", []origin.S3{{Prefix: films.Prefix, AccessKey: "guess", SecretKey: s3Secret}}, "/films/season%201/a%20talk.mp4", true, origin.ErrBad, 20},
		{"wrong region", []origin.S3{{Prefix: films.Prefix, AccessKey: s3Access, SecretKey: s3Secret, Region: "eu-west-1"}}, "/films/season%201/a%20talk.mp4", true, origin.ErrBad, 20},
		{"no such object", []origin.S3{films}, "/films/b", true, origin.ErrBad, 20},
	} {
		s, err := store.Open(t.TempDir(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := content.Manifest{Name: "x", Size: int64(len(data)), Hash: tree.Root(), Origins: []string{objects.url + c.path}}
		if _, err := s.Create(m); err != nil {
			t.Fatal(err)
		}
		for i := 0; c.known && i < 40; i += 2 {
			proof, _ := tree.AppendProof(nil, i, 24)
			if err := s.WriteBlock(m.Hash, i, data[i*content.BlockSize:][:content.BlockSize], proof); err != nil {
				t.Fatal(err)
			}
		}
		client := origin.New(origin.Options{Private: true, S3: c.s3})
		err = client.Fetch(context.Background(), s, m, store.Range{From: 1, To: 4}, nil)
		client.Close()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if in, err := s.Info(m.Hash); err != nil || in.Have != c.have {
			t.Errorf("%s: have %d blocks, %v, want %d", c.name, in.Have, err, c.have)
		}
		if _, damaged, err := s.Verify(context.Background(), m.Hash, nil); damaged != 0 || err != nil {
			t.Errorf("%s: %d damaged, %v", c.name, damaged, err)
		}
		s.Close()
	}
}

// A swarm gets a file from an object store when nobody has it any more, if one
// of its members has the keys.
func TestGetFromObjectStore(t *testing.T) {
	objects := newObjectStore(t)
	data := make([]byte, 5<<20+77)
	rand.NewChaCha8([32]byte{8}).Read(data)
	objects.put(t, "/films", nil)
	objects.put(t, "/films/talk.bin", data)
	dir := t.TempDir()
	path := filepath.Join(dir, "talk.bin")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, "--name", "films", "--replication")
	flags := []string{"--listen", "127.0.0.1:0", "--identity", "none"}
	run := node(t, "run", append([]string{"run", "--group", spec}, flags...)...)
	via := run.line(t, &run.out, "rtmfp://", 20*time.Second)
	share := node(t, "share", append([]string{"share", "--group", spec, "--bootstrap", via, "--store", filepath.Join(dir, "s1"),
		"--origin", objects.url + "/films/talk.bin", path}, flags...)...)
	link := share.line(t, &share.out, "rtmfp-file:", 30*time.Second)
	share.signal(t, syscall.SIGTERM)
	share.wait(t, 20*time.Second)
	t.Setenv("AWS_ACCESS_KEY_ID", s3Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3Secret)
	out := filepath.Join(dir, "got")
	get := node(t, "get", append([]string{"get", link, "-o", out, "--store", filepath.Join(dir, "s2"),
		"--private-origins", "--s3", objects.url + "/films/"}, flags...)...)
	if code := get.wait(t, 60*time.Second); code != 0 {
		t.Fatalf("get: exit code %d", code)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
