// Command strata is the whole of Strata in one binary: the node, a client, a load
// generator and the offline checker of a data directory. `strata help` lists them.
package main

import (
	"os"

	"github.com/stratadb/strata/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.Process{
		Args:    os.Args[1:],
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	}))
}
