// Package slowlog keeps the commands that took long, the newest first, as SLOWLOG tells them.
package slowlog

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
)

// Entry is a command that took long.
type Entry struct {
	ID           int64
	At           time.Time
	Took         time.Duration
	Args         []string
	Client, Name string
}

// Of a long command only the beginning is kept.
const (
	argsMax     = 32
	argMaxBytes = 128
)

// Arguments are what is kept of a command's.
func Arguments(args [][]byte) []string {
	kept := make([]string, 0, min(len(args), argsMax))
	for i, a := range args {
		switch {
		case i == argsMax-1 && len(args) > argsMax:
			return append(kept, "... ("+strconv.Itoa(len(args)-argsMax+1)+" more arguments)")
		case len(a) > argMaxBytes:
			kept = append(kept, string(a[:argMaxBytes])+"... ("+strconv.Itoa(len(a)-argMaxBytes)+" more bytes)")
		default:
			kept = append(kept, string(a))
		}
	}
	return kept
}

// Log is a bounded list of entries. The zero value is ready.
type Log struct {
	mu struct {
		sync.Mutex
		entries []Entry // the oldest first
		next    int64
	}
}

// Add keeps an entry, and up to most of them.
func (l *Log) Add(e Entry, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.ID = l.mu.next
	l.mu.next++
	l.mu.entries = append(l.mu.entries, e)
	l.trimLocked(most)
}

func (l *Log) trimLocked(most int) {
	if n := len(l.mu.entries) - most; n > 0 {
		l.mu.entries = slices.Delete(l.mu.entries, 0, n)
	}
}

// Trim keeps up to most entries.
func (l *Log) Trim(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimLocked(most)
}

// Newest are up to n entries; a negative n means all.
func (l *Log) Newest(n int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 0 || n > len(l.mu.entries) {
		n = len(l.mu.entries)
	}
	list := slices.Clone(l.mu.entries[len(l.mu.entries)-n:])
	slices.Reverse(list)
	return list
}

// Len is SLOWLOG LEN.
func (l *Log) Len(c *data.Call) error {
	c.W.Int(int64(len(l.Newest(-1))))
	return nil
}

// Reset is SLOWLOG RESET.
func (l *Log) Reset(c *data.Call) error {
	l.Trim(0)
	c.W.OK()
	return nil
}

const (
	countDefault               = 10
	errCount     command.Error = "ERR count should be greater than or equal to -1"
)

// Get is SLOWLOG GET.
func (l *Log) Get(c *data.Call) error {
	n := int64(countDefault)
	switch len(c.Args) {
	case 2:
	case 3:
		var err error
		if n, err = command.AtLeast(c.Args[2], -1, errCount); err != nil {
			return err
		}
	default:
		return c.WrongSubcommand()
	}
	list := l.Newest(int(min(n, 1<<30)))
	c.W.Array(len(list))
	for _, e := range list {
		c.W.Array(6)
		c.W.Int(e.ID)
		c.W.Int(e.At.Unix())
		c.W.Int(e.Took.Microseconds())
		c.W.Array(len(e.Args))
		for _, a := range e.Args {
			c.W.BulkString(a)
		}
		c.W.BulkString(e.Client)
		c.W.BulkString(e.Name)
	}
	return nil
}
