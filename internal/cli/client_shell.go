package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors"
	"github.com/peterh/liner"

	"github.com/stratadb/strata/internal/wire/resp"
)

const historyName = ".strata_history"

// session is what the prompt shows of the connection's state. It follows from
// the commands that succeeded.
type session struct {
	db        int
	namespace string // "" is the global one
	tx        string // "", "MULTI" or "BEGIN"
}

// observe takes note of a command and its reply.
func (s *session) observe(args []string, v resp.Value) {
	if len(args) == 0 {
		return
	}
	name, sub := strings.ToUpper(args[0]), ""
	if len(args) > 1 {
		sub = args[1]
	}
	if v.Err() != nil {
		if name == "EXEC" || name == "COMMIT" {
			s.tx = ""
		}
		return
	}
	if s.tx == "MULTI" && string(v.Str) == "QUEUED" {
		return
	}
	switch name {
	case "MULTI", "BEGIN":
		s.tx = name
	case "EXEC", "DISCARD", "COMMIT", "ROLLBACK":
		s.tx = ""
	case "SELECT":
		if n, err := strconv.Atoi(sub); err == nil {
			s.db = n
		}
	case "RESET", "SESSION.CLOSE":
		*s = session{}
	case "NAMESPACE":
		if strings.EqualFold(sub, "USE") && len(args) > 2 {
			s.namespace = args[2]
			if s.namespace == "global" {
				s.namespace = ""
			}
		}
	}
}

func (s *session) prompt(addr string) string {
	if s.db != 0 {
		addr += "[" + strconv.Itoa(s.db) + "]"
	}
	if s.namespace != "" {
		addr += " " + s.namespace
	}
	if s.tx != "" {
		addr += " (" + s.tx + ")"
	}
	return addr + "> "
}

// secret reports whether a command must not be kept in the history.
func secret(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch strings.ToUpper(args[0]) {
	case "AUTH", "ACL":
		return true
	case "HELLO":
		return len(args) > 2
	case "CONFIG":
		return len(args) > 1 && strings.EqualFold(args[1], "SET")
	}
	return false
}

func historyPath() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, historyName)
}

// shell reads commands from a terminal.
func (c *client) shell(p Process) (err error) {
	line := liner.NewLiner()
	defer func() { err = errors.CombineErrors(err, line.Close()) }()
	line.SetCtrlCAborts(true)
	path := historyPath()
	if f, err := os.Open(path); err == nil {
		_, _ = line.ReadHistory(f) // without it the shell works as well
		_ = f.Close()
	}
	defer c.saveHistory(line, path, p.Stderr)
	if err := c.connect(); err != nil {
		fmt.Fprintf(p.Stderr, "Could not connect to %s: %v\n", c.addr, err)
	}
	for {
		prompt := "not connected> "
		if c.conn != nil {
			prompt = c.mode.prompt(c.addr)
		}
		text, err := line.Prompt(prompt)
		if errors.Is(err, io.EOF) || errors.Is(err, liner.ErrPromptAborted) {
			return nil
		}
		if err != nil {
			return failed(err, "reading the terminal")
		}
		if quit := c.shellLine(line, text, p.Stderr); quit {
			return nil
		}
	}
}

// shellLine runs one line and reports whether it was the last.
func (c *client) shellLine(line *liner.State, text string, stderr io.Writer) (quit bool) {
	args, ok := splitLine(text)
	if !ok {
		fmt.Fprintln(c.out, "Invalid argument(s)")
		return false
	}
	if len(args) == 0 {
		return false
	}
	if !secret(args) {
		line.AppendHistory(text)
	}
	switch strings.ToLower(args[0]) {
	case "quit", "exit":
		return true
	case "clear":
		fmt.Fprint(c.out, "\x1b[H\x1b[2J")
		return false
	case "help", "?":
		fmt.Fprintln(c.out, "Type a command, for example SET greeting hello. COMMAND DOCS describes the server's commands.\n"+
			"quit, exit or Ctrl-D leave; clear empties the screen.")
		return false
	}
	lost := c.conn != nil && c.mode != session{db: c.db}
	reply, err := c.do(args)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", c.addr, err)
		if lost {
			fmt.Fprintln(stderr, "The connection's transaction, database and namespace are gone.")
		}
		return false
	}
	c.print(reply)
	return false
}

func (c *client) saveHistory(line *liner.State, path string, stderr io.Writer) {
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = line.WriteHistory(f)
		err = errors.CombineErrors(err, f.Close())
	}
	if err != nil {
		fmt.Fprintf(stderr, "keeping the history: %v\n", err)
	}
}
