package sequencer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// TestScenarios runs the files in testdata: a sequencer over its window. The
// range owns the keys from b up to y. The commands:
//
//	txn              one mutation a line: set k v, fill k c n (n bytes), clear k, clear-range k k, touch k k,
//	                 add k n, append k v, stamped-key k, stamped-value k
//	stored k=v       what the disk answers to atomic operations
//	close / stamp n / commit / drop
//	latest k / at n k / scan n k k      n = 0 is the newest state
//	validate pos=n|stamp=n k...         a read set
//	wait-for n                          what a snapshot at n has to wait for
//	seal / evict / state
//	split k / bounds k k                cut the range; what the log says of its bounds
//	change freeze|thaw|merge|refuse     a step of a merge
//	frozen true|false / skip n          what its being applied does
//	reads k...                          does the range hold what was read?
//	lands k n                           a versionstamped key, where the range was split at k with the stamp n
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &scenario{win: window.New(0, 0), stored: map[string]string{}}
		s.seq = New(s.win, base.Span{Start: []byte("b"), End: []byte("y")}, 0)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.run(d)
			if err == nil {
				err = s.win.Check()
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
	win    *window.Window
	seq    *Sequencer
	stored map[string]string
	closed []Closed
	last   base.Stamp
	index  base.LogIndex
}

func (s *scenario) run(d *datadriven.TestData) (string, error) {
	arg := func(i int) string { return d.CmdArgs[i].Key }
	switch d.Cmd {
	case "txn":
		return s.txn(d.Input)
	case "stored":
		s.stored[arg(0)] = d.CmdArgs[0].Vals[0]
		return "", nil
	case "close":
		c, ok, err := s.seq.Close()
		if !ok {
			return "nothing is open", err
		}
		s.closed = append(s.closed, c)
		return fmt.Sprintf("batch %d: positions %d to %d", c.Num, c.Prev+1, c.Last), nil
	case "stamp":
		return s.stamp(base.Stamp(number(arg(0))))
	case "commit":
		c := s.closed[0]
		s.closed = s.closed[1:]
		s.index++
		s.win.SetIndex(c.Num, s.index)
		s.win.Commit(c.Num)
		s.seq.Committed(&c)
		return "", nil
	case "drop":
		s.seq.DropTail(base.Position(number(arg(0))))
		s.closed = nil
		return "", nil
	case "split":
		pos, err := s.seq.Change(batch.Split{Key: []byte(arg(0)), Right: 2, Epoch: 1})
		return fmt.Sprintf("position %d", pos), err
	case "change":
		change := map[string]batch.Change{"freeze": batch.Freeze{For: base.Freeze{Left: 1, Epoch: 1}, Epoch: 1}, "thaw": batch.Thaw{Epoch: 2},
			"merge": batch.Merge{Epoch: 1}, "refuse": batch.Refuse{Epoch: 1}}[arg(0)]
		pos, err := s.seq.Change(change)
		return fmt.Sprintf("position %d", pos), err
	case "frozen":
		s.seq.SetFrozen(arg(0) == "true")
		return "", nil
	case "skip":
		s.seq.Skip(base.Position(number(arg(0))))
		return "", nil
	case "bounds":
		s.seq.SetBounds(base.Span{Start: []byte(arg(0)), End: []byte(arg(1))})
		return "", nil
	case "reads":
		var keys [][]byte
		for _, a := range d.CmdArgs {
			keys = append(keys, []byte(a.Key))
		}
		return fmt.Sprint(s.seq.HoldsReads(keys, nil)), nil
	case "lands": // a versionstamped key behind the one split off at prefix and stamp
		own := base.MakeVersionstamp(base.Stamp(number(arg(1))), 0)
		s.seq.SetBounds(base.Span{Start: append([]byte(arg(0)), own[:]...), End: []byte("y")})
		m := stampedKey(arg(0))
		left := &bounds{}
		left.SetBounds(base.Span{Start: []byte("b"), End: s.seq.own.Start})
		return fmt.Sprintf("left: %v, right: %v", left.Owns(m, s.last), s.seq.Owns(m, s.last)), nil
	case "seal":
		return fmt.Sprint(s.win.Seal()), nil
	case "evict":
		return s.evict(), nil
	case "state":
		return fmt.Sprintf("position %d, speculative %v, %d versions, %d carried, base %d",
			s.seq.Position(), s.seq.Speculative() > 0, s.win.Entries(), s.win.Carried(), s.win.BaseStamp()), nil
	}
	return s.read(d, arg)
}

func (s *scenario) read(d *datadriven.TestData, arg func(int) string) (string, error) {
	switch d.Cmd {
	case "latest":
		return version(s.win.Latest([]byte(arg(0)))), nil
	case "at":
		return version(s.win.At([]byte(arg(1)), base.Stamp(number(arg(0))))), nil
	case "wait-for":
		open, _ := s.seq.Open()
		return fmt.Sprint(s.win.WaitFor(base.Stamp(number(arg(0))), open)), nil
	case "scan":
		var p window.Page
		s.win.Scan(&p, base.Span{Start: []byte(arg(1)), End: []byte(arg(2))}, base.Stamp(number(arg(0))), false, 100)
		var out []string
		for _, it := range p.Items {
			out = append(out, fmt.Sprintf("%q: %s", it.Key, version(it.Version)))
		}
		for _, g := range p.Gone {
			out = append(out, fmt.Sprintf("gone: [%q, %q)", g.Start, g.End))
		}
		if p.Unstamped {
			out = append(out, fmt.Sprintf("wait for %d", p.Pos))
		}
		return strings.Join(out, "\n"), nil
	case "validate":
		p := window.ReadPoint{}
		var keys [][]byte
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "pos":
				p.Pos = base.Position(number(a.Vals[0]))
			case "stamp":
				p.Stamp = base.Stamp(number(a.Vals[0]))
			default:
				keys = append(keys, []byte(a.Key))
			}
		}
		if err := s.win.Validate(p, keys, nil); err != nil {
			return "", err
		}
		return "holds", nil
	}
	return "", errors.Newf("no such command: %s", d.Cmd)
}

func stampedKey(prefix string) []base.Mutation {
	key := append([]byte(prefix), make([]byte, base.VersionstampLen)...)
	return []base.Mutation{{Op: base.OpSetVersionstampedKey, Key: binary.LittleEndian.AppendUint32(key, uint32(len(prefix)))}}
}

func number(s string) (n uint64) { _, _ = fmt.Sscan(s, &n); return n }

func (s *scenario) txn(input string) (string, error) {
	var muts []base.Mutation
	for _, line := range strings.Split(input, "\n") {
		f := append(strings.Fields(line), "", "", "")
		m := base.Mutation{Key: []byte(f[1]), Value: []byte(f[2])}
		switch f[0] {
		case "set":
			m.Op = base.OpSet
		case "fill":
			m.Op, m.Value = base.OpSet, bytes.Repeat([]byte(f[2]), int(number(f[3])))
		case "clear":
			m.Op, m.Value = base.OpClear, nil
		case "clear-range":
			m.Op = base.OpClearRange
		case "touch":
			m.Op = base.OpTouch
		case "add":
			m.Op, m.Value = base.OpAdd, []byte{byte(number(f[2]))}
		case "append":
			m.Op = base.OpAppendIfFits
		case "compare-clear":
			m.Op = base.OpCompareAndClear
		case "stamped-key":
			m = stampedKey(f[1])[0]
		case "stamped-value":
			m.Op = base.OpSetVersionstampedValue
			m.Value = make([]byte, base.VersionstampLen+4)
		default:
			return "", errors.Newf("no such mutation: %s", line)
		}
		muts = append(muts, m)
	}
	if !s.seq.Owns(muts, s.last) {
		return "not this range's", nil
	}
	if s.seq.Full() {
		return "waits", nil
	}
	stored := func(key []byte) ([]byte, bool) { v, ok := s.stored[string(key)]; return []byte(v), ok }
	if keys, wait := s.seq.Missing(muts, stored); wait != 0 || len(keys) > 0 {
		return fmt.Sprintf("needs %q, waits for %d", keys, wait), nil
	}
	pos, err := s.seq.Append(muts, stored)
	return fmt.Sprintf("position %d", pos), err
}

// short is a value, or the length and beginning of a long one.
func short(v []byte) string {
	if len(v) > 100 {
		return fmt.Sprintf("%d bytes %q", len(v), v[:1])
	}
	return fmt.Sprintf("%q", v)
}

func (s *scenario) stamp(stamp base.Stamp) (string, error) {
	for i := range s.closed {
		c := &s.closed[i]
		if s.win.Stamp(c.Num) != 0 {
			continue
		}
		s.seq.Stamp(c, 1, stamp, s.last)
		s.last = stamp
		h, err := batch.DecodeHeader(c.Buf)
		if err != nil {
			return "", err
		}
		out := fmt.Sprintf("previous %d, stamp %d after %d\n", h.Previous, h.Stamp, h.PrevStamp)
		err = batch.Records(c.Buf, func(r batch.Record) {
			out += fmt.Sprintf("  %d: op %d %q %s\n", r.Place, r.Op, r.Key.In(c.Buf), short(r.Value.In(c.Buf)))
		})
		if h.Kind != batch.KindTransactions {
			x, err := batch.DecodeChange(c.Buf)
			if s, ok := x.(batch.Split); ok {
				return out + fmt.Sprintf("  split at %q: range %d, epoch %d\n", s.Key, s.Right, s.Epoch), err
			}
			return out + fmt.Sprintf("  %T\n", x), err
		}
		return out, err
	}
	return "nothing is closed", nil
}

func (s *scenario) evict() string {
	ev, ok := s.win.BeginEvict()
	if !ok {
		return "nothing is sealed"
	}
	s.win.Plan(ev, s.win.Entries())
	out := fmt.Sprintf("applied %d, readable from %d, position %d, stamp %d\n", ev.Applied, ev.Readable, ev.Position, ev.Stamp)
	for _, c := range ev.Clears {
		out += fmt.Sprintf("  clear [%s, %s)\n", c.Start, c.End)
	}
	for _, p := range ev.Pairs {
		if p.Value == nil {
			out += fmt.Sprintf("  delete %s\n", p.Key)
		} else {
			out += fmt.Sprintf("  set %s %s\n", p.Key, short(p.Value))
		}
	}
	s.win.FinishEvict(ev, s.win.Entries())
	return out
}

func version(v window.Version) string {
	switch v.State {
	case window.Present:
		return fmt.Sprintf("%s at position %d", short(v.Value), v.Pos)
	case window.Absent:
		return fmt.Sprintf("absent at position %d", v.Pos)
	case window.Unstamped:
		return fmt.Sprintf("wait for %d", v.Pos)
	}
	return "the disk decides"
}
