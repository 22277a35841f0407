package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// listed is what `go list` says about a package.
type listed struct {
	ImportPath     string
	Dir            string
	Export         string // file with the types that the package exports
	Standard       bool
	Module         *struct{ Main bool }
	GoFiles        []string
	CgoFiles       []string
	IgnoredGoFiles []string
	Imports        []string
	TestImports    []string
	XTestImports   []string
	Error          *struct{ Err string }
}

// ours reports whether the package belongs to the module that is checked.
func (l *listed) ours() bool { return l.Module != nil && l.Module.Main }

// list returns every package of the module around dir, and all that they
// depend on, compiled.
func list(dir string) ([]*listed, error) {
	cmd := exec.Command("go", "list", "-deps", "-export",
		"-json=ImportPath,Dir,Export,Standard,Module,GoFiles,CgoFiles,IgnoredGoFiles,Imports,TestImports,XTestImports,Error",
		"./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	var all []*listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		l := new(listed)
		if err := dec.Decode(l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if l.Error != nil {
			return nil, fmt.Errorf("%s: %s", l.ImportPath, l.Error.Err)
		}
		all = append(all, l)
	}
}

// source is a package with its syntax and types.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	pkg   *types.Package
	info  *types.Info
}

// loader type-checks packages against what the compiler said of their imports.
type loader struct {
	fset *token.FileSet
	imp  types.Importer
}

func newLoader(all []*listed) *loader {
	exports := make(map[string]string, len(all))
	for _, l := range all {
		exports[l.ImportPath] = l.Export
	}
	fset := token.NewFileSet()
	return &loader{fset, importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		file := exports[path]
		if file == "" {
			return nil, fmt.Errorf("no compiled package %s", path)
		}
		return os.Open(file)
	})}
}

// load reads a package's files, not those of its tests.
func (l *loader) load(p *listed) (*source, error) {
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return l.check(p.ImportPath, files)
}

func (l *loader) check(path string, files []*ast.File) (*source, error) {
	s := &source{fset: l.fset, files: files, info: &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue),
		Uses:  make(map[*ast.Ident]types.Object),
		Defs:  make(map[*ast.Ident]types.Object),
	}}
	conf := types.Config{Importer: l.imp}
	var err error
	s.pkg, err = conf.Check(path, l.fset, files, s.info)
	return s, err
}
