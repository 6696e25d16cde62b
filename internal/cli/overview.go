package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/wire/resp"
)

// operatorOptions are what every command for operators knows.
type operatorOptions struct {
	admin, password string
	json            bool
	timeout         time.Duration
}

func (o *operatorOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.admin, "admin", "127.0.0.1:3320", "administration address of any node: host:port")
	f.StringVarP(&o.password, "pass", "a", "", "password; by default that in "+passwordEnv)
	f.DurationVar(&o.timeout, "timeout", answerWithin, "how long to wait for each of the node's answers")
}

// answerWithin is enough for a node that has to find a leader first.
const answerWithin = 15 * time.Second

// ask sends KR.ADMIN to the node.
func (o *operatorOptions) ask(p Process, args ...string) (resp.Value, error) {
	c := &client{addr: o.admin, password: passwordOf(p, o.password), resp3: true, out: io.Discard, patience: o.timeout}
	defer c.close()
	v, err := c.do(append([]string{"KR.ADMIN"}, args...))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errors.Newf("no answer within %v; what was asked for may be done all the same, and may be asked for again (--timeout)", o.timeout)
	}
	if err != nil {
		return v, failed(err, o.admin)
	}
	if err := v.Err(); err != nil {
		return v, &exitError{code: ExitFailed, err: err}
	}
	return v, nil
}

// newStatus, newNodes and newRanges show what KR.ADMIN tells.
func newStatus(p Process) *cobra.Command {
	return newOverview(p, "status", "sum up the nodes and ranges of a cluster",
		"Asks a node, which asks all others and waits a second for those that do not answer.", printFields)
}

func newNodes(p Process) *cobra.Command {
	return newOverview(p, "nodes", "list the nodes of a cluster",
		"One line per node: where it is, whether it answers, how many replicas it holds and how many\nof their ranges it leads, "+
			"and its disk use.", printTable)
}

func newRanges(p Process) *cobra.Command {
	cmd := newOverview(p, "ranges", "list the ranges of a cluster and where their replicas are",
		"One line per range, in the order of their keys. A leader of 0 says that nobody answers for it; TERM\n"+
			"grows whenever another spell of leadership begins. READS and WRITES are\n"+
			"transactions per second; LOAD says, of a busy range, whether there is a key that divides them.", printTable)
	cmd.AddCommand(newExplain(p))
	return cmd
}

func newExplain(p Process) *cobra.Command {
	var o operatorOptions
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "say what placement would do with a range, and why",
		Long: "Asks the node that cares for all ranges what each of its rules sees in the range: who holds it, what it has and\n" +
			"does, which nodes could take it, and what the rules answer, the most urgent first.",
		Args: rangeNumber,
	}
	o.flags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		v, err := o.ask(p, "RANGES", "EXPLAIN", args[0])
		if err != nil {
			return err
		}
		if _, err := io.WriteString(p.Stdout, v.Text()); err != nil {
			return failed(err, "writing the answer")
		}
		return nil
	}
	return cmd
}

// rangeNumber takes a range's number.
func rangeNumber(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes the number of a range, got %d arguments", cmd.CommandPath(), len(args))
	}
	if _, err := strconv.ParseUint(args[0], 10, 64); err != nil {
		return usagef("%s: %q is no number of a range", cmd.CommandPath(), args[0])
	}
	return nil
}

func newOverview(p Process, name, short, long string, show func(w io.Writer, v resp.Value) error) *cobra.Command {
	var o operatorOptions
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Args: noArgs}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, for programs")
	cmd.RunE = func(*cobra.Command, []string) error {
		v, err := o.ask(p, strings.ToUpper(name))
		if err != nil {
			return err
		}
		if o.json {
			show = printJSON
		}
		if err := show(p.Stdout, v); err != nil {
			return failed(err, "writing the answer")
		}
		return nil
	}
	return cmd
}

// printFields prints a map, a line for each field.
func printFields(w io.Writer, v resp.Value) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(v.Array); i += 2 {
		if _, err := fmt.Fprintf(t, "%s\t%s\n", strings.ReplaceAll(v.Array[i].Text(), "_", " "), cell(v.Array[i+1])); err != nil {
			return err
		}
	}
	return t.Flush()
}

// printTable prints an array of maps that have the same fields.
func printTable(w io.Writer, v resp.Value) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for n, row := range v.Array {
		var names, cells []string
		for i := 0; i+1 < len(row.Array); i += 2 {
			names = append(names, strings.ToUpper(strings.ReplaceAll(row.Array[i].Text(), "_", " ")))
			cells = append(cells, cell(row.Array[i+1]))
		}
		if n == 0 {
			if _, err := fmt.Fprintln(t, strings.Join(names, "\t")); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(t, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// cell is a value in a table; what would break its line is quoted.
func cell(v resp.Value) string {
	if v.Kind == resp.KindArray {
		parts := make([]string, len(v.Array))
		for i := range v.Array {
			parts[i] = cell(v.Array[i])
		}
		return orDash(strings.Join(parts, ","))
	}
	text := v.Text()
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		text = fmt.Sprintf("%q", text)
	}
	return orDash(text)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printJSON prints a reply with its maps in their order.
func printJSON(w io.Writer, v resp.Value) error {
	b, err := appendJSON(nil, v)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = out.WriteTo(w)
	return err
}

func appendJSON(dst []byte, v resp.Value) (_ []byte, err error) {
	open, end := byte('['), byte(']')
	switch v.Kind {
	case resp.KindInt:
		return fmt.Append(dst, v.Int), nil
	case resp.KindArray:
	case resp.KindMap:
		open, end = '{', '}'
	case resp.KindNull:
		return append(dst, "null"...), nil
	case resp.KindBulk, resp.KindSimpleString:
		b, err := json.Marshal(v.Text())
		return append(dst, b...), err
	default:
		return nil, errors.Newf("a reply of kind %v was not expected", v.Kind)
	}
	dst = append(dst, open)
	for i := range v.Array {
		switch {
		case i > 0 && v.Kind == resp.KindMap && i%2 == 1:
			dst = append(dst, ':')
		case i > 0:
			dst = append(dst, ',')
		}
		if dst, err = appendJSON(dst, v.Array[i]); err != nil {
			return nil, err
		}
	}
	return append(dst, end), nil
}
