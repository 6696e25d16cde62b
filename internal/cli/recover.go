package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/check"
	"github.com/stratadb/strata/internal/recovery"
)

// acceptLoss is the flag without which nothing is changed.
const acceptLoss = "i-accept-data-loss"

func newRecover(p Process) *cobra.Command {
	var dir string
	var asJSON, accepted bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "bring a cluster back whose majority is gone for good",
		Long: "Without --" + acceptLoss + ": reads the data directory of a stopped node, changes nothing, and prints\n" +
			"what its copies hold and what a recovery from them may lose. Run it on every survivor and choose the\n" +
			"one whose log ends with the highest term and, in that term, the highest index.\n\n" +
			"With it: makes the copies of this one survivor the only ones, in a cluster with a new id. Other nodes\n" +
			"join again with empty data directories. Recover one survivor only, and only if the majority cannot\n" +
			"come back: two recovered survivors are two clusters with different data.\n\n" +
			"Exit codes: 0 done, 1 this store cannot be recovered, 2 no stopped store could be looked at.",
		Args: noArgs,
	}
	cmd.Flags().StringVar(&dir, "data", "", "data directory of the stopped node")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is found, or what was done, as JSON")
	cmd.Flags().BoolVar(&accepted, acceptLoss, false, "recover, and lose what only the missing nodes had")
	cmd.RunE = func(*cobra.Command, []string) error {
		if dir == "" {
			return usagef("strata recover needs --data DIR")
		}
		o := recovery.Options{Dir: dir}
		plan, err := recovery.Look(o)
		if err != nil {
			return refusal(dir, err)
		}
		if !accepted {
			return printed(p.Stdout, asJSON, plan, func(out *printer) { printPlan(out, &plan) })
		}
		if !asJSON {
			out := printer{w: p.Stderr}
			printCopies(&out, &plan)
		}
		done, err := recovery.Recover(o)
		if err != nil {
			return refusal(dir, err)
		}
		fmt.Fprintf(p.Stderr, "recovered: node %d holds the only copies, in the new cluster %s\nwhat may be lost: %s\n", done.OnlyVoter, done.Cluster, done.MayBeLost)
		return printed(p.Stdout, asJSON, done, func(out *printer) {
			out.f("start this node as before; the others join it (--join) with empty data directories\n")
		})
	}
	return cmd
}

// refusal is why nothing was done.
func refusal(dir string, err error) error {
	switch {
	case errors.Is(err, check.ErrInUse):
		return &exitError{code: ExitUsage, err: errors.Newf("%s is in use by a running node: stop it first", dir)}
	case errors.Is(err, check.ErrNotAStore):
		return &exitError{code: ExitUsage, err: err}
	}
	return &exitError{code: ExitFailed, err: err}
}

func printed(w io.Writer, asJSON bool, v any, text func(*printer)) error {
	out := printer{w: w}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		out.err = enc.Encode(v)
	} else {
		text(&out)
	}
	if out.err != nil {
		return failed(out.err, "writing")
	}
	return nil
}

func printPlan(out *printer, p *recovery.Plan) {
	printCopies(out, p)
	if p.Unfinished != nil {
		out.f("\nA recovery was begun at %s and interrupted: the next start of the node, or --%s, finishes it.\n", p.Unfinished.At, acceptLoss)
		return
	}
	out.f("\nNothing was changed. --%s would make these copies the only ones, in a cluster with a new id.\n", acceptLoss)
	out.f("What may be lost: %s.\n", p.MayBeLost)
	out.f("Run this on every survivor, and recover only the one whose log ends with the highest term and, in that term, the highest index.\n")
}

func printCopies(out *printer, p *recovery.Plan) {
	out.f("store      %s, node %d of cluster %s\n", p.Store, p.Node, p.Cluster)
	for i := range p.Copies {
		c := &p.Copies[i]
		var on []string
		for _, m := range c.Replicas {
			on = append(on, fmt.Sprintf("node %d (%s)", m.Node, m.Role))
		}
		out.f("range %-4d %s to %s, epoch %d\n", c.Range, c.Start, c.End, c.Epoch)
		out.f("           replicas  %s\n", strings.Join(on, ", "))
		out.f("           log ends  term %d, index %d\n", c.LastTerm, c.LastIndex)
		out.f("           commit    known up to %d, on disk up to %d; %d entries behind it would count\n", c.Commit, c.Applied, c.LastIndex-c.Commit)
	}
}
