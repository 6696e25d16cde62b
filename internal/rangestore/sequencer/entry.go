package sequencer

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// Table is what the range knows about transactions over several ranges. Its locks
// count from the position of their prepare to that of their resolve (S5).
func (s *Sequencer) Table() *prepared.Table { return s.table }

// SetTable replaces the table: by what the disk holds.
func (s *Sequencer) SetTable(t *prepared.Table) { s.table = t }

// AppendEntry sequences a change of the table, which the table has accepted, as a
// transaction of its own: payload is e's binary form. What it installs becomes
// visible at its position, with the stamp of its transaction. e belongs to the table.
func (s *Sequencer) AppendEntry(e prepared.Entry, payload []byte) (base.Position, prepared.Effect, error) {
	if s.Full() {
		return 0, prepared.Effect{}, errors.AssertionFailedf("entry for a batch of %d transactions", s.b.Transactions())
	}
	s.begin()
	s.record(batch.OpEntry, nil, payload)
	effect, err := s.applyEntry(s.pos, e)
	return s.pos, effect, err
}

func (s *Sequencer) applyEntry(pos base.Position, e prepared.Entry) (prepared.Effect, error) {
	effect, err := s.table.Apply(pos, e)
	if err != nil {
		return effect, err
	}
	here := effect.Mutations[:0]
	for _, m := range effect.Mutations {
		if s.own.Contains(m.Key) { // a versionstamped key may land next door
			here = append(here, m)
		}
	}
	effect.Mutations = here
	s.win.Install(here, pos, effect.Commit)
	return effect, nil
}

// Replay makes the change of a record of the log, of the batch that the window has
// opened last: a replay, or an entry of another leader. The record's memory is kept.
func (s *Sequencer) Replay(r batch.Record, buf []byte, pos base.Position) error {
	if r.Op != batch.OpEntry {
		s.win.Add(r, pos)
		return nil
	}
	e, err := prepared.Decode(r.Value.In(buf))
	if err == nil {
		_, err = s.applyEntry(pos, e)
	}
	return err
}

// Replayed tells the stamp of a batch that was replayed up to the position last, and
// that it is committed.
func (s *Sequencer) Replayed(n uint64, last base.Position, stamp base.Stamp) {
	s.win.Reach(last)
	s.win.SetStamp(n, stamp)
	s.win.Commit(n)
	s.table.SetStamp(last, stamp)
	s.table.Commit(last)
}
