package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/wire/resp"
)

// topEveryMin bounds how often all nodes are asked.
const topEveryMin = 100 * time.Millisecond

func newTop(p Process) *cobra.Command {
	var o operatorOptions
	var every time.Duration
	var count, rows int
	cmd := &cobra.Command{
		Use:   "top",
		Short: "watch what the nodes and ranges of a cluster do",
		Long: "Asks for nodes and ranges again and again, and shows how many commands each node has taken from its RESP\n" +
			"clients, and how many transactions have written to each range, per second since the last look; reads per\n" +
			"second are what the range's leader says. Where standard output is no terminal it writes one table below the\n" +
			"other. Ctrl-C ends it.",
		Args: noArgs,
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.DurationVar(&every, "every", 2*time.Second, "time between two looks")
	f.IntVar(&count, "count", 0, "end after so many tables; 0: never")
	f.IntVar(&rows, "ranges", 20, "how many ranges are shown: the busiest ones")
	cmd.RunE = func(*cobra.Command, []string) error {
		if every < topEveryMin || count < 0 || rows < 0 {
			return usagef("--every must be at least %v, --count and --ranges cannot be negative", topEveryMin)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return runTop(ctx, p, o, every, count, rows)
	}
	return cmd
}

// clearScreen moves the cursor home and erases what is below.
const clearScreen = "\x1b[H\x1b[2J"

func runTop(ctx context.Context, p Process, o operatorOptions, every time.Duration, count, rows int) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	before, err := o.look(p)
	if err != nil {
		return err
	}
	for n := 0; count == 0 || n < count; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := o.look(p)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if isTerminal(p.Stdout) {
			out.WriteString(clearScreen)
		}
		now.print(&out, before, rows)
		if _, err := out.WriteTo(p.Stdout); err != nil {
			return failed(err, "writing the table")
		}
		before = now
	}
	return nil
}

// look is what the nodes have said at a moment.
type look struct {
	at            time.Time
	nodes, ranges []resp.Value
}

func (o *operatorOptions) look(p Process) (l look, err error) {
	nodes, err := o.ask(p, "NODES")
	if err != nil {
		return l, err
	}
	l.at, l.nodes = time.Now(), nodes.Array
	ranges, err := o.ask(p, "RANGES")
	l.ranges = ranges.Array
	return l, err
}

// rates are how fast a counter has grown since an earlier look, by id. A counter that
// has begun anew, or is new, says nothing.
func rates(before, now []resp.Value, counter string, seconds float64) map[string]float64 {
	old := map[string]int64{}
	for _, v := range before {
		old[field(v, "id").Text()] = field(v, counter).Int
	}
	out := map[string]float64{}
	for _, v := range now {
		id := field(v, "id").Text()
		if was, known := old[id]; known && seconds > 0 {
			out[id] = max(0, float64(field(v, counter).Int-was)/seconds)
		}
	}
	return out
}

func field(v resp.Value, name string) resp.Value {
	f, _ := v.Get(name)
	return f
}

func (l look) print(w io.Writer, before look, rows int) {
	seconds := l.at.Sub(before.at).Seconds()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // w keeps everything: no errors
	commands := rates(before.nodes, l.nodes, "commands", seconds)
	fmt.Fprintln(t, "NODE\tSTATUS\tRESP\tCLIENTS\tCOMMANDS/S\tREPLICAS\tLEADERS\tBYTES")
	for _, n := range l.nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%.0f\t%d\t%d\t%d\n", cell(field(n, "id")), cell(field(n, "status")), cell(field(n, "resp")),
			field(n, "clients").Int, commands[field(n, "id").Text()], field(n, "replicas").Int, field(n, "leaders").Int, field(n, "bytes").Int)
	}
	fmt.Fprintln(t)
	_ = t.Flush()
	writes := rates(before.ranges, l.ranges, "transactions", seconds)
	fmt.Fprintln(t, "RANGE\tLEADER\tREADS/S\tWRITES/S\tBYTES\tSTART\tEND")
	for _, r := range busiest(l.ranges, writes, rows) {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.0f\t%d\t%s\t%s\n", cell(field(r, "id")), cell(field(r, "leader")), field(r, "reads_per_second").Int, writes[field(r, "id").Text()],
			field(r, "bytes").Int, cell(field(r, "start")), cell(field(r, "end")))
	}
	fmt.Fprintln(t)
	_ = t.Flush()
}

// busiest are the ranges with the most writes, in the order of their keys where those
// are equal.
func busiest(ranges []resp.Value, writes map[string]float64, rows int) []resp.Value {
	ranges = slices.Clone(ranges)
	slices.SortStableFunc(ranges, func(a, b resp.Value) int {
		return cmp.Compare(writes[field(b, "id").Text()], writes[field(a, "id").Text()])
	})
	return ranges[:min(rows, len(ranges))]
}
