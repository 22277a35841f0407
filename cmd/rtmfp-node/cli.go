package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"rtmfp/group"
	"rtmfp/node"
)

// cli is the command line.
type cli struct {
	Group    groupCmd    `cmd:"" help:"Make and explain groupspecs, say who may do what, and look at a group."`
	Run      runCmd      `cmd:"" help:"Run a swarm node that relays and introduces."`
	Publish  publishCmd  `cmd:"" help:"Publish an MPEG-TS stream to a group."`
	Play     playCmd     `cmd:"" help:"Play a stream of a group to a file, a pipe, or over HTTP."`
	Post     postCmd     `cmd:"" help:"Send a message to everybody in a group."`
	Posts    postsCmd    `cmd:"" help:"Show the messages of a group."`
	Chat     chatCmd     `cmd:"" help:"Talk in a group, line by line."`
	Route    routeCmd    `cmd:"" help:"Send messages to whoever is nearest to an address, and take them."`
	Record   recordCmd   `cmd:"" help:"Put and get small signed values by name."`
	Share    shareCmd    `cmd:"" help:"Share files and folders with a group, and print links to them."`
	Get      getCmd      `cmd:"" help:"Fetch a file or folder by its link or name."`
	Store    storeCmd    `cmd:"" help:"Look after the files that are kept on this machine."`
	Demo     demoCmd     `cmd:"" help:"Show a whole swarm in one process, with a page to watch it."`
	Bench    benchCmd    `cmd:"" help:"Measure the transport between two processes."`
	Identity identityCmd `cmd:"" help:"Print the peer id of this user's node."`
	Simulate simulateCmd `cmd:"" help:"Simulate groups of any size on virtual time."`
	Version  versionCmd  `cmd:"" help:"Print the program's version."`
}

const description = `A node of RTMFP groups: live streams that the viewers relay to each other.

Try: rtmfp-node demo`

// parse reads a command line. helped says that help was asked for and printed.
func parse(e *env, args []string) (kctx *kong.Context, helped bool, err error) {
	parser, err := kong.New(&cli{},
		kong.Name("rtmfp-node"),
		kong.Description(description),
		kong.Writers(e.stdout, e.console),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Help(printHelp),
	)
	if err != nil {
		panic("BUG: " + err.Error()) // the struct above is malformed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err = parser.Parse(args)
	if err != nil && !helped {
		what := "rtmfp-node"
		if p, ok := err.(*kong.ParseError); ok && p.Context != nil {
			if s := p.Context.Selected(); s != nil {
				what = s.FullPath()
			}
		}
		err = failf(exitUsage, "%w (see \"%s --help\")", err, what)
	}
	return kctx, helped, err
}

// exitCodeHelp stands at the end of the program's own help.
const exitCodeHelp = `
Exit codes:
  0  done, or ended by ^C or SIGTERM in an orderly way
  1  something failed while running
  2  the command line is wrong: a flag, a groupspec, a URL, an address
  3  no introducer answered, or it did not admit this node
  4  the input can't be read, is not MPEG-TS, ends within a packet, or is too large
  5  an address to listen on is taken
  6  the stream or the file did not appear in time (play --wait, get --wait)
  7  no route: no member is there, or too many hops (route send)
  8  refused: nobody there listens (route send)
  9  no answer came in time (route send)
`

func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() == nil {
		_, err := fmt.Fprint(ctx.Stdout, exitCodeHelp)
		return err
	}
	return nil
}

// spec is a groupspec on the command line, or @FILE that holds one.
type spec struct{ *group.Spec }

// UnmarshalText parses a groupspec, or reads the file that it names.
func (s *spec) UnmarshalText(text []byte) (err error) {
	if name, ok := strings.CutPrefix(string(text), "@"); ok {
		if text, err = os.ReadFile(name); err != nil {
			return err
		}
	}
	s.Spec, err = group.ParseSpec(string(text))
	return err
}

// bootURL is the checked URL of an introducer.
type bootURL string

// UnmarshalText checks a URL without resolving its host.
func (u *bootURL) UnmarshalText(text []byte) error {
	*u = bootURL(text)
	return node.ParseBootstrap(string(text))
}
