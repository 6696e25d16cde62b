package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/wire/resp"
)

func newNode(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node COMMAND",
		Short: "drain or remove a node of a cluster",
		RunE:  func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDrain(p), newRemove(p))
	return cmd
}

// drainLook is how often --wait asks.
const drainLook = 500 * time.Millisecond

func newDrain(p Process) *cobra.Command {
	var o operatorOptions
	var wait, undo bool
	cmd := &cobra.Command{
		Use:   "drain ID",
		Short: "move leaders and replicas off a node",
		Long: "The node goes on serving its clients; ranges are led and held by others as soon as they have copies.\n" +
			"Where too few nodes would be left for the copies that are wanted, three at least, the replicas stay.",
		Args: oneNode,
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the node holds nothing any more")
	cmd.Flags().BoolVar(&undo, "undo", false, "let the node hold replicas again")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if undo {
			_, err := o.ask(p, "NODE", "ACTIVATE", args[0])
			return err
		}
		if _, err := o.ask(p, "NODE", "DRAIN", args[0]); err != nil {
			return err
		}
		for said := ""; wait; time.Sleep(drainLook) {
			left, err := o.heldBy(p, args[0])
			if err != nil || left == 0 {
				return err
			}
			nodes, err := o.ask(p, "NODES")
			if err != nil {
				return err
			}
			if others := takers(nodes, args[0]); others < copiesMin {
				return &exitError{code: ExitFailed, err: errors.Newf("node %s keeps %d replicas: there are only %d other nodes to hold "+
					"copies, and three are kept at least; add a node, or take it back with --undo", args[0], left, others)}
			}
			if now := fmt.Sprintf("node %s holds %d replicas", args[0], left); now != said {
				said = now
				fmt.Fprintln(p.Stderr, said)
			}
		}
		return nil
	}
	return cmd
}

// copiesMin is how many copies a cluster keeps that has had as many.
const copiesMin = 3

// takers counts the nodes but one that may take replicas, now or when they answer again.
func takers(nodes resp.Value, but string) (n int) {
	for _, v := range nodes.Array {
		if field(v, "id").Text() != but && field(v, "status").Text() != "draining" {
			n++
		}
	}
	return n
}

// heldBy is how many ranges have a replica on a node.
func (o *operatorOptions) heldBy(p Process, node string) (held int, err error) {
	ranges, err := o.ask(p, "RANGES")
	if err != nil {
		return 0, err
	}
	for _, r := range ranges.Array {
		for _, role := range []string{"voters", "learners"} {
			for _, id := range field(r, role).Array {
				if id.Text() == node {
					held++
				}
			}
		}
	}
	return held, nil
}

func newRemove(p Process) *cobra.Command {
	var o operatorOptions
	var dead bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "remove a node that was drained, or is dead",
		Long: "A node that was drained and holds nothing any more leaves the cluster: its process ends, and its data\n" +
			"directory is of no use. Its number is never given again.",
		Args: oneNode,
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&dead, "dead", false, "the node does not answer and will never come back: its copies are made again on others")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		words := []string{"NODE", "REMOVE", args[0]}
		if dead {
			words = append(words, "DEAD")
		}
		_, err := o.ask(p, words...)
		return err
	}
	return cmd
}

// oneNode takes a node's number.
func oneNode(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes the number of a node, got %d arguments", cmd.CommandPath(), len(args))
	}
	if _, err := strconv.ParseUint(args[0], 10, 32); err != nil {
		return usagef("%s: %q is no number of a node", cmd.CommandPath(), args[0])
	}
	return nil
}
