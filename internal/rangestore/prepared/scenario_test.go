package prepared

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// TestScenarios runs the files in testdata/table: one table, or two after a
// split. An entry that is accepted is sequenced at the next position. The commands:
//
//	prepare id begin=n priority=n s=n   its locks and mutations, one a line: read k, read-span k k,
//	                                    set k v, clear k, clear-range k k, touch k k, stamped-key k
//	record id begin=n c=n               the tombstone without c
//	resolve id begin=n c=n / settled id / retain refuse=n forget=n
//	version k n                         a version for validation, 0: stamp unknown
//	stamp n to=pos / commit to=pos / drop
//	write                               mutations, one a line: who stops them
//	read k... / scan k k                who stops a latest read
//	snapshot s=n closed=pos k           what stops a read at s
//	ask id begin=n
//	wait w id... / gone id / cancel w / drain      the queue
//	state / reload / split k / use left|right / merge
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/table", func(t *testing.T, path string) {
		s := &scenario{table: New(), versions: map[string]base.Stamp{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.run(d)
			if err == nil {
				err = s.table.check()
			}
			if err != nil {
				out += "error: " + strings.SplitN(err.Error(), "\n", 2)[0]
			}
			if out = strings.TrimSpace(out); out != "" {
				out += "\n"
			}
			return out
		})
	})
}

type scenario struct {
	table, other *Table
	versions     map[string]base.Stamp
	pos          base.Position
	queue        Queue
}

var _ Versions = (*scenario)(nil)

// Validate implements Versions.
func (s *scenario) Validate(at base.Stamp, keys [][]byte, spans []base.Span) error {
	for k, stamp := range s.versions {
		covered := slices.ContainsFunc(keys, func(key []byte) bool { return string(key) == k }) ||
			slices.ContainsFunc(spans, func(x base.Span) bool { return x.Contains([]byte(k)) })
		if covered && (stamp == 0 || stamp > at) {
			return base.ErrConflict
		}
	}
	return nil
}

// arguments are the named numbers and the other words of a command.
type arguments struct {
	n     map[string]uint64
	words []string
}

func parse(d *datadriven.TestData) (a arguments) {
	a.n = map[string]uint64{}
	for _, x := range d.CmdArgs {
		if len(x.Vals) == 0 {
			a.words = append(a.words, x.Key)
			continue
		}
		var n uint64
		_, _ = fmt.Sscan(x.Vals[0], &n)
		a.n[x.Key] = n
	}
	return a
}

func (a *arguments) stamp(name string) base.Stamp { return base.Stamp(a.n[name]) }

func (a *arguments) id() TxnID { return idOf(a.words[0]) }

func idOf(name string) (id TxnID) {
	copy(id[:], name)
	return id
}

func nameOf(id TxnID) string { return string(bytes.TrimRight(id[:], "\x00")) }

func (s *scenario) run(d *datadriven.TestData) (string, error) {
	a := parse(d)
	switch d.Cmd {
	case "prepare", "record", "resolve", "settled", "retain":
		return s.message(d, a)
	case "version":
		var n uint64
		_, _ = fmt.Sscan(a.words[1], &n)
		s.versions[a.words[0]] = base.Stamp(n)
	case "stamp":
		var n uint64
		_, _ = fmt.Sscan(a.words[0], &n)
		s.table.SetStamp(base.Position(a.n["to"]), base.Stamp(n))
	case "commit":
		s.table.Commit(base.Position(a.n["to"]))
	case "drop":
		var out []string
		for _, id := range s.table.DropTail() {
			out = append(out, nameOf(id))
		}
		return fmt.Sprintf("released %v", out), nil
	case "wait", "gone", "cancel", "drain":
		return s.wait(d.Cmd, a), nil
	case "state":
		return s.state(), nil
	case "reload", "split", "use", "merge":
		return s.rearrange(d.Cmd, a)
	default:
		return s.query(d, a)
	}
	return "", nil
}

func (s *scenario) message(d *datadriven.TestData, a arguments) (string, error) {
	var e Entry
	var ans Answer
	switch d.Cmd {
	case "prepare":
		p, err := prepareOf(d.Input, a)
		if err != nil {
			return "", err
		}
		e, ans = p, s.table.CheckPrepare(p, s)
	case "record":
		r := &Record{Txn: Txn{ID: a.id(), Begin: a.stamp("begin"), Anchor: []byte("k")}, Commit: a.stamp("c")}
		e, ans = r, s.table.CheckRecord(r)
	case "resolve":
		r := &Resolve{ID: a.id(), Begin: a.stamp("begin"), Commit: a.stamp("c")}
		e, ans = r, s.table.CheckResolve(r)
	case "settled":
		r := &Settled{ID: a.id()}
		e, ans = r, s.table.CheckSettled(r)
	case "retain":
		r, ok := s.table.CheckRetain(Retain{Refuse: a.stamp("refuse"), Forget: a.stamp("forget")})
		if !ok {
			return "nothing to do", nil
		}
		e = &r
	}
	if ans.Verdict != Accept {
		return ans.String(), nil
	}
	e, err := Decode(e.Append(nil))
	if err != nil {
		return "", err
	}
	s.pos++
	effect, err := s.table.Apply(s.pos, e)
	return fmt.Sprintf("accepted at position %d%s", s.pos, effectString(&effect)), err
}

func prepareOf(input string, a arguments) (*Prepare, error) {
	p := &Prepare{Txn: Txn{ID: a.id(), Begin: a.stamp("begin"), Priority: a.stamp("priority"), Anchor: []byte("k")}, ReadStamp: a.stamp("s")}
	if p.Priority == 0 {
		p.Priority = p.Begin
	}
	for _, line := range strings.Split(input, "\n") {
		f := append(strings.Fields(line), "", "")
		switch f[0] {
		case "read":
			p.ReadKeys = append(p.ReadKeys, []byte(f[1]))
		case "read-span":
			p.ReadSpans = append(p.ReadSpans, base.Span{Start: []byte(f[1]), End: []byte(f[2])})
		default:
			m, err := mutationOf(f)
			if err != nil {
				return nil, err
			}
			p.Mutations = append(p.Mutations, m)
		}
	}
	return p, nil
}

func mutationOf(f []string) (base.Mutation, error) {
	m := base.Mutation{Key: []byte(f[1]), Value: []byte(f[2])}
	switch f[0] {
	case "set":
		m.Op = base.OpSet
	case "clear":
		m.Op = base.OpClear
	case "clear-range":
		m.Op = base.OpClearRange
	case "touch":
		m.Op = base.OpTouch
	case "stamped-key":
		m.Op = base.OpSetVersionstampedKey
		m.Key = binary.LittleEndian.AppendUint32(append([]byte(f[1]), make([]byte, base.VersionstampLen)...), uint32(len(f[1])))
	case "stamped-value":
		m.Op = base.OpSetVersionstampedValue
		m.Value = make([]byte, base.VersionstampLen+4)
	default:
		return m, errors.Newf("no such mutation: %s", f[0])
	}
	return m, nil
}

// String describes the answer.
func (a *Answer) String() string {
	switch a.Verdict {
	case Done:
		out := fmt.Sprintf("done at position %d", a.Pos)
		if a.Fate != nil {
			out += ", " + fateString(a.Fate)
		}
		return out
	case Wait:
		return "waits for " + holders(a.Holders)
	case Refuse:
		return fmt.Sprintf("refused: %v (position %d)", a.Err, a.Pos)
	}
	return "accepted"
}

func fateString(f *Fate) string {
	if f.Commit != 0 {
		return fmt.Sprintf("committed at %d", f.Commit)
	}
	return "aborted"
}

func holders(list []*Held) string {
	if len(list) == 0 {
		return "nobody"
	}
	var names []string
	for _, h := range list {
		names = append(names, nameOf(h.ID))
	}
	return strings.Join(names, " ")
}

func effectString(e *Effect) string {
	out := ""
	if e.Released != nil {
		out += fmt.Sprintf(", releases %s", nameOf(e.Released.ID))
	}
	for _, m := range e.Mutations {
		out += fmt.Sprintf("\n  installs at %d: op %d %q %q", e.Commit, m.Op, m.Key, m.Value)
	}
	return out
}

func (s *scenario) query(d *datadriven.TestData, a arguments) (string, error) {
	var names [][]byte
	for _, w := range a.words {
		names = append(names, []byte(w))
	}
	switch d.Cmd {
	case "write":
		var muts []base.Mutation
		for _, line := range strings.Split(d.Input, "\n") {
			m, err := mutationOf(append(strings.Fields(line), "", ""))
			if err != nil {
				return "", err
			}
			muts = append(muts, m)
		}
		return "waits for " + holders(s.table.StopsWrite(muts)), nil
	case "read":
		return "waits for " + holders(s.table.StopsRead(names, nil)), nil
	case "scan":
		return "waits for " + holders(s.table.StopsRead(nil, []base.Span{{Start: names[0], End: names[1]}})), nil
	case "snapshot":
		ask, wait := s.table.StopsSnapshot(a.stamp("s"), base.Position(a.n["closed"]), names, nil)
		return fmt.Sprintf("asks about %s, waits for position %d", holders(ask), wait), nil
	case "ask":
		status, fate := s.table.Ask(a.id(), a.stamp("begin"))
		out := [...]string{"undecided", "committed", "aborted", "forgotten"}[status]
		if fate != nil {
			out = fmt.Sprintf("%s, known at position %d", fateString(fate), fate.Pos)
		}
		return out, nil
	}
	return "", errors.Newf("no such command: %s", d.Cmd)
}

func (s *scenario) wait(cmd string, a arguments) string {
	var ready []WaiterID
	number := func(w string) (n WaiterID) { _, _ = fmt.Sscan(w, &n); return n }
	switch cmd {
	case "wait":
		var list []*Held
		for _, w := range a.words[1:] {
			list = append(list, &Held{Prepare: Prepare{Txn: Txn{ID: idOf(w)}}})
		}
		s.queue.Wait(number(a.words[0]), list)
	case "gone":
		ready = s.queue.Gone(a.id())
	case "cancel":
		s.queue.Cancel(number(a.words[0]))
	case "drain":
		ready = s.queue.Drain()
	}
	return fmt.Sprintf("ready %v, %d wait", ready, s.queue.Len())
}

func (s *scenario) state() string {
	out := fmt.Sprintf("empty %v, refuses before %d, forgets before %d\n", s.table.Empty(), s.table.retain.Refuse, s.table.retain.Forget)
	for _, h := range s.table.HeldBefore(^base.Stamp(0)) {
		out += fmt.Sprintf("  held %s, begun %d, position %d, stamp %d:", nameOf(h.ID), h.Begin, h.Pos, h.Stamp)
		_ = h.locks(
			func(k []byte, write bool) error { out += fmt.Sprintf(" %q", k) + lockString(write); return nil },
			func(x base.Span, write bool) error {
				out += fmt.Sprintf(" [%q,%q)", x.Start, x.End) + lockString(write)
				return nil
			})
		out += "\n"
	}
	for _, id := range sortedIDs(s.table.fates) {
		f := s.table.fates[id]
		out += fmt.Sprintf("  %s %s, begun %d, open %v\n", nameOf(id), fateString(f), f.Begin, f.Open != nil)
	}
	return out
}

func lockString(write bool) string {
	if write {
		return "w"
	}
	return "r"
}

func (s *scenario) rearrange(cmd string, a arguments) (string, error) {
	switch cmd {
	case "reload":
		b := s.table.Append(nil)
		t, err := DecodeTable(b)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(t.Append(nil), b) {
			return "", errors.New("the copy writes other bytes")
		}
		s.table = t
	case "split":
		left, right, err := s.table.Split([]byte(a.words[0]))
		if err != nil {
			return "", err
		}
		s.table, s.other = left, right
	case "use":
		s.table, s.other = s.other, s.table
	case "merge":
		t, err := Merge(s.table, s.other)
		if err != nil {
			return "", err
		}
		s.table, s.other = t, nil
	}
	return s.state(), nil
}

// check verifies that the index holds the locks of the held prepares and nothing
// else, and that nobody locks what another one writes.
func (t *Table) check() error {
	fresh := newLocks()
	for _, id := range sortedIDs(t.held) {
		if err := fresh.add(t.held[id]); err != nil {
			return err
		}
	}
	if len(fresh.points) != len(t.locks.points) || t.locks.order.Len() != len(t.locks.points) {
		return errors.Newf("%d keys in the index, %d in order, %d are locked", len(t.locks.points), t.locks.order.Len(), len(fresh.points))
	}
	for _, h := range t.held {
		if met := t.stops(&h.Prepare); len(met) > 1 || len(met) == 1 && met[0] != h {
			return errors.Newf("%s conflicts with %s", nameOf(h.ID), holders(met))
		}
	}
	return nil
}
