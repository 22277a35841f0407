package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// orderFree marks a range over a map whose order makes no difference. The
// comment stands on the line of the range or on the one above, and says why.
const orderFree = "order-free:"

// bannedImports are packages of which a core needs nothing, and why.
var bannedImports = map[string]string{
	"C":             "a core has no C",
	"context":       "a core never blocks: give deadlines as clock.Time",
	"crypto/rand":   "randomness comes from the Config",
	"embed":         "files belong to the driver",
	"expvar":        "counters are fields that Stats returns",
	"hash/maphash":  "seeded anew by each process: use a keyed hash with a seed of the Config",
	"io/fs":         "files belong to the driver",
	"io/ioutil":     "files belong to the driver",
	"log":           "give events and tracer hooks, the driver logs",
	"log/slog":      "give events and tracer hooks, the driver logs",
	"math/rand":     "use a *rand.Rand of math/rand/v2 from the Config",
	"plugin":        "a core is complete",
	"reflect":       "parsers and state machines work without reflection",
	"runtime":       "what the runtime does is not an input",
	"runtime/debug": "what the runtime does is not an input",
	"sync":          "whoever calls into a core owns it: no locks",
	"sync/atomic":   "whoever calls into a core owns it: no locks",
	"syscall":       "sockets and files belong to the driver",
	"testing":       "belongs to tests",
	"unsafe":        "a core has no need of it",
	"weak":          "what the collector does is not an input",
}

// allowedOf lists, for packages that are half pure, the names that a core may use.
var allowedOf = map[string][]string{
	"time": {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "ParseDuration"},
	"net":  {"ErrClosed"},
	"os":   {"ErrDeadlineExceeded"},
	"math/rand/v2": {"New", "NewPCG", "NewChaCha8", "NewZipf",
		"Rand", "PCG", "ChaCha8", "Zipf", "Source"},
}

// bannedOf lists single functions of packages that are pure otherwise.
var bannedOf = map[string]map[string]string{
	"fmt":  {"Print": "the driver prints", "Printf": "the driver prints", "Println": "the driver prints"},
	"iter": {"Pull": "starts a coroutine", "Pull2": "starts a coroutine"},
}

// checkPurity returns what a deterministic state machine may not contain, in
// those files of s for which want is true.
func checkPurity(s *source, want func(*ast.File) bool) []string {
	c := &purity{source: s, sorted: make(map[*ast.Ident]bool)}
	for _, f := range s.files {
		if want(f) {
			c.file(f)
		}
	}
	slices.SortFunc(c.found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.pos.Filename, b.pos.Filename), cmp.Compare(a.pos.Line, b.pos.Line),
			cmp.Compare(a.pos.Column, b.pos.Column), cmp.Compare(a.text, b.text))
	})
	texts := make([]string, 0, len(c.found))
	for _, f := range c.found {
		texts = append(texts, fmt.Sprintf("%s:%d: %s", f.pos.Filename, f.pos.Line, f.text))
	}
	return texts
}

// declaresMethodOf reports whether a file has a method of one of the types.
func declaresMethodOf(f *ast.File, names []string) bool {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv == nil || len(fn.Recv.List) == 0 {
			continue
		}
		t := ast.Unparen(fn.Recv.List[0].Type)
		if star, ok := t.(*ast.StarExpr); ok {
			t = ast.Unparen(star.X)
		}
		if id, ok := t.(*ast.Ident); ok && slices.Contains(names, id.Name) {
			return true
		}
	}
	return false
}

type finding struct {
	pos  token.Position
	text string
}

type purity struct {
	*source
	found []finding
	free  map[int]bool // lines of the file that a comment declares order-free

	// sorted holds the maps.Keys and maps.Values that slices.Sorted puts in
	// order: values that compare equal can't be told apart.
	sorted map[*ast.Ident]bool
}

func (c *purity) complain(at ast.Node, format string, args ...any) {
	c.found = append(c.found, finding{c.fset.Position(at.Pos()), fmt.Sprintf(format, args...)})
}

func (c *purity) file(f *ast.File) {
	c.orderFreeLines(f)
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if why, ok := bannedImports[path]; ok {
			c.complain(spec, "import of %s: %s", path, why)
		} else if _, half := allowedOf[path]; !half && (strings.HasPrefix(path, "net/") && path != "net/netip" ||
			strings.HasPrefix(path, "os/")) {
			c.complain(spec, "import of %s: sockets, files and processes belong to the driver", path)
		}
	}
	ast.Inspect(f, c.node)
}

// orderFreeLines finds the lines that a comment declares order-free: its own
// if code stands before it, else the one below.
func (c *purity) orderFreeLines(f *ast.File) {
	line := func(p token.Pos) int { return c.fset.Position(p).Line }
	code := make(map[int]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.File:
		case *ast.CommentGroup, *ast.Comment:
			return false
		default:
			code[line(n.Pos())] = true
		}
		return true
	})
	c.free = make(map[int]bool)
	for _, g := range f.Comments {
		for _, comment := range g.List {
			why, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(comment.Text, "//")), orderFree)
			switch {
			case !ok:
			case strings.TrimSpace(why) == "":
				c.complain(comment, "%q without a reason", orderFree)
			case code[line(comment.Pos())]:
				c.free[line(comment.Pos())] = true
			default: // the reason may take more lines
				c.free[line(g.End())+1] = true
			}
		}
	}
}

func (c *purity) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.complain(n, "go statement: concurrency lives in the driver")
	case *ast.SelectStmt:
		c.complain(n, "select: a core never waits")
	case *ast.SendStmt:
		c.complain(n, "send on a channel: a core never waits")
	case *ast.ChanType:
		c.complain(n, "channel type: outputs are drained by the caller")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.complain(n, "receive from a channel: a core never waits")
		}
	case *ast.RangeStmt:
		c.ranged(n)
	case *ast.CallExpr:
		c.called(n)
	case *ast.Ident:
		c.use(n)
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, lhs := range n.Lhs {
				c.assigned(lhs)
			}
		}
	case *ast.IncDecStmt:
		c.assigned(n.X)
	}
	return true
}

// ranged checks what a for statement goes over.
func (c *purity) ranged(n *ast.RangeStmt) {
	t := c.info.TypeOf(n.X)
	if t == nil {
		return
	}
	switch under := t.Underlying().(type) {
	case *types.Map:
		c.mapOrder(n, "range over a map")
	case *types.Chan:
		c.complain(n, "range over a channel: a core never waits")
	case *types.Interface: // a type parameter
		for i := range under.NumEmbeddeds() {
			if u, ok := under.EmbeddedType(i).(*types.Union); ok {
				for j := range u.Len() {
					if _, ok := u.Term(j).Type().Underlying().(*types.Map); ok {
						c.mapOrder(n, "range over a map")
						return
					}
				}
			} else if _, ok := under.EmbeddedType(i).Underlying().(*types.Map); ok {
				c.mapOrder(n, "range over a map")
				return
			}
		}
	}
}

func (c *purity) mapOrder(at ast.Node, what string) {
	if !c.free[c.fset.Position(at.Pos()).Line] {
		c.complain(at, "%s: its order differs from run to run; keep a slice, or say on this line or the one above why it can't matter: // %s …",
			what, orderFree)
	}
}

// called looks for slices.Sorted(maps.Keys(m)).
func (c *purity) called(n *ast.CallExpr) {
	if len(n.Args) != 1 || !c.isFunc(n.Fun, "slices", "Sorted") {
		return
	}
	if inner, ok := n.Args[0].(*ast.CallExpr); ok {
		if sel, ok := inner.Fun.(*ast.SelectorExpr); ok {
			c.sorted[sel.Sel] = true
		}
	}
}

// isFunc reports whether an expression names a function of a package.
func (c *purity) isFunc(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	fn, ok := c.info.Uses[sel.Sel].(*types.Func)
	return ok && fn.Pkg() != nil && fn.Pkg().Path() == pkg && fn.Name() == name && fn.Signature().Recv() == nil
}

// use checks a name that the file mentions.
func (c *purity) use(id *ast.Ident) {
	obj := c.info.Uses[id]
	if obj == nil || obj.Pkg() == nil || obj.Pkg() == c.pkg {
		return
	}
	path, name := obj.Pkg().Path(), obj.Name()
	method := false
	if fn, ok := obj.(*types.Func); ok {
		method = fn.Signature().Recv() != nil
	}
	if !method && obj.Parent() == obj.Pkg().Scope() {
		if allowed, half := allowedOf[path]; half && !slices.Contains(allowed, name) {
			c.complain(id, "%s.%s: of package %s a core may use %s", path, name, path, strings.Join(allowed, ", "))
		}
		if why, ok := bannedOf[path][name]; ok {
			c.complain(id, "%s.%s: %s", path, name, why)
		}
		if path == "maps" && (name == "All" || name == "Keys" || name == "Values") && !c.sorted[id] {
			c.mapOrder(id, "maps."+name)
		}
	}
	if strings.HasPrefix(path, "crypto/") && (strings.HasPrefix(name, "GenerateKey") || name == "Encapsulate") {
		c.complain(id, "%s of %s takes the system's randomness whatever it is given: make keys from seeds", name, path)
	}
}

// assigned checks the target of an assignment: state that outlives a core is
// shared by all cores of a process.
func (c *purity) assigned(target ast.Expr) {
	for {
		switch t := target.(type) {
		case *ast.ParenExpr:
			target = t.X
		case *ast.IndexExpr:
			target = t.X
		case *ast.StarExpr:
			target = t.X
		case *ast.SelectorExpr:
			if id, ok := t.X.(*ast.Ident); ok {
				if _, qualified := c.info.Uses[id].(*types.PkgName); qualified {
					target = t.Sel
					continue
				}
			}
			target = t.X
		case *ast.Ident:
			v, ok := c.info.Uses[t].(*types.Var)
			if ok && !v.IsField() && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				c.complain(t, "assignment to the package's variable %s: state belongs to a value that somebody owns", t.Name)
			}
			return
		default:
			return
		}
	}
}
