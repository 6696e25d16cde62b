package saver

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/redisnum"
)

// Command is a row of the table.
type Command = command.Command[*Call]

// Call is one execution of a command about files.
type Call struct {
	*data.Call
	Saver *Saver
	// Namespace is the client's, First the one that clients begin in.
	Namespace, First keyspace.NamespaceID
	Asked            *Asked
	// Own runs what the server waits for before it ends.
	Own func(fn func())
	// Send sends a file behind the reply.
	Send func(f *os.File) error
}

// Commands are those that make copies of a namespace as files of Redis.
func Commands() []Command {
	const admin = command.FlagAdmin | command.FlagNoScript
	row := func(name, summary, since string, arity int, flags command.Flags, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupServer, Arity: arity, Flags: flags, Kind: command.KindConnection, Handler: h}
	}
	rows := []Command{
		row("save", "Synchronously saves the database(s) to disk.", "1.0.0", 1, admin|command.FlagNoMulti, saveCommand),
		row("bgsave", "Asynchronously saves the database(s) to disk.", "1.0.0", -1, admin, bgsaveCommand),
		row("bgrewriteaof", "Asynchronously rewrites the append-only file to disk.", "1.0.0", 1, admin, bgrewriteaofCommand),
		row("lastsave", "Returns the Unix timestamp of the last successful save to disk.", "1.0.0", 1,
			command.FlagLoading|command.FlagStale|command.FlagFast|command.FlagDangerous, lastsaveCommand),
		row("replconf", "An internal command for configuring the replication stream.", "3.0.0", -1, admin|command.FlagLoading|command.FlagStale|command.FlagAllowBusy, replconfCommand),
		row("sync", "An internal command used in replication.", "1.0.0", 1, admin|command.FlagNoMulti, syncCommand),
		row("psync", "An internal command used in replication.", "2.8.0", -3, admin|command.FlagNoMulti, func(*Call) error { return errNoReplicas }),
	}
	rows[3].Categories = []string{"admin"}
	return rows
}

const (
	errSaving     command.Error = "ERR Background save already in progress"
	errNoReplicas command.Error = "ERR there are no replicas of Redis's kind; who sends REPLCONF rdb-only 1 before SYNC gets a file"
)

// SetName is CONFIG SET dbfilename, which takes a name without a directory: nothing but files of
// the server's own directory is replaced.
func (s *Saver) SetName(v string) (apply func(), refused string) {
	if v == "" || v == "." || v == ".." || strings.ContainsAny(v, "/\x00") || strings.HasPrefix(v, "temp-") || len(v) > nameBytes {
		return nil, "dbfilename can't be a path, just a filename"
	}
	return func() { s.name.Store(&v) }, ""
}

// begin reserves the saver for the client's namespace.
func (c *Call) begin() (func() error, error) {
	name := c.Saver.Name()
	if c.Namespace != c.First {
		name = fmt.Sprintf("namespace-%d-%s", c.Namespace, name)
	}
	save, err := c.Saver.Begin(c.Namespace, name)
	if errors.Is(err, ErrBusy) {
		err = errSaving
	}
	return save, err
}

func saveCommand(c *Call) error {
	save, err := c.begin()
	if err != nil {
		return err
	}
	if err := save(); err != nil {
		return told(err)
	}
	c.W.OK()
	return nil
}

// told is an error on one line.
func told(err error) error {
	return command.Error("ERR " + command.OneLine(err.Error()))
}

// bgsaveCommand takes SCHEDULE, too: nothing that it would have to wait for ever runs.
func bgsaveCommand(c *Call) error {
	if len(c.Args) > 2 || len(c.Args) == 2 && !command.Is(c.Args[1], "schedule") {
		return command.ErrSyntax
	}
	save, err := c.begin()
	if err != nil {
		return err
	}
	c.Own(func() { _ = save() }) // the saver tells of errors
	c.W.SimpleString("Background saving started")
	return nil
}

// bgrewriteaofCommand has nothing to do: the log is compacted all the time.
func bgrewriteaofCommand(c *Call) error {
	c.W.SimpleString("Background append only file rewriting started")
	return nil
}

func lastsaveCommand(c *Call) error {
	c.W.Int(c.Saver.State().Last.Unix())
	return nil
}

// Asked is what a client has said about the file that it is going to ask for, if anything.
type Asked struct{ some, only, functions bool }

func replconfCommand(c *Call) error {
	if len(c.Args)%2 == 0 {
		return command.ErrSyntax
	}
	next := *c.Asked
	next.some = true
	for i := 1; i < len(c.Args); i += 2 {
		value := c.Args[i+1]
		switch {
		case command.Is(c.Args[i], "rdb-only"):
			n, ok := redisnum.ParseInt(value)
			if !ok {
				return command.Error("ERR value is not an integer or out of range")
			}
			next.only = n == 1
		case command.Is(c.Args[i], "rdb-filter-only"):
			next.functions = false
			for _, word := range strings.Fields(string(value)) {
				if !strings.EqualFold(word, "functions") {
					return command.Error("ERR Unsupported rdb-filter-only option: " + string(command.Truncated([]byte(word), command.EchoedBytes)))
				}
				next.functions = true
			}
		case command.Is(c.Args[i], "capa"), command.Is(c.Args[i], "listening-port"), command.Is(c.Args[i], "ip-address"):
		default:
			return command.Error("ERR Unrecognized REPLCONF option: " + string(command.Truncated(c.Args[i], command.EchoedBytes)))
		}
	}
	*c.Asked = next
	c.W.OK()
	return nil
}

// syncCommand sends a file, which is written first, so that its length is known and a client that
// reads slowly costs nothing but room on disk.
func syncCommand(c *Call) error {
	if c.Asked.some && !c.Asked.only { // it would wait for commands then, as replicas do
		return errNoReplicas
	}
	f, err := c.Saver.Temporary()
	if err != nil {
		return told(err)
	}
	defer func() { _ = f.Close() }()
	saved, err := c.Saver.Write(c.Namespace, f, c.Asked.functions)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return told(err)
	}
	c.W.Buf = append(append(append(c.W.Buf, '$'), strconv.FormatInt(saved.Bytes, 10)...), '\r', '\n')
	return c.Send(f)
}
