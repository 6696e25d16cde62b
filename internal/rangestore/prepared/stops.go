package prepared

import (
	"bytes"
	"slices"

	"github.com/stratadb/strata/internal/base"
)

// StopsWrite lists the holders that a single-range transaction with these
// mutations has to wait for, blind or not: those of any lock. Oldest first.
func (t *Table) StopsWrite(muts []base.Mutation) []*Held {
	if t.Empty() {
		return nil
	}
	var met []*Held
	for i := range muts {
		key, span := lockOf(&muts[i])
		t.visit(key, span, func(o *owners) { met = appendAll(met, o) })
	}
	return distinct(met)
}

// StopsRead lists the holders that a latest read of these keys and spans has to
// wait for or to settle, and so has the read set of a single-range commit, also of
// one that read at a stamp: those of write locks. Oldest first.
func (t *Table) StopsRead(keys [][]byte, spans []base.Span) []*Held {
	if t.Empty() {
		return nil
	}
	return distinct(t.writers(nil, keys, spans))
}

// StopsSnapshot tells what stops a read of these keys and spans at stamp s: the
// holders whose fate has to be asked for at their anchors, oldest first, and the
// position whose stamp has to be known before. closed is the last position that
// is not in the open batch: that batch's stamp is going to be above s.
func (t *Table) StopsSnapshot(s base.Stamp, closed base.Position, keys [][]byte, spans []base.Span) (ask []*Held, wait base.Position) {
	if t.Empty() {
		return nil, 0
	}
	for _, h := range distinct(t.writers(nil, keys, spans)) {
		switch {
		case h.Stamp == 0 && h.Pos <= closed:
			wait = max(wait, h.Pos)
		case h.Stamp != 0 && h.Stamp <= s:
			ask = append(ask, h)
		}
	}
	return ask, wait
}

// Conflicts lists the holders of the locks that p meets, oldest first.
func (t *Table) Conflicts(p *Prepare) []*Held { return t.stops(p) }

// stops lists the holders of the locks with which p conflicts.
func (t *Table) stops(p *Prepare) []*Held {
	if t.Empty() {
		return nil
	}
	met := t.writers(nil, p.ReadKeys, p.ReadSpans)
	for i := range p.Mutations {
		key, span := lockOf(&p.Mutations[i])
		t.visit(key, span, func(o *owners) { met = appendAll(met, o) })
	}
	return distinct(met)
}

func (t *Table) writers(met []*Held, keys [][]byte, spans []base.Span) []*Held {
	add := func(o *owners) {
		if o.write != nil {
			met = append(met, o.write)
		}
	}
	for _, k := range keys {
		t.locks.atKey(k, add)
	}
	for _, s := range spans {
		t.locks.inSpan(s, add)
	}
	return met
}

func (t *Table) visit(key []byte, span base.Span, visit func(*owners)) {
	if key != nil {
		t.locks.atKey(key, visit)
	} else {
		t.locks.inSpan(span, visit)
	}
}

func appendAll(met []*Held, o *owners) []*Held {
	if o.write != nil {
		met = append(met, o.write)
	}
	return append(met, o.reads...)
}

// distinct sorts by age and drops what is there twice.
func distinct(met []*Held) []*Held {
	if len(met) < 2 {
		return met
	}
	slices.SortFunc(met, func(a, b *Held) int { return compareAge(&a.Txn, &b.Txn) })
	return slices.Compact(met)
}

// StopsKey is the holder that a latest read of key has to wait for, nil for none.
func (t *Table) StopsKey(key []byte) (holder *Held) {
	if t.Empty() {
		return nil
	}
	t.locks.atKey(key, func(o *owners) {
		if o.write != nil {
			holder = o.write
		}
	})
	return holder
}

// Unlocked is the beginning of span, in reverse the end, that holds none of the write
// locks which stop reports. What is behind it begins with such a lock, of holder; nil
// means that span is all free.
func (t *Table) Unlocked(span base.Span, reverse bool, stop func(*Held) bool) (free base.Span, holder *Held) {
	if t.Empty() {
		return span, nil
	}
	first := func(o *owners, at base.Span) {
		switch {
		case o.write == nil || !stop(o.write):
		case reverse && (holder == nil || bytes.Compare(at.End, free.Start) > 0):
			free, holder = base.Span{Start: at.End, End: span.End}, o.write
		case !reverse && (holder == nil || bytes.Compare(at.Start, free.End) < 0):
			free, holder = base.Span{Start: span.Start, End: at.Start}, o.write
		}
	}
	t.locks.order.AscendRange(&pointLock{key: span.Start}, &pointLock{key: span.End}, func(p *pointLock) bool {
		first(&p.owners, base.KeySpan(p.key))
		return reverse || holder == nil
	})
	t.locks.overlapping(span, func(f *fragment) { first(&f.owners, f.span) })
	if holder == nil {
		return span, nil
	}
	if free.Empty() {
		free = base.Span{}
	}
	return free, holder
}
