package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/wire/resp"
)

const dialTimeout = 5 * time.Second

// passwordEnv keeps a password out of the list of processes.
const passwordEnv = "STRATA_CLI_AUTH"

// client is a connection to a RESP server that is made again when it is lost.
type client struct {
	addr, password string
	resp3          bool
	db             int
	out            io.Writer
	raw            bool
	patience       time.Duration // for an answer; zero: no end

	conn net.Conn
	dec  *resp.Decoder
	buf  []byte
	mode session
}

type clientOptions struct {
	host, password    string
	port, db          int
	raw, noRaw, resp3 bool
	lastFromStdin     bool
	pipe              bool
}

func newClient(p Process) *cobra.Command {
	var o clientOptions
	cmd := &cobra.Command{
		Use:   "cli [-h HOST] [-p PORT] [-a PASSWORD] [COMMAND [ARGUMENT...]]",
		Short: "send commands to a node (or any RESP server)",
		Long: "With a command: sends it, prints the reply, and exits with 1 if it is an error.\n" +
			"Without: reads commands from standard input; on a terminal with a history in ~/.strata_history.\n" +
			"The password may also come from the environment variable " + passwordEnv + ".",
		Args: cobra.ArbitraryArgs,
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.Bool("help", false, "this text") // takes -h back from cobra
	f.StringVarP(&o.host, "host", "h", "127.0.0.1", "host")
	f.IntVarP(&o.port, "port", "p", 5484, "port")
	f.StringVarP(&o.password, "pass", "a", "", "password")
	f.IntVarP(&o.db, "db", "n", 0, "number of the Redis database")
	f.BoolVarP(&o.resp3, "resp3", "3", false, "speak RESP3")
	f.BoolVarP(&o.lastFromStdin, "stdin", "x", false, "take the last argument from standard input")
	f.BoolVar(&o.raw, "raw", false, "print replies without decoration; the default where standard output is no terminal")
	f.BoolVar(&o.noRaw, "no-raw", false, "decorate replies in any case")
	f.BoolVar(&o.pipe, "pipe", false, "send standard input as it is, RESP or lines, and count the replies")
	cmd.RunE = func(_ *cobra.Command, args []string) error { return runClient(p, o, args) }
	return cmd
}

func runClient(p Process, o clientOptions, args []string) error {
	c := &client{addr: net.JoinHostPort(o.host, strconv.Itoa(o.port)), password: passwordOf(p, o.password), resp3: o.resp3, db: o.db,
		out: p.Stdout, raw: o.raw || !o.noRaw && !isTerminal(p.Stdout)}
	defer c.close()
	switch {
	case o.pipe && len(args) > 0:
		return usagef("--pipe takes no command")
	case o.pipe:
		return c.pipe(p.Stdin)
	case len(args) == 0 && isTerminal(p.Stdin) && isTerminal(p.Stdout):
		return c.shell(p)
	case len(args) == 0:
		return c.lines(p.Stdin)
	}
	if o.lastFromStdin {
		last, err := io.ReadAll(p.Stdin)
		if err != nil {
			return failed(err, "reading standard input")
		}
		args = append(args, string(last))
	}
	reply, err := c.do(args)
	if err != nil {
		return failed(err, c.addr)
	}
	c.print(reply)
	if reply.Err() != nil {
		return exit(ExitFailed)
	}
	return nil
}

// passwordOf is the password that was given, or that in the environment.
func passwordOf(p Process, given string) string {
	if given != "" {
		return given
	}
	for _, e := range p.Environ {
		if v, ok := strings.CutPrefix(e, passwordEnv+"="); ok {
			return v
		}
	}
	return ""
}

func failed(err error, what string) error {
	return &exitError{code: ExitFailed, err: errors.Wrap(err, what)}
}

// lines runs the commands of a file, one per line.
func (c *client) lines(in io.Reader) error {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if args, ok := splitLine(line); !ok {
			fmt.Fprintln(c.out, "Invalid argument(s)")
		} else if len(args) > 0 {
			reply, err := c.do(args)
			if err != nil {
				return failed(err, c.addr)
			}
			c.print(reply)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return failed(err, "reading standard input")
		}
	}
}

func splitLine(line string) ([]string, bool) {
	words, _, ok := resp.SplitWords(nil, nil, []byte(line))
	args := make([]string, len(words))
	for i, w := range words {
		args[i] = string(w)
	}
	return args, ok
}

func (c *client) print(v resp.Value) {
	if c.raw {
		_, _ = c.out.Write(resp.AppendRaw(nil, v)) // nobody is left to tell
		return
	}
	_, _ = c.out.Write(resp.AppendFormat(nil, v))
}

// do sends a command and returns its reply. A connection that was lost while idle
// is made again first; the command itself is never sent twice.
func (c *client) do(args []string) (resp.Value, error) {
	if c.conn != nil && c.stale() {
		c.close()
	}
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return resp.Value{}, err
		}
	}
	v, err := c.roundTrip(args)
	if err != nil {
		c.close()
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection")
		}
		return v, err
	}
	c.mode.observe(args, v)
	return v, nil
}

// stale reports whether the server has closed the idle connection.
func (c *client) stale() bool {
	if c.dec.Buffered() > 0 {
		return false
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	var one [1]byte
	_, err := c.conn.Read(one[:])
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *client) roundTrip(args []string) (resp.Value, error) {
	if c.patience > 0 {
		if err := c.conn.SetDeadline(time.Now().Add(c.patience)); err != nil {
			return resp.Value{}, err
		}
	}
	c.buf = resp.AppendCommand(c.buf[:0], args...)
	if _, err := c.conn.Write(c.buf); err != nil {
		return resp.Value{}, err
	}
	for {
		v, err := c.dec.Decode()
		if err != nil || v.Kind != resp.KindPush {
			return v, err
		}
		c.print(v)
	}
}

func (c *client) connect() error {
	conn, err := net.DialTimeout("tcp", c.addr, dialTimeout)
	if err != nil {
		return err
	}
	c.conn, c.dec, c.mode = conn, resp.NewDecoder(conn, resp.DecoderLimits{}), session{db: c.db}
	var first [][]string
	if c.password != "" {
		first = append(first, []string{"AUTH", c.password})
	}
	if c.resp3 {
		first = append(first, []string{"HELLO", "3"})
	}
	if c.db != 0 {
		first = append(first, []string{"SELECT", strconv.Itoa(c.db)})
	}
	for _, args := range first {
		v, err := c.roundTrip(args)
		if err == nil {
			err = v.Err()
		}
		if err != nil {
			c.close()
			return errors.Wrap(err, args[0])
		}
	}
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
