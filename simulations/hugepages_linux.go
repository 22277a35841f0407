package simulations

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Advice to the kernel about a range of addresses (madvise(2)).
const (
	adviseHuge     = 14 // MADV_HUGEPAGE: what is touched for the first time gets huge pages
	adviseCollapse = 25 // MADV_COLLAPSE: what was touched is moved to huge pages now
)

// leastHuge is the size of mappings that are looked at.
const leastHuge = 4 << 20

// hugePages asks the kernel to back the heap of the process by huge pages. An
// event touches a little memory all over a node, and the next one that of
// another node: with pages of 4 KiB, thousands of nodes miss the processor's
// cache of address translations with nearly every access. The runtime does not
// ask for huge pages, and many systems give them only to those who ask. The
// heap grows, so it is asked again and again. It is advice: nothing depends on
// whether it is heard.
func hugePages() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		// from-to permissions offset device inode [name]; the heap has no name, or
		// one that the runtime gave it.
		f := strings.Fields(lines.Text())
		if len(f) < 5 || f[1] != "rw-p" || len(f) > 5 && !strings.HasPrefix(f[5], "[anon: Go") {
			continue
		}
		first, last, _ := strings.Cut(f[0], "-")
		from, err := strconv.ParseUint(first, 16, 64)
		if err != nil {
			continue
		}
		to, err := strconv.ParseUint(last, 16, 64)
		if err != nil || to-from < leastHuge {
			continue
		}
		for _, advice := range [...]uintptr{adviseHuge, adviseCollapse} {
			syscall.Syscall(syscall.SYS_MADVISE, uintptr(from), uintptr(to-from), advice)
		}
	}
}
