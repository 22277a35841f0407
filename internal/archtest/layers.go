package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// module is the path of the module that is checked.
const module = "rtmfp"

// room is a part of the tree and what it may know.
type room struct {
	path string // package path in the module; "/..." adds the packages below it

	// knows lists the rooms of the module that may be imported.
	knows []string

	// core says that the room is a deterministic state machine.
	core bool

	// coreTypes names the types whose files are one, in a room that is not.
	coreTypes []string

	// takes lists the packages of other modules that a core may import. Rooms
	// that are not cores take what they like.
	takes []string
}

// Packages of other modules that DESIGN.md prescribes for the cores, and circl,
// whose X25519 is faster than the standard library's.
const (
	simpleLRU = "github.com/hashicorp/golang-lru/v2/simplelru"
	xxhash    = "github.com/cespare/xxhash/v2"
	xcrypto   = "golang.org/x/crypto/..."
	kbucket   = "github.com/libp2p/..."
	circl     = "github.com/cloudflare/circl/..."
	blake3    = "lukechampine.com/blake3/..."
)

// rooms is the picture of DESIGN.md, from the bottom up. A package belongs to
// the first room that its path fits.
var rooms = []room{
	{path: "internal/archtest"},
	{path: "internal/...", core: true, knows: []string{"internal/..."}, takes: []string{xxhash}},
	{path: "ring", core: true},
	{path: "transport/udp"},
	{path: "transport/wire/...", core: true, knows: []string{"internal/..."}},
	{path: "transport/crypto/...", core: true, knows: []string{"internal/...", "transport/wire/..."},
		takes: []string{xcrypto, circl, simpleLRU, xxhash}},
	{path: "transport/driver", knows: []string{"internal/...", "transport", "transport/udp"}},
	{path: "transport/trace", knows: []string{"internal/...", "transport", "transport/wire/...", "transport/crypto/..."}},
	{path: "transport/fairness", knows: []string{"internal/...", "transport/..."}},
	{path: "transport/conformance/...", knows: []string{"internal/...", "transport/..."}},
	{path: "transport/host", knows: []string{"internal/...", "transport", "transport/crypto", "transport/driver", "transport/udp"}},
	{path: "transport", core: true,
		knows: []string{"internal/...", "transport/wire/...", "transport/crypto/..."}, takes: []string{simpleLRU, xxhash}},
	{path: "group/...", core: true, knows: []string{"internal/...", "ring", "group/..."},
		takes: []string{kbucket, simpleLRU, xxhash, xcrypto}},
	{path: "multicast/...", core: true, knows: []string{"internal/...", "ring", "group", "multicast/..."},
		takes: []string{simpleLRU, xxhash, xcrypto}},
	{path: "posting/...", core: true, knows: []string{"internal/...", "ring", "group", "posting/..."},
		takes: []string{simpleLRU, xxhash, xcrypto}},
	{path: "replication/content", core: true, knows: []string{"group"}, takes: []string{blake3}},
	{path: "replication/...", core: true, knows: []string{"internal/...", "ring", "group/...", "replication/..."},
		takes: []string{simpleLRU, xxhash, xcrypto, blake3}},
	{path: "node/store", knows: []string{"replication/content"}},
	{path: "node/origin", knows: []string{"node/store", "replication/content"}},
	{path: "node/gateway", knows: []string{"replication/content"}},
	{path: "node/...", coreTypes: []string{"Core", "GroupCore"}, knows: []string{
		"internal/...", "ring", "transport/...", "group/...", "multicast/...", "posting/...", "replication/...", "node/..."}},
	{path: "simulations/...", knows: []string{
		"internal/...", "ring", "transport/...", "group/...", "multicast/...", "posting/...", "replication/...", "node/...",
		"simulations/..."}},
	{path: "cmd/rtmfp-node/...", knows: []string{
		"internal/...", "ring", "transport/...", "group/...", "multicast/...", "posting/...", "replication/...", "node/...",
		"simulations/...", "cmd/rtmfp-node/..."}},
}

// fits reports whether a package path falls under a pattern.
func fits(path, pattern string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == base || strings.HasPrefix(path, base+"/")
	}
	return path == pattern
}

func fitsAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(path, p) })
}

// roomOf returns the room of a package of the module, nil if it has none.
func roomOf(importPath string) *room {
	path := strings.TrimPrefix(importPath, module+"/")
	for i := range rooms {
		if fits(path, rooms[i].path) {
			return &rooms[i]
		}
	}
	return nil
}

// checkLayers returns what is wrong with the imports of a package of the
// module. Its tests obey the same picture, but for other modules.
func checkLayers(p *listed, standard func(path string) bool) []string {
	r := roomOf(p.ImportPath)
	if r == nil {
		return []string{fmt.Sprintf("%s: no room of the design holds this package: put it under the one that it serves", p.ImportPath)}
	}
	var found []string
	complain := func(imported, why string) {
		found = append(found, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imported, why))
	}
	check := func(imports []string, test bool) {
		for _, imp := range imports {
			switch path, ours := strings.CutPrefix(imp, module+"/"); {
			case imp == p.ImportPath:
			case ours:
				if !fitsAny(path, r.knows) {
					complain(imp, "this room may not know that one")
				}
			case !standard(imp) && r.core && !test && !fitsAny(imp, r.takes):
				complain(imp, "not among the packages that this core may take from other modules")
			}
		}
	}
	check(p.Imports, false)
	check(p.TestImports, true)
	check(p.XTestImports, true)
	if r.core && len(p.IgnoredGoFiles)+len(p.CgoFiles) > 0 {
		found = append(found, fmt.Sprintf("%s: %v: a core has no files for one system or tag only, and no C: nobody would check them",
			p.ImportPath, slices.Concat(p.IgnoredGoFiles, p.CgoFiles)))
	}
	return found
}
