package redis

import (
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/netloop"
)

// ahead tells the database which keys the next commands of a pipeline will ask for,
// many at a time.
type ahead struct {
	commands int // that were looked at and are not yet executed
	rest     int // how many times nobody looks, because it did not pay
	rows     []byte
	keys     [][]byte
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
// first; those that do not are told of a key that nobody asks for.
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
		a.add(s, args)
		return a.commands < aheadMax
	})
	a.tell(s.srv.db)
}

// add notes the key of a command.
func (a *ahead) add(s *session, args [][]byte) {
	if len(args) > 1 && len(args[1]) <= aheadKeyBytes {
		from := len(a.rows)
		a.rows = s.handle.AppendHeaderKey(a.rows, args[1])
		a.keys = append(a.keys, a.rows[from:])
	}
}

// tell tells the database of the keys that were noted, if there are several.
func (a *ahead) tell(db *kv.DB) {
	if len(a.keys) > 1 && !db.Expect(a.keys) {
		a.rest = aheadRest
	}
	clear(a.keys)
	a.rows, a.keys = a.rows[:0], a.keys[:0]
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
				r.add(s, args)
			}
			return false
		})
	}
	r.tell(r.db)
}
