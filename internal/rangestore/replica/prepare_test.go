package replica

import (
	"cmp"
	"fmt"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// The commands about transactions over several ranges, whose other range, and its
// records, are the scenario's word:
//
//	prepare t s=n [priority=n]      what t has read and written so far
//	record t c=n / tombstone t / resolve t [c=n] / settled t
//	fate t                          what this range, as the anchor, knows
//	decide t [c=n]                  what the other range will answer as the anchor
//	forget t                        it remembers nothing
//	issue n                         the oracle has issued n
//	pass duration                   time
//	table                           the table on disk

// settler is the other range.
type settler struct {
	fates map[prepared.TxnID]prepared.Record
	asked []string
}

func (s *settler) Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error) {
	s.asked = append(s.asked, "asked about "+nameOf(t.ID))
	f, ok := s.fates[t.ID]
	switch {
	case !ok:
		return prepared.Undecided, 0, nil
	case f.Begin == 0:
		return prepared.Forgotten, 0, nil
	case f.Commit == 0:
		return prepared.Aborted, 0, nil
	}
	return prepared.Committed, f.Commit, nil
}

func (s *settler) Settle(t *prepared.Txn) error {
	s.asked = append(s.asked, "settles "+nameOf(t.ID))
	s.fates[t.ID] = prepared.Record{Txn: *t}
	return nil
}

func nameOf(id prepared.TxnID) string { return string(id[:1]) }

func idOf(name string) (id prepared.TxnID) {
	copy(id[:], name)
	return id
}

// told is a result with what the other range has been asked for.
func (s *scenario) told(result string) string {
	for _, q := range s.settler.asked {
		result = q + "\n" + result
	}
	s.settler.asked = nil
	return result
}

// manualClock is time that a scenario moves.
type manualClock struct{ now time.Duration }

func (c *manualClock) Elapsed() time.Duration { return c.now }
func (c *manualClock) UnixMicros() int64      { return c.now.Microseconds() }
func (c *manualClock) Now() time.Time         { return time.UnixMicro(c.UnixMicros()) }

func (s *scenario) table() (string, error) {
	if len(s.disk.state.Table) == 0 {
		return "nothing", nil
	}
	t, err := prepared.DecodeTable(s.disk.state.Table)
	if err != nil {
		return "", err
	}
	out := ""
	for _, h := range t.HeldBefore(^base.Stamp(0)) {
		out += fmt.Sprintf("%s is held since %d\n", nameOf(h.ID), h.Stamp)
	}
	for _, f := range t.OpenRecords() {
		out += fmt.Sprintf("%s ended at %d\n", nameOf(f.ID), f.Commit)
	}
	return out + fmt.Sprintf("refuses before %d", t.Retained().Refuse), nil
}

// several runs the commands about transactions over several ranges.
func (s *scenario) several(d *datadriven.TestData, name string, x *scenarioTxn) (string, error) {
	var at, priority, commit uint64
	d.MaybeScanArgs(s.t, "s", &at)
	d.MaybeScanArgs(s.t, "priority", &priority)
	d.MaybeScanArgs(s.t, "c", &commit)
	c := base.Stamp(commit)
	if at != 0 {
		x.txn = prepared.Txn{ID: idOf(name), Begin: base.Stamp(at), Priority: base.Stamp(cmp.Or(priority, at)), Anchor: []byte("a"),
			Participants: []base.Span{{Start: []byte("a"), End: []byte("z")}}}
	}
	switch d.Cmd {
	case "prepare":
		p := &prepared.Prepare{Txn: x.txn, ReadStamp: x.txn.Begin, ReadKeys: x.req.ReadKeys, ReadSpans: x.req.ReadSpans,
			Mutations: x.req.Mutations}
		guards := x.req.Guards
		return s.call(x, func() string { return x.took(s.r.Prepare(p, guards)) }), nil
	case "record", "tombstone":
		commit, ticket, err := s.r.Record(&prepared.Record{Txn: x.txn, Commit: c})
		return fmt.Sprintf("%s; it ends at %d", x.took(ticket, err), commit), nil
	case "resolve":
		_, ticket, err := s.r.Resolve(&prepared.Resolve{ID: idOf(name), Begin: x.txn.Begin, Commit: c})
		return x.took(ticket, err), nil
	case "settled":
		return x.took(base.Ticket{}, s.r.Settled(x.txn.Anchor, &prepared.Settled{ID: idOf(name)})), nil
	case "fate":
		status, commit, ticket, err := s.r.Fate(&x.txn)
		return fmt.Sprintf("%s; status %d at %d", x.took(ticket, err), status, commit), nil
	case "decide":
		s.settler.fates[idOf(name)] = prepared.Record{Txn: x.txn, Commit: c}
		return "", nil
	case "forget":
		s.settler.fates[idOf(name)] = prepared.Record{}
		return "", nil
	}
	return "", errors.Newf("no such command: %s", d.Cmd)
}

// took keeps the ticket of a message's answer.
func (x *scenarioTxn) took(t base.Ticket, err error) string {
	x.ticket, x.told = t, nil
	if err != nil {
		return "refused: " + err.Error()
	}
	return fmt.Sprintf("position %d", t.Pos)
}
