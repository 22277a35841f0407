package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// variable is the environment variable that chooses the mistake of a program
// in which there are several.
const variable = "RTMFP_NODE_MISTAKE"

// graft lays several mistakes over one file, so that one build has all of them:
// the function in which a mistake is gets a wrong twin, which it calls instead
// of doing its work when that mistake is chosen.
//
//	func (s *Service) f(now clock.Time) bool {
//		if plantedMistake == "name" {
//			return s.fMistake7(now)
//		}
//		…
//
// number makes the names of the twins different.
func graft(text, file string, mistakes []Mistake, number func() int) (string, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	offset := func(p token.Pos) int { return set.Position(p).Offset }
	type insertion struct {
		at   int
		text string
	}
	var insertions []insertion
	var twins strings.Builder
	for _, m := range mistakes {
		at := strings.Index(text, m.Old)
		var f *ast.FuncDecl
		for _, d := range tree.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && offset(fd.Type.Func) <= at && at+len(m.Old) <= offset(fd.End())+1 {
				f = fd
			}
		}
		if f == nil {
			return "", fmt.Errorf("mistake %s: it is not inside one function of %s", m.Name, m.File)
		}
		call, err := callOf(f)
		if err != nil {
			return "", fmt.Errorf("mistake %s: %w", m.Name, err)
		}
		twin := fmt.Sprintf("%sMistake%d", f.Name.Name, number())
		begin, end := offset(f.Type.Func), min(offset(f.End())+1, len(text))
		wrong := strings.Replace(text[begin:end], m.Old, m.New, 1)
		name := offset(f.Name.Pos())
		head := text[begin : name+len(f.Name.Name)]
		if wrong == text[begin:end] || !strings.HasPrefix(wrong, head) {
			return "", fmt.Errorf("mistake %s: it changes nothing, or the name of %s", m.Name, f.Name.Name)
		}
		wrong = text[begin:name] + twin + wrong[len(head):]
		twins.WriteString("\n" + wrong)
		call = strings.Replace(call, "*", twin, 1)
		if f.Type.Results != nil {
			call = "return " + call
		} else {
			call += "\n\t\treturn"
		}
		insertions = append(insertions, insertion{offset(f.Body.Lbrace) + 1,
			fmt.Sprintf("\n\tif plantedMistake == %q {\n\t\t%s\n\t}\n", m.Name, call)})
	}
	slices.SortStableFunc(insertions, func(a, b insertion) int { return b.at - a.at })
	for _, in := range insertions {
		text = text[:in.at] + in.text + text[in.at:]
	}
	return text + twins.String(), nil
}

// callOf returns the call with which a function hands its work on, with a star
// for the name.
func callOf(f *ast.FuncDecl) (string, error) {
	var args []string
	for _, p := range f.Type.Params.List {
		for _, n := range p.Names {
			arg := n.Name
			if _, more := p.Type.(*ast.Ellipsis); more {
				arg += "..."
			}
			args = append(args, arg)
		}
		if len(p.Names) == 0 {
			args = append(args, "_")
		}
	}
	call := "*(" + strings.Join(args, ", ") + ")"
	if f.Recv != nil {
		if len(f.Recv.List[0].Names) == 0 {
			args = append(args, "_")
		} else {
			call = f.Recv.List[0].Names[0].Name + "." + call
		}
	}
	if slices.Contains(args, "_") {
		return "", fmt.Errorf("%s has parameters without a name", f.Name.Name)
	}
	return call, nil
}

// buildAll builds one program with all mistakes in it, of which the environment
// variable chooses one.
func buildAll(top, dir string, mistakes []Mistake) (string, error) {
	count := 0
	number := func() int { count++; return count }
	byFile := map[string][]Mistake{}
	var files []string
	for _, m := range mistakes {
		if _, err := m.plant(top); err != nil {
			return "", err
		}
		if byFile[m.File] == nil {
			files = append(files, m.File)
		}
		byFile[m.File] = append(byFile[m.File], m)
	}
	replace := map[string]string{}
	lay := func(file, text string) error {
		name := filepath.Join(dir, fmt.Sprintf("file%d.go", number()))
		replace[filepath.Join(top, filepath.FromSlash(file))] = name
		return os.WriteFile(name, []byte(text), 0o600)
	}
	for _, file := range files {
		b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(file)))
		if err != nil {
			return "", err
		}
		text, err := graft(string(b), file, byFile[file], number)
		if err != nil {
			return "", err
		}
		if err := lay(file, text); err != nil {
			return "", err
		}
		slash := strings.LastIndexByte(file, '/')
		switchFile := file[:slash] + "/zz_planted_mistake.go"
		if replace[filepath.Join(top, filepath.FromSlash(switchFile))] != "" {
			continue
		}
		if err := lay(switchFile, fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar plantedMistake = os.Getenv(%q)\n",
			file[strings.LastIndexByte(file[:slash], '/')+1:slash], variable)); err != nil {
			return "", err
		}
	}
	return compile(top, dir, replace)
}

// compile builds rtmfp-node into dir with files of dir laid over those of the
// module.
func compile(top, dir string, replace map[string]string) (string, error) {
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "rtmfp-node")
	cmd := goBuild(top, program, "-overlay", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not build: %w\n%s", err, out)
	}
	return program, nil
}
