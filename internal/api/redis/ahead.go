package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/netloop"
)

// ahead tells the database which keys the next commands of a pipeline will ask for,
// many at a time.
type ahead struct {
	commands int // that were looked at and are not yet executed
	rest     int // how many times nobody looks, because it did not pay
	rows     []byte
	keys     [][]byte
	header   []byte // the last one of keys that is a header's
}

const (
	// aheadMax is how many commands are looked at together.
	aheadMax = 32
	// aheadBytes is how much must have arrived for another command to be likely.
	aheadBytes = 64
	// aheadRest is how many times nobody looks after it did not pay.
	aheadRest = 64
	// aheadKeyBytes is how long a key may be for this.
	aheadKeyBytes = 256
)

// lookAhead looks at the commands that have arrived. Nearly all name their key
// first; those that do not are told of a key that nobody asks for, as are those on elements of
// a value that lies in its header.
func (s *session) lookAhead(a *ahead) {
	a.commands = aheadMax
	if a.rest > 0 {
		a.rest--
		return
	}
	buf := s.in.Pending()
	if len(buf) < aheadBytes || !s.authenticated || s.handle == nil {
		return
	}
	a.commands = 0
	s.parser.Ahead(buf, func(args [][]byte, _ int) bool {
		a.commands++
		a.add(s, s.meant(args), args)
		return a.commands < aheadMax
	})
	a.tell(s.srv.db)
}

// meant is the command that is called; nil if it is none that names an element of its key.
func (s *session) meant(args [][]byte) *Command {
	if len(args) < 3 {
		return nil
	}
	return s.srv.table.Resolve(args)
}

// add notes the key of a command, and the row behind its header that it looks for next, if it
// names one. Those on one key have it noted once.
func (a *ahead) add(s *session, cmd *Command, args [][]byte) {
	if len(args) < 2 || len(args[1]) > aheadKeyBytes {
		return
	}
	from := len(a.rows)
	a.rows = s.handle.AppendHeaderKey(a.rows, args[1])
	header := a.rows[from:]
	if bytes.Equal(header, a.header) {
		a.rows = a.rows[:from]
	} else {
		a.header, a.keys = header, append(a.keys, header)
	}
	if cmd == nil || cmd.Element == 0 || len(args) <= cmd.Element || len(args[cmd.Element]) > aheadKeyBytes {
		return
	}
	kind := model.TypeHash
	if cmd.Group == command.GroupSortedSet {
		kind = model.TypeZSet
	}
	from = len(a.rows)
	a.rows = model.AppendElementKey(a.rows, a.header, kind, args[cmd.Element])
	a.keys = append(a.keys, a.rows[from:])
}

// tell tells the database of the keys that were noted, if there are several.
func (a *ahead) tell(db *kv.DB) {
	if len(a.keys) > 1 && !db.Expect(a.keys) {
		a.rest = aheadRest
	}
	clear(a.keys)
	a.rows, a.keys, a.header = a.rows[:0], a.keys[:0], nil
}

// round is what a loop knows of the connections that it comes to next.
type round struct {
	ahead
	db *kv.DB
}

// expect reads what several clients have sent, and tells the database of the keys of those
// that have sent one command. A pipeline looks ahead by itself.
func (r *round) expect(handlers []netloop.Handler) {
	if r.rest > 0 {
		r.rest--
		return
	}
	for _, h := range handlers {
		s := h.(*session)
		s.loop.Took()
		s.take()
		if s.taken.err != nil || !s.authenticated || s.handle == nil {
			continue
		}
		buf := s.in.Pending()
		s.parser.Ahead(buf, func(args [][]byte, end int) bool {
			if s.taken.single = end == len(buf); s.taken.single {
				r.add(s, s.meant(args), args)
			}
			return false
		})
	}
	r.tell(r.db)
}
