package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/bench"
)

// defaultTests run when nothing is said.
const defaultTests = "set,get,incr,hset,hget,mixed"

type benchOptions struct {
	bench.Options
	host      string
	port      int
	tests     string
	csv, json bool
	quiet     bool
}

func newBench(p Process) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench [flags] [-- COMMAND [ARGUMENT...]]",
		Short: "generate load on a node (or any RESP server) and measure it",
		Long:  "Runs tests one after another and prints throughput and latencies. " + benchHelp(),
		Args:  cobra.ArbitraryArgs,
	}
	f := cmd.Flags()
	f.Bool("help", false, "this text") // takes -h back from cobra
	f.StringVarP(&o.host, "host", "h", "127.0.0.1", "host")
	f.IntVarP(&o.port, "port", "p", 5484, "port")
	f.StringVarP(&o.Password, "pass", "a", "", "password")
	f.IntVarP(&o.Clients, "clients", "c", 50, "connections")
	f.Int64VarP(&o.Requests, "requests", "n", 0, "operations per test (default 100000, unless -d is given)")
	f.DurationVarP(&o.Duration, "duration", "d", 0, "time per test")
	f.IntVarP(&o.Pipeline, "pipeline", "P", 1, "operations under way per connection")
	f.Int64VarP(&o.Keyspace, "keyspace", "r", 1_000_000, "how many different keys")
	f.IntVarP(&o.Size, "size", "s", 100, "bytes per value")
	f.StringVarP(&o.tests, "tests", "t", defaultTests, "tests, separated by commas")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the random numbers")
	f.BoolVar(&o.csv, "csv", false, "print comma-separated values")
	f.BoolVar(&o.json, "json", false, "print a line of JSON per test")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	cmd.RunE = func(_ *cobra.Command, args []string) error { return runBench(p, o, args) }
	return cmd
}

func benchHelp() string {
	var b strings.Builder
	b.WriteString("The tests:\n\n")
	names, help := bench.Workloads()
	for i, name := range names {
		fmt.Fprintf(&b, "  %-12s %s\n", name, help[i])
	}
	b.WriteString("\nIn a command of one's own, __key__ becomes a random number of twelve digits and __data__ the value.")
	return b.String()
}

func runBench(p Process, o benchOptions, command []string) error {
	if o.csv && o.json {
		return usagef("--csv and --json exclude each other")
	}
	if o.Requests == 0 && o.Duration == 0 {
		o.Requests = 100_000
	}
	if o.Clients < 1 || o.Pipeline < 1 || o.Keyspace < 1 || o.Size < 0 || o.Requests < 0 || o.Duration < 0 {
		return usagef("counts must be positive")
	}
	o.Addr = net.JoinHostPort(o.host, strconv.Itoa(o.port))
	tests := strings.Split(o.tests, ",")
	if len(command) > 0 {
		o.Command, tests = command, []string{command[0]}
	} else if err := bench.CheckWorkloads(tests); err != nil {
		return usage(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if !o.quiet && isTerminalWriter(p.Stderr) {
		o.Progress = func(s bench.Progress) {
			fmt.Fprintf(p.Stderr, "\r%s: %d operations in %.1f s, %.0f per second   ", s.Test, s.Operations,
				s.Elapsed.Seconds(), s.PerSecond)
		}
	}
	refused := false
	for i, test := range tests {
		o.Test = test
		res, err := bench.Run(ctx, o.Options)
		if o.Progress != nil {
			fmt.Fprint(p.Stderr, "\r\x1b[K")
		}
		if err != nil {
			return failed(err, "bench "+test)
		}
		if err := printResult(p.Stdout, &o, res, i == 0); err != nil {
			return failed(err, "writing the result")
		}
		refused = refused || res.Errors > 0
		if ctx.Err() != nil {
			return exit(ExitForced)
		}
	}
	if refused {
		return exit(ExitFailed)
	}
	return nil
}

func isTerminalWriter(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}

func printResult(w io.Writer, o *benchOptions, r bench.Result, first bool) error {
	switch {
	case o.json:
		return json.NewEncoder(w).Encode(r)
	case o.csv:
		return printCSV(w, r, first)
	}
	_, err := fmt.Fprintf(w, "%-12s %10.0f/s  %d operations in %s, %d clients, pipeline %d\n"+
		"%12s mean %.3f  p50 %.3f  p95 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n",
		r.Test, r.PerSecond, r.Operations, time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond), r.Clients, r.Pipeline,
		"", r.MeanMs, r.P50Ms, r.P95Ms, r.P99Ms, r.P999Ms, r.MaxMs)
	if err == nil && r.Errors > 0 {
		_, err = fmt.Fprintf(w, "%12s %d ERROR REPLIES, the first: %s\n", "", r.Errors, r.FirstError)
	}
	return err
}

func printCSV(w io.Writer, r bench.Result, header bool) error {
	c := csv.NewWriter(w)
	if header {
		_ = c.Write([]string{"test", "clients", "pipeline", "size", "operations", "errors", "seconds", "per_second",
			"mean_ms", "p50_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms"}) // Error reports it below
	}
	row := []string{r.Test, strconv.Itoa(r.Clients), strconv.Itoa(r.Pipeline), strconv.Itoa(r.Size),
		strconv.FormatInt(r.Operations, 10), strconv.FormatInt(r.Errors, 10)}
	for _, f := range []float64{r.Seconds, r.PerSecond, r.MeanMs, r.P50Ms, r.P95Ms, r.P99Ms, r.P999Ms, r.MaxMs} {
		row = append(row, strconv.FormatFloat(f, 'f', 3, 64))
	}
	_ = c.Write(row)
	c.Flush()
	return c.Error()
}
