package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd prints which build this is.
type versionCmd struct{}

// Help describes the command with an example.
func (*versionCmd) Help() string {
	return `
Example:

    rtmfp-node version
`
}

// Run prints the version on stdout.
func (*versionCmd) Run(e *env) error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintln(e.stdout, versionLine(info))
	return err
}

// versionLine tells the module's version or, for a build from a checkout, the
// commit. info may be nil.
func versionLine(info *debug.BuildInfo) string {
	version := "(unknown version)"
	if info != nil {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
				version = s.Value
			}
		}
		if version == "" {
			version = "(devel)"
		}
	}
	return fmt.Sprintf("rtmfp-node %s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
