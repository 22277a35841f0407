package archtest

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// Each import that the design forbids is found, and no other.
func TestLayers(t *testing.T) {
	standard := func(path string) bool { return isStandard(path, nil) }
	for _, c := range []struct {
		of, imports string
		ok          bool
	}{
		{"ring", "math/bits", true},
		{"ring", "rtmfp/internal/clock", false},
		{"internal/clock", "math", true},
		{"internal/clock", "rtmfp/ring", false},
		{"transport", "rtmfp/transport/wire", true},
		{"transport", "rtmfp/transport/crypto", true},
		{"transport", "rtmfp/internal/clock", true},
		{"transport", "rtmfp/transport/udp", false},
		{"transport", "rtmfp/group", false},
		{"transport", "rtmfp/ring", false},
		{"transport", "golang.org/x/sys/unix", false},
		{"transport/udp", "golang.org/x/sys/unix", true},
		{"transport/udp", "rtmfp/transport", false},
		{"transport/wire", "rtmfp/transport", false},
		{"transport/crypto", "golang.org/x/crypto/chacha20poly1305", true},
		{"group", "rtmfp/ring", true},
		{"group", "rtmfp/transport", false},
		{"group", "rtmfp/transport/wire", false},
		{"group", "rtmfp/multicast", false},
		{"group", "github.com/libp2p/go-libp2p-kbucket", true},
		{"group", "github.com/prometheus/client_golang/prometheus", false},
		{"multicast", "rtmfp/group", true},
		{"multicast", "rtmfp/posting", false},
		{"posting", "rtmfp/replication", false},
		{"replication", "rtmfp/multicast", false},
		{"replication", "github.com/hashicorp/golang-lru/v2/simplelru", true},
		{"replication", "github.com/hashicorp/golang-lru/v2/expirable", false},
		{"node", "rtmfp/transport/udp", true},
		{"node", "rtmfp/multicast", true},
		{"node", "github.com/prometheus/client_golang/prometheus", true},
		{"node", "rtmfp/simulations", false},
		{"node", "rtmfp/cmd/rtmfp-node", false},
		{"simulations", "rtmfp/node", true},
		{"cmd/rtmfp-node", "rtmfp/cmd/rtmfp-node/hls", true},
		{"cmd/rtmfp-node/hls", "github.com/asticode/go-astits", true},
		{"utils", "fmt", false},
	} {
		p := &listed{ImportPath: module + "/" + c.of, Imports: []string{c.imports}}
		found := checkLayers(p, standard)
		if ok := len(found) == 0; ok != c.ok {
			t.Errorf("%s imports %s: got %q, want ok %v", c.of, c.imports, found, c.ok)
		}
	}
}

// Tests obey the layers, but may use what helps testing; cores have no files
// that only some builds see.
func TestLayersOfTests(t *testing.T) {
	standard := func(path string) bool { return isStandard(path, nil) }
	for _, c := range []struct {
		p    listed
		want int
	}{
		{listed{TestImports: []string{"testing", "golang.org/x/tools/txtar"}}, 0},
		{listed{XTestImports: []string{"rtmfp/group", "rtmfp/ring"}}, 0},
		{listed{XTestImports: []string{"rtmfp/node"}}, 1},
		{listed{TestImports: []string{"rtmfp/transport"}}, 1},
		{listed{IgnoredGoFiles: []string{"group_windows.go"}}, 1},
		{listed{CgoFiles: []string{"group_c.go"}}, 1},
	} {
		c.p.ImportPath = module + "/group"
		if found := checkLayers(&c.p, standard); len(found) != c.want {
			t.Errorf("%+v: got %q, want %d findings", c.p, found, c.want)
		}
	}
}

// Each impurity is found on its line, and what a core may do is not.
func TestPurity(t *testing.T) {
	for _, c := range []struct {
		name, imports, body string
		want                []string // fragments of the findings, in order
	}{
		{"pure", `"time"; "errors"; "net/netip"; "math/rand/v2"; "net"; "os"; "fmt"; "slices"; "maps"`, `
			type core struct { rng *rand.Rand; m map[int]int; at netip.AddrPort; d time.Duration }
			var errGone = fmt.Errorf("gone: %w", net.ErrClosed)
			var table = [3]int{1, 2, 3}
			func newCore(seed uint64) *core { return &core{rng: rand.New(rand.NewPCG(seed, 1)), d: 3*time.Second} }
			func (c *core) do() error {
				for i := range 3 { c.m[i] = c.rng.IntN(table[i]) }
				for range []int{1} { delete(c.m, 1) }
				clear(c.m); c.m = maps.Clone(c.m)
				local := 0; local++; p := &local; *p = 2
				_ = slices.Max(table[:]); _ = c.d.Seconds()
				return errors.Join(errGone, os.ErrDeadlineExceeded)
			}`, nil},
		{"go statement", ``, `func f() { go f() }`, []string{"go statement"}},
		{"channel", ``, `var c chan int`, []string{"channel type"}},
		{"send and receive", ``, `
			func f(c chan<- int, d <-chan int) {
				c <- 1
				<-d
				for range d {}
				select {}
			}`, []string{"channel type", "channel type", "send on", "receive from", "range over a channel", "select"}},
		{"locks", `"sync"; "sync/atomic"`, `var m sync.Mutex; var n atomic.Int64`, []string{"import of sync", "import of sync/atomic"}},
		{"clock", `"time"`, `func f() any { return time.Now() }`, []string{"time.Now"}},
		{"clock under another name", `t "time"`, `var since = t.Since`, []string{"time.Since"}},
		{"dot import", `. "time"`, `func f() { Sleep(Second) }`, []string{"time.Sleep"}},
		{"alarm", `"time"`, `func f() { time.AfterFunc(time.Second, f) }`, []string{"time.AfterFunc"}},
		{"wall time", `"time"`, `var at time.Time`, []string{"time.Time"}},
		{"global randomness", `"math/rand/v2"`, `func f() int { return rand.IntN(6) }`, []string{"math/rand/v2.IntN"}},
		{"old randomness", `"math/rand"`, `var r *rand.Rand`, []string{"import of math/rand"}},
		{"system randomness", `"crypto/rand"`, `var r = rand.Reader`, []string{"import of crypto/rand"}},
		{"key generation", `"crypto/ecdh"; "io"`, `func f(r io.Reader) { ecdh.X25519().GenerateKey(r) }`, []string{"GenerateKey"}},
		{"key from a seed", `"crypto/ecdh"`, `func f(b []byte) { ecdh.X25519().NewPrivateKey(b) }`, nil},
		{"socket", `"net"`, `func f() { net.Listen("tcp", ":0") }`, []string{"net.Listen"}},
		{"old addresses", `"net"`, `var ip net.IP`, []string{"net.IP"}},
		{"web", `"net/http"`, `var c http.Client`, []string{"import of net/http"}},
		{"file", `"os"`, `func f() { os.Open("x") }`, []string{"os.Open"}},
		{"process", `"os/exec"`, `var c exec.Cmd`, []string{"import of os/exec"}},
		{"log", `"log/slog"`, `func f() { slog.Info("x") }`, []string{"import of log/slog"}},
		{"print", `"fmt"`, `func f() { fmt.Println("x") }`, []string{"fmt.Println"}},
		{"context", `"context"`, `func f(context.Context) {}`, []string{"import of context"}},
		{"map order", ``, `
			func f(m map[int]int) (s []int) {
				for k := range m {
					s = append(s, k)
				}
				return s
			}`, []string{"6: range over a map"}},
		{"map behind a name", ``, `
			type set map[int]bool
			func f(m set) { for range m {} }`, []string{"range over a map"}},
		{"map behind a type parameter", ``, `
			func f[M ~map[int]V, V any](m M) { for range m {} }`, []string{"range over a map"}},
		{"map by iterator", `"maps"; "slices"`, `
			func f(m map[int]int) []int { return slices.Collect(maps.Keys(m)) }`, []string{"maps.Keys"}},
		{"sorted map by iterator", `"maps"; "slices"`, `
			func f(m map[int]int) []int { return slices.Sorted(maps.Keys(m)) }`, nil},
		{"map sorted by some of it", `"maps"; "slices"`, `
			func f(m map[string]int) []string {
				return slices.SortedFunc(maps.Keys(m), func(a, b string) int { return len(a) - len(b) })
			}`, []string{"maps.Keys"}},
		{"iterator that can't matter", `"maps"; "slices"`, `
			func f(m map[int]int) []int {
				return slices.Collect(maps.Keys(m)) // order-free: the caller sorts
			}`, nil},
		{"map order that can't matter", ``, `
			func f(m map[int]int) (sum int) {
				for _, v := range m { // order-free: a sum
					sum += v
				}
				// order-free: a sum again, for which it takes
				// two lines to say why
				for _, v := range m {
					sum += v
				}
				return sum
			}`, nil},
		{"order-free for one line only", ``, `
			func f(m map[int]map[int]int) {
				for _, n := range m { // order-free: nothing is done
					for range n {
					}
				}
			}`, []string{"7: range over a map"}},
		{"order-free without a reason", ``, `
			func f(m map[int]int) {
				for range m { // order-free:
				}
			}`, []string{"range over a map", "without a reason"}},
		{"package state", ``, `
			var count int
			var last struct{ at []int }
			func f() { count++; last.at[0] = 1; count, _ = 1, 2 }`,
			[]string{"variable count", "variable last", "variable count"}},
		{"state of another package", `"net/netip"; "io"`, `
			var _ netip.Addr
			func f() { io.EOF = nil }`, []string{"variable EOF"}},
		{"reflection", `"reflect"`, `var t reflect.Type`, []string{"import of reflect"}},
		{"random hash", `"hash/maphash"`, `var h maphash.Hash`, []string{"import of hash/maphash"}},
		{"coroutine", `"iter"`, `func f(s iter.Seq[int]) { iter.Pull(s) }`, []string{"iter.Pull"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := synthetic(t, fmt.Sprintf("package p\nimport (%s)\n\n%s", c.imports, c.body))
			found := checkPurity(s, func(*ast.File) bool { return true })
			if len(found) != len(c.want) {
				t.Fatalf("got %d findings %q, want %d: %q", len(found), found, len(c.want), c.want)
			}
			// Those of one line come in the order of its columns.
			for i := range found {
				if !strings.Contains(found[i], c.want[i]) {
					t.Errorf("finding %d: got %q, want one with %q", i, found[i], c.want[i])
				}
			}
		})
	}
}

// In a room that is not a core as a whole, the files of its core are.
func TestCoreFiles(t *testing.T) {
	for _, c := range []struct {
		src  string
		want bool
	}{
		{"package p; type Core struct{}; func (c *Core) f() {}", true},
		{"package p; type Core struct{}; func (Core) f() {}", true},
		{"package p; type Core struct{}; func f(*Core) {}", false},
		{"package p; type Node struct{}; func (*Node) f() {}", false},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", c.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := declaresMethodOf(f, []string{"Core"}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.src, got, c.want)
		}
	}
	if i := slices.IndexFunc(rooms, func(r room) bool { return r.path == "node/..." }); i < 0 || rooms[i].core {
		t.Errorf("node: got no room, or a core; the driver lives there")
	}
}

// compiled imports the standard library. One for all tests, as it asks the go
// command for each package that it has not seen.
var compiled = importer.ForCompiler(token.NewFileSet(), "gc", nil)

// synthetic type-checks a source that imports the standard library only.
func synthetic(t *testing.T, src string) *source {
	t.Helper()
	l := &loader{fset: token.NewFileSet(), imp: compiled}
	f, err := parser.ParseFile(l.fset, "p.go", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.check("p", []*ast.File{f})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
