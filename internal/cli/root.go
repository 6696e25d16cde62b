// Package cli is the command line of the strata binary: one file per command.
//
// Every command ends with one of the exit codes below, writes what was asked for
// to standard output, and everything else to standard error.
package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	// ExitOK: the command did what it was asked to.
	ExitOK = 0
	// ExitFailed: it did not, or a check found damage, or a server replied an error.
	ExitFailed = 1
	// ExitUsage: the command line, the environment or the configuration file is wrong.
	ExitUsage = 2
	// ExitForced: a second signal ended a node that was still draining.
	ExitForced = 130
)

// Process is what a command sees of the process that it runs in.
type Process struct {
	Args    []string
	Environ []string
	Stdin   *os.File
	Stdout  *os.File
	Stderr  io.Writer
}

// exitError ends the process with a code. Without an inner error nothing is
// printed: the command has said what there is to say.
type exitError struct {
	code int
	err  error
	hint bool // the command line is to blame
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error { return &exitError{code: ExitUsage, err: err, hint: true} }

func usagef(format string, args ...any) error { return usage(errors.Newf(format, args...)) }

func exit(code int) error { return &exitError{code: code} }

// Main runs the command that p.Args name and returns the exit code.
func Main(p Process) int {
	root := newRoot(p)
	root.SetArgs(twoDashes(p.Args))
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.Execute()
	if err == nil {
		return ExitOK
	}
	var e *exitError
	if !errors.As(err, &e) {
		// Cobra's own errors are about the command line.
		e = &exitError{code: ExitUsage, err: err, hint: true}
	}
	if e.err != nil {
		fmt.Fprintf(p.Stderr, "strata: %v\n", e.err)
		if e.hint {
			fmt.Fprintln(p.Stderr, "Run 'strata help' for the commands, 'strata help COMMAND' for one of them.")
		}
	}
	return e.code
}

func newRoot(p Process) *cobra.Command {
	root := &cobra.Command{
		Use:   "strata",
		Short: "a transactional multi-model database in one binary",
		Long: "Strata is an ordered, strictly serializable key-value core with Redis data, ZMaps and\n" +
			"transactions over all of them. `strata start` runs a node; clients speak RESP to it.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newStart(p), newDemo(p), newClient(p), newStatus(p), newNodes(p), newRanges(p), newTop(p), newNode(p), newCheck(p), newRecover(p), newBench(p), newProxy(p), newImport(p), newVersion(), newReference(), newConfigTopic())
	return root
}

// isTerminal reports whether somebody is looking at f.
func isTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// noArgs refuses arguments with a message that names the first one.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}
