package content

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names and paths, those of the file systems in use.
const (
	MaxName  = 255  // bytes of a name, in UTF-8
	MaxPath  = 1024 // bytes of a path
	MaxDepth = 32   // names in a path
)

// ErrName is why a name or path would not be safe, or could not exist, on every
// system. Errors of CheckName and CheckPath wrap it.
var ErrName = errors.New("not a name that every system can take")

// CheckName returns an error if a file may not have this name. A name that it
// passes is one element of a path on any system: it leads nowhere else, opens no
// device, and shows as it is.
func CheckName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %q %s", ErrName, clip(name), why) }
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > MaxName:
		return bad(fmt.Sprintf("has %d bytes, more than %d", len(name), MaxName))
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case name == "." || name == "..":
		return bad("is a directory's")
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") || name[0] == ' ':
		return bad("begins with a space, or ends with a space or a dot")
	case isDevice(name):
		return bad("is that of a device on Windows")
	}
	for _, r := range name {
		if !nameRune(r) {
			return bad(fmt.Sprintf("has the character %q in it", r))
		}
	}
	return nil
}

// nameRune reports whether names may have r in them: not what separates paths,
// what Windows refuses, or what changes how the rest of a line is shown.
func nameRune(r rune) bool {
	return !unicode.IsControl(r) && !strings.ContainsRune(`/\<>:"|?*`, r) && r != utf8.RuneError &&
		r != '\u2028' && r != '\u2029' && !(r >= '\u202a' && r <= '\u202e') && !(r >= '\u2066' && r <= '\u2069')
}

// isDevice reports whether Windows takes a name for that of a device, which it
// does whatever follows the first dot.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, isCom := strings.CutPrefix(base, "COM")
	if !isCom {
		var isLpt bool
		if port, isLpt = strings.CutPrefix(base, "LPT"); !isLpt {
			return false
		}
	}
	switch port {
	case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
		return true
	}
	return false
}

// CleanName returns the nearest name that CheckName passes.
func CleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if nameRune(r) {
			return r
		}
		return '_'
	}, strings.ToValidUTF8(name, "_"))
	if len(name) > MaxName {
		// The end says what kind of file it is.
		ext := name[strings.LastIndexByte(name, '.')+1:]
		if len(ext) > 16 || len(ext) == len(name) {
			ext = ""
		} else {
			ext = "." + ext
		}
		name = strings.ToValidUTF8(name[:MaxName-len(ext)], "") + ext
	}
	name = strings.TrimLeft(strings.TrimRight(name, ". "), " ")
	switch {
	case name == "":
		return "_"
	case isDevice(name):
		return "_" + name[:min(len(name), MaxName-1)]
	}
	return name
}

// CheckPath returns an error if a file of a directory may not have this path:
// names that CheckName passes, with a slash between them.
func CheckPath(path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("%w: a path of %d bytes, more than %d", ErrName, len(path), MaxPath)
	}
	depth := 0
	for name := range strings.SplitSeq(path, "/") {
		if depth++; depth > MaxDepth {
			return fmt.Errorf("%w: a path of more than %d names", ErrName, MaxDepth)
		}
		if err := CheckName(name); err != nil {
			return err
		}
	}
	return nil
}

// clip returns the beginning of a text, short enough for an error.
func clip(text string) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
