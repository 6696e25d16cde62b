package replica

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// The table of transactions over several ranges belongs to the range's state: what
// is on disk says of it what the log had said up to the applied index, so that a lock
// outlives the log that made it. The sequencer's table is ahead of that by the
// window, as the window is ahead of the rows.

// storedTable is the table as the disk holds it, and what the log has changed since.
type storedTable struct {
	table  *prepared.Table
	binary []byte
	ahead  []loggedEntry // committed, oldest first
}

type loggedEntry struct {
	index base.LogIndex
	pos   base.Position
	stamp base.Stamp // of its batch
	entry prepared.Entry
}

// loadTableLocked makes what the disk holds the table of the range.
func (r *Replica) loadTableLocked(b []byte) error {
	live, stored := prepared.New(), prepared.New()
	if len(b) > 0 {
		var err error
		if live, err = prepared.DecodeTable(b); err != nil {
			return err
		}
		if stored, err = prepared.DecodeTable(b); err != nil {
			return err
		}
	}
	live.Faults, stored.Faults = r.o.Faults.Table, r.o.Faults.Table
	r.mu.seq.SetTable(live)
	r.mu.stored = storedTable{table: stored, binary: b}
	r.mu.waits.drain()
	return nil
}

// noteEntriesLocked remembers, until they leave the window, the changes of a batch
// that was applied.
func (r *Replica) noteEntriesLocked(index base.LogIndex, h batch.Header, data []byte) error {
	if !h.Entries {
		return nil
	}
	var failed error
	err := batch.Records(data, func(rec batch.Record) {
		if rec.Op != batch.OpEntry {
			return
		}
		e, err := prepared.Decode(rec.Value.In(data))
		failed = errors.CombineErrors(failed, err)
		r.mu.stored.ahead = append(r.mu.stored.ahead, loggedEntry{index: index,
			pos: h.Previous + base.Position(rec.Place) + 1, stamp: h.Stamp, entry: e})
	})
	return errors.Wrapf(errors.CombineErrors(err, failed), "entry %d", index)
}

// tableLocked is the table as it was at index, which never goes back.
func (r *Replica) tableLocked(index base.LogIndex) ([]byte, error) {
	s := &r.mu.stored
	n := 0
	for ; n < len(s.ahead) && s.ahead[n].index <= index; n++ {
		e := &s.ahead[n]
		if _, err := s.table.Apply(e.pos, e.entry); err != nil {
			return nil, errors.Wrapf(err, "entry %d", e.index)
		}
		s.table.SetStamp(e.pos, e.stamp)
		s.table.Commit(e.pos)
	}
	if n > 0 {
		clear(s.ahead[:n])
		s.ahead = s.ahead[n:]
		s.binary = s.table.Append(nil)
	}
	return s.binary, nil
}
