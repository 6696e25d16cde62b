package redis

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
	a.rows, a.keys, a.commands = a.rows[:0], a.keys[:0], 0
	s.parser.Ahead(buf, func(args [][]byte, _ int) bool {
		if a.commands++; len(args) > 1 && len(args[1]) <= aheadKeyBytes {
			from := len(a.rows)
			a.rows = s.handle.AppendHeaderKey(a.rows, args[1])
			a.keys = append(a.keys, a.rows[from:])
		}
		return a.commands < aheadMax
	})
	if len(a.keys) > 1 && !s.srv.db.Expect(a.keys) {
		a.rest = aheadRest
	}
	clear(a.keys)
}
