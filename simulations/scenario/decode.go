package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// decoder puts a TOML tree into structs by their tags, and collects what does
// not fit.
type decoder struct {
	source   *source
	problems Problems
}

func (d *decoder) complain(path, format string, args ...any) {
	d.problems = append(d.problems, d.source.problem(path, fmt.Sprintf(format, args...)))
}

// key is one key of a struct.
type key struct {
	name  string
	field reflect.StructField
	index int
}

func keysOf(t reflect.Type) (keys []key) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("toml"); name != "" && name != "-" {
			keys = append(keys, key{name, f, i})
		}
	}
	return keys
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// table decodes a table into a struct. Keys that are missing get defaults.
func (d *decoder) table(path string, tree map[string]any, into reflect.Value) {
	keys := keysOf(into.Type())
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
		v, given := tree[k.name]
		d.field(join(path, k.name), k.field, v, given, into.Field(k.index))
	}
	for _, name := range sortedKeys(tree) {
		if !slices.Contains(names, name) && !(path == "" && (name == "sizes" || name == "expect")) {
			if path == "" {
				names = append(names, "expect", "sizes")
			}
			d.complain(join(path, name), "unknown key%s", meant(name, names))
		}
	}
}

func sortedKeys(tree map[string]any) []string {
	names := make([]string, 0, len(tree))
	for name := range tree {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// field decodes one key.
func (d *decoder) field(path string, f reflect.StructField, v any, given bool, into reflect.Value) {
	switch kind := into.Kind(); {
	case kind == reflect.Pointer:
		if tree, ok := d.tree(path, v, given); ok {
			into.Set(reflect.New(into.Type().Elem()))
			d.table(path, tree, into.Elem())
		}
	case kind == reflect.Struct:
		tree, _ := d.tree(path, v, given)
		d.table(path, tree, into)
	case kind == reflect.Slice && into.Type().Elem().Kind() == reflect.Struct:
		d.tables(path, v, given, into)
	case kind == reflect.Slice, kind == reflect.Array:
		d.list(path, f, v, given, into)
	default:
		d.scalar(path, f, v, given, into)
	}
}

// tree returns the table at a path; false if there is none.
func (d *decoder) tree(path string, v any, given bool) (map[string]any, bool) {
	if !given {
		return nil, false
	}
	tree, ok := v.(map[string]any)
	if !ok {
		d.complain(path, "is a table: write [%s] and its keys below it", path)
	}
	return tree, ok
}

func (d *decoder) tables(path string, v any, given bool, into reflect.Value) {
	if !given {
		return
	}
	trees, ok := v.([]map[string]any)
	if !ok {
		d.complain(path, "may be there several times: write [[%s]] before the keys of each", path)
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(trees), len(trees)))
	for i, tree := range trees {
		d.table(fmt.Sprintf("%s[%d]", path, i), tree, into.Index(i))
	}
}

func (d *decoder) list(path string, f reflect.StructField, v any, given bool, into reflect.Value) {
	if !given {
		return
	}
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	if into.Kind() == reflect.Slice {
		into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
	} else if len(items) != into.Len() {
		d.complain(path, "want %d values in brackets, got %d", into.Len(), len(items))
		return
	}
	for i, item := range items {
		d.scalar(path, f, item, true, into.Index(i))
	}
}

// scalar decodes a value and holds it against its bounds.
func (d *decoder) scalar(path string, f reflect.StructField, v any, given bool, into reflect.Value) {
	if !given {
		text, ok := f.Tag.Lookup("default")
		if !ok {
			return
		}
		if v = any(text); into.Kind() == reflect.Int {
			n, _ := strconv.ParseInt(text, 10, 64)
			v = n
		} else if into.Kind() == reflect.Bool {
			v = text == "true"
		}
	}
	if err := assign(into, v); err != nil {
		d.complain(path, "%v", err)
		return
	}
	if !given {
		return
	}
	if words := f.Tag.Get("enum"); words != "" && !slices.Contains(strings.Split(words, ","), fmt.Sprint(v)) {
		d.complain(path, "%q is none of its values%s", fmt.Sprint(v), meant(fmt.Sprint(v), strings.Split(words, ",")))
		return
	}
	for _, bound := range [...]string{"min", "max"} {
		text, ok := f.Tag.Lookup(bound)
		if !ok {
			continue
		}
		limit := reflect.New(into.Type()).Elem()
		var lv any = text
		if into.Kind() == reflect.Int {
			lv, _ = strconv.ParseInt(text, 10, 64)
		}
		if err := assign(limit, lv); err != nil {
			panic("BUG: scenario: " + path + ": " + err.Error())
		}
		switch have, want := number(into), number(limit); {
		case bound == "min" && have < want:
			d.complain(path, "%v is too little: at least %s", v, text)
		case bound == "max" && have > want:
			d.complain(path, "%v is too much: at most %s", v, text)
		}
	}
}

// assign sets a field of any of the kinds that there are.
func assign(into reflect.Value, v any) error {
	if own, ok := into.Addr().Interface().(value); ok {
		return own.set(v)
	}
	switch into.Kind() {
	case reflect.Int:
		n, ok := v.(int64)
		if !ok {
			return fmt.Errorf("want a whole number")
		}
		into.SetInt(n)
	case reflect.Bool:
		b, ok := v.(bool)
		if !ok {
			return fmt.Errorf("want true or false")
		}
		into.SetBool(b)
	case reflect.String:
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf(`want a text in quotes, such as "abc"`)
		}
		into.SetString(s)
	default:
		panic("BUG: scenario: no way to decode " + into.Type().String())
	}
	return nil
}

func number(v reflect.Value) float64 {
	if own, ok := v.Addr().Interface().(value); ok {
		return own.number()
	}
	return float64(v.Int())
}

// Key describes a key of a scenario.
type Key struct {
	Path    string // "network.loss", "class.share"
	Kind    string // "time", "rate", …
	Default string
	Range   string // bounds, or the words that are allowed
	Doc     string
}

// Keys describes all keys in the order of the documentation.
func Keys() []Key { return describe("", reflect.TypeFor[Scenario]()) }

func describe(path string, t reflect.Type) (all []Key) {
	for _, k := range keysOf(t) {
		ft := k.field.Type
		one := Key{Path: join(path, k.name), Default: k.field.Tag.Get("default"), Doc: k.field.Tag.Get("doc")}
		elem := ft
		for elem.Kind() == reflect.Pointer || elem.Kind() == reflect.Slice || elem.Kind() == reflect.Array {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct {
			one.Kind = "table"
			if ft.Kind() == reflect.Slice {
				one.Kind = "tables"
			}
			all = append(all, one)
			all = append(all, describe(one.Path, elem)...)
			continue
		}
		one.Kind = kindName(elem)
		if ft != elem {
			one.Kind = "list of " + one.Kind + "s"
		}
		least, most := k.field.Tag.Get("min"), k.field.Tag.Get("max")
		switch {
		case k.field.Tag.Get("enum") != "":
			one.Range = strings.ReplaceAll(k.field.Tag.Get("enum"), ",", ", ")
		case elem == reflect.TypeFor[Ratio]():
			one.Range = "0 to 1"
		case least != "" && most != "":
			one.Range = least + " to " + most
		case most != "":
			one.Range = "up to " + most
		}
		all = append(all, one)
	}
	return all
}

func kindName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return "time"
	case reflect.TypeFor[Rate]():
		return "rate"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Ratio]():
		return "share"
	case reflect.TypeFor[Float]():
		return "number"
	}
	switch t.Kind() {
	case reflect.Int:
		return "whole number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

// DocRow returns the row of a key in the tables of docs/scenarios.md.
func DocRow(k Key) string {
	name := k.Path
	if cut := strings.LastIndexByte(name, '.'); cut >= 0 {
		name = name[cut+1:]
	}
	def := k.Default
	if def == "" {
		def = "–"
	}
	kind := k.Kind
	if k.Range != "" {
		kind += ": " + k.Range
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", name, kind, def, k.Doc)
}
