package transfer

import (
	"strconv"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// pieceBytes is about how long a piece is.
	pieceBytes = limits.TransferPieceBytes
	// pieceElements is how many elements are asked for first.
	pieceElements = 64
	// pieceElementsMost bounds them.
	pieceElementsMost = 4096
)

// ErrType says that a value is of a type that cannot be copied in pieces.
var ErrType = errors.New("a value of an unknown type")

// Pieces reads a large value and hands out commands, some at a time, that make the key what
// it is there. The first one deletes what it was.
func (s *Source) Pieces(v Value, emit func(commands []Command) error) error {
	kind, err := s.Do("TYPE", v.Key)
	if err != nil {
		return err
	}
	if err := emit([]Command{words("DEL", v.Key)}); err != nil {
		return err
	}
	p := pieces{s: s, key: v.Key, emit: emit, count: pieceElements}
	switch kind.Text() {
	case "none":
		return nil
	case "string":
		err = p.text()
	case "list":
		err = p.list()
	case "set":
		err = p.scan("SSCAN", "SADD")
	case "hash":
		err = p.scan("HSCAN", "HSET")
	case "zset":
		err = p.scan("ZSCAN", "ZADD")
	case "stream":
		err = p.stream()
	default:
		err = errors.Wrap(ErrType, kind.Text())
	}
	if err != nil || v.ExpireAt == 0 {
		return err
	}
	return emit([]Command{words("PEXPIREAT", v.Key, strconv.FormatInt(v.ExpireAt, 10))})
}

type pieces struct {
	s     *Source
	key   string
	emit  func(commands []Command) error
	count int // of elements in the next piece
}

// ask is a command whose reply is no error.
func (p *pieces) ask(args ...string) (resp.Value, error) {
	v, err := p.s.Do(args...)
	if err == nil && v.Err() != nil {
		err = errors.Wrap(v.Err(), args[0])
	}
	return v, err
}

// adapt makes the next piece as long as one should be.
func (p *pieces) adapt(v resp.Value) {
	bytes := size(v)
	switch {
	case bytes > 2*pieceBytes:
		p.count = max(p.count/2, 1)
	case bytes < pieceBytes/2:
		p.count = min(p.count*2, pieceElementsMost)
	}
}

func size(v resp.Value) int {
	n := len(v.Str)
	for _, e := range v.Array {
		n += size(e)
	}
	return n
}

func (p *pieces) text() error {
	for from := 0; ; from += pieceBytes {
		v, err := p.ask("GETRANGE", p.key, strconv.Itoa(from), strconv.Itoa(from+pieceBytes-1))
		if err != nil || len(v.Str) == 0 {
			return err
		}
		if err := p.emit([]Command{append(words("APPEND", p.key), v.Str)}); err != nil {
			return err
		}
	}
}

func (p *pieces) list() error {
	for from := 0; ; {
		v, err := p.ask("LRANGE", p.key, strconv.Itoa(from), strconv.Itoa(from+p.count-1))
		if err != nil || len(v.Array) == 0 {
			return err
		}
		if err := p.emit([]Command{with(words("RPUSH", p.key), v.Array)}); err != nil {
			return err
		}
		from += len(v.Array)
		p.adapt(v)
	}
}

func with(c Command, vs []resp.Value) Command {
	for _, v := range vs {
		c = append(c, v.Str)
	}
	return c
}

// scan is a set, a hash or a sorted set.
func (p *pieces) scan(ask, add string) error {
	for cursor := "0"; ; {
		v, err := p.ask(ask, p.key, cursor, "COUNT", strconv.Itoa(p.count))
		if err != nil {
			return err
		}
		if len(v.Array) != 2 {
			return errors.Newf("%s answered %d elements", ask, len(v.Array))
		}
		if elements := v.Array[1].Array; len(elements) > 0 {
			if add == "ZADD" {
				for i := 0; i+1 < len(elements); i += 2 {
					elements[i], elements[i+1] = elements[i+1], elements[i]
				}
			}
			commands := []Command{with(words(add, p.key), elements)}
			if add == "HSET" {
				timed, err := p.fieldTimes(elements)
				if err != nil {
					return err
				}
				commands = append(commands, timed...)
			}
			if err := p.emit(commands); err != nil {
				return err
			}
			p.adapt(v.Array[1])
		}
		if cursor = v.Array[0].Text(); cursor == "0" {
			return nil
		}
	}
}

// fieldTimes are the times of a hash's fields; a server that does not know such has none.
func (p *pieces) fieldTimes(pairs []resp.Value) (commands []Command, err error) {
	ask := []string{"HPEXPIRETIME", p.key, "FIELDS", strconv.Itoa(len(pairs) / 2)}
	for i := 0; i+1 < len(pairs); i += 2 {
		ask = append(ask, string(pairs[i].Str))
	}
	times, err := p.s.Do(ask...)
	if err != nil || times.Err() != nil {
		return nil, err
	}
	for i, t := range times.Array {
		if t.Int > 0 && 2*i < len(pairs) {
			commands = append(commands, append(words("HPEXPIREAT", p.key, strconv.FormatInt(t.Int, 10), "FIELDS", "1"), pairs[2*i].Str))
		}
	}
	return commands, nil
}

func (p *pieces) stream() error {
	empty := true
	for from := "-"; ; {
		v, err := p.ask("XRANGE", p.key, from, "+", "COUNT", strconv.Itoa(p.count))
		if err != nil {
			return err
		}
		if len(v.Array) == 0 {
			break
		}
		var commands []Command
		for _, e := range v.Array {
			if len(e.Array) != 2 {
				return errors.New("XRANGE answered something else")
			}
			commands = append(commands, with(append(words("XADD", p.key), e.Array[0].Str), e.Array[1].Array))
			from = "(" + string(e.Array[0].Str)
		}
		empty = false
		if err := p.emit(commands); err != nil {
			return err
		}
		p.adapt(v)
	}
	info, err := p.ask("XINFO", "STREAM", p.key)
	if err != nil {
		return err
	}
	last, _ := info.Get("last-generated-id")
	var commands []Command
	if empty {
		commands = append(commands, words("XGROUP", "CREATE", p.key, "-", "0", "MKSTREAM"), words("XGROUP", "DESTROY", p.key, "-"))
	}
	set := words("XSETID", p.key, last.Text())
	if added, ok := info.Get("entries-added"); ok {
		deleted, _ := info.Get("max-deleted-entry-id")
		set = append(set, words("ENTRIESADDED", added.Text(), "MAXDELETEDID", deleted.Text())...)
	}
	if err := p.emit(append(commands, set)); err != nil {
		return err
	}
	return p.groups()
}

func (p *pieces) groups() error {
	all, err := p.ask("XINFO", "GROUPS", p.key)
	if err != nil {
		return err
	}
	for _, g := range all.Array {
		name, _ := g.Get("name")
		last, _ := g.Get("last-delivered-id")
		create := words("XGROUP", "CREATE", p.key, name.Text(), last.Text())
		if read, ok := g.Get("entries-read"); ok && !read.IsNull() {
			create = append(create, words("ENTRIESREAD", read.Text())...)
		}
		commands := []Command{create}
		consumers, err := p.ask("XINFO", "CONSUMERS", p.key, name.Text())
		if err != nil {
			return err
		}
		for _, c := range consumers.Array {
			consumer, _ := c.Get("name")
			commands = append(commands, words("XGROUP", "CREATECONSUMER", p.key, name.Text(), consumer.Text()))
		}
		if err := p.emit(commands); err != nil {
			return err
		}
		if err := p.pending(name.Text()); err != nil {
			return err
		}
	}
	return nil
}

// pending are the entries that consumers of a group have not acknowledged.
func (p *pieces) pending(group string) error {
	for from := "-"; ; {
		v, err := p.ask("XPENDING", p.key, group, from, "+", strconv.Itoa(pieceElements))
		if err != nil || len(v.Array) == 0 {
			return err
		}
		var commands []Command
		for _, e := range v.Array {
			if len(e.Array) != 4 {
				return errors.New("XPENDING answered something else")
			}
			id, at := e.Array[0].Text(), time.Now().UnixMilli()-e.Array[2].Int
			commands = append(commands, words("XCLAIM", p.key, group, e.Array[1].Text(), "0", id, "TIME", strconv.FormatInt(at, 10),
				"RETRYCOUNT", e.Array[3].Text(), "FORCE", "JUSTID"))
			from = "(" + id
		}
		if err := p.emit(commands); err != nil {
			return err
		}
	}
}
