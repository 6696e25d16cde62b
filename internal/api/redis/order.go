package redis

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// The commands of a pipeline take effect in their order, whoever looks. In one range they
// do by themselves. A write to another range waits until the one before it is committed:
// each range gives its batches stamps of its own accord, and somebody could see the later
// write alone.

// lastWrite is a session's, and where it went; zero if that is not one range, or not known.
type lastWrite struct {
	ticket base.Ticket
	place  base.RangeID
}

// takeTurn waits for the write before, unless this one goes to the same range, and answers
// where it goes.
func (s *session) takeTurn(x *executor, c kv.Closure) (place base.RangeID, err error) {
	if c == kv.Closure(x) {
		place = s.placeOf(x)
	}
	switch {
	case s.last.ticket.Done() || place != 0 && place == s.last.place:
		return place, nil
	case x.kvs.Prompt:
		return 0, base.ErrWouldWait
	}
	return place, s.last.ticket.Wait()
}

// placeOf is the range of the running command's keys; zero if there are several.
func (s *session) placeOf(x *executor) (place base.RangeID) {
	var few [16]int
	cmd, args := x.call.cmd, x.call.Args
	for _, at := range cmd.Keys.Positions(args, few[:0]) {
		x.rows = s.handle.AppendHeaderKey(x.rows[:0], args[at])
		id, _ := s.srv.db.Whereabouts(x.rows)
		if id == 0 || place != 0 && place != id {
			return 0
		}
		place = id
	}
	return place
}
