package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/check"
)

func newCheck(p Process) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "verify the data directory of a stopped node",
		Long: "Reads everything in a data directory and changes nothing: checksums of log and state, the restart\n" +
			"from them, every key, and whether what belongs together agrees. The node must be stopped.\n\n" +
			"Exit codes: 0 no damage, 1 damage, 2 the check could not be made.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("strata check takes one data directory, got %d arguments", len(args))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		o := check.Options{Dir: args[0]}
		if !asJSON {
			o.Step = func(name string) { fmt.Fprintf(p.Stderr, "checking %s\n", name) }
		}
		r, err := check.Run(o)
		if err != nil {
			if errors.Is(err, check.ErrInUse) {
				err = errors.Newf("%s is in use by a running node: stop it first", args[0])
			}
			return &exitError{code: ExitUsage, err: err}
		}
		if asJSON {
			enc := json.NewEncoder(p.Stdout)
			enc.SetIndent("", "  ")
			err = enc.Encode(r)
		} else {
			err = printReport(p.Stdout, &r)
		}
		if err != nil {
			return failed(err, "writing the report")
		}
		if len(r.Problems) > 0 {
			return exit(ExitFailed)
		}
		return nil
	}
	return cmd
}

func printReport(w io.Writer, r *check.Report) error {
	out := &printer{w: w}
	out.f("store      %s, format %d\n", r.Store, r.Format)
	out.f("log        %d segments, %d records, %d bytes live\n", r.LogSegments, r.LogRecords, r.LogLiveBytes)
	if r.LogTorn {
		out.f("           ends in an unfinished write, as after a crash: the next start cuts it\n")
	}
	out.f("state      %d ranges, %d keys\n", r.Ranges, r.StateKeys)
	out.f("restart    %d keys, %d of them in ZMaps\n", r.Keys, r.ZMapKeys)
	for _, d := range r.Databases {
		out.f("redis      namespace %d database %d: %d keys, %d expiring, %d elements\n",
			d.Namespace, d.Number, d.Keys, d.Expiring, d.Elements)
	}
	for _, s := range r.Skipped {
		out.f("SKIPPED    %s\n", s)
	}
	for _, p := range r.Problems {
		out.f("DAMAGE     %s: %s\n", p.Where, p.Detail)
	}
	if len(r.Problems) == 0 {
		out.f("ok\n")
	} else {
		out.f("%d problems; nothing was changed\n", len(r.Problems))
	}
	return out.err
}

// printer keeps the first error of many prints.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
