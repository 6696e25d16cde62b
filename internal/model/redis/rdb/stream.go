package rdb

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/redisnum"
)

func parseScore(b []byte) (float64, bool) { return redisnum.ParseFloat(b) }
func parseInt(b []byte) (int64, bool)     { return redisnum.ParseInt(b) }

const idBytes = 16

func (r *reader) id() stream.ID { return stream.ID{Ms: r.length(), Seq: r.length()} }

func (r *reader) rawID() stream.ID { return stream.ID{Ms: r.big(8), Seq: r.big(8)} }

// stream is one of Redis 5 (typeStream1), 7.0 or 7.2.
func (r *reader) stream(kind byte) (v Value, err error) {
	s := &stream.Snapshot{}
	v = Value{Kind: redis.TypeStream, Stream: s}
	for n := r.count(1); n > 0; n-- {
		name := r.string()
		if len(name) != idBytes {
			return v, errFormat
		}
		base := stream.ID{Ms: binary.BigEndian.Uint64(name), Seq: binary.BigEndian.Uint64(name[8:])}
		if s.Items, err = streamNode(base, r.string(), s.Items); err != nil {
			return v, err
		}
	}
	length := r.length()
	s.Last = r.id()
	if kind == typeStream1 {
		s.Added = int64(length)
	} else {
		s.First, s.MaxDeleted = r.id(), r.id()
		s.Added = int64(r.length())
	}
	if length != uint64(len(s.Items)) {
		return v, errFormat
	}
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		g, err := r.group(kind)
		if err != nil {
			return v, err
		}
		s.Groups = append(s.Groups, g)
	}
	return v, r.err
}

func (r *reader) group(kind byte) (g stream.GroupSnapshot, err error) {
	g.Name = r.string()
	g.Last = r.id()
	g.Read = -1
	if kind != typeStream1 {
		if read := r.length(); read != unknownEntriesRead {
			g.Read = int64(read)
		}
	}
	at := map[stream.ID]int{}
	for n := r.count(idBytes + 9); n > 0; n-- {
		p := stream.Pending{ID: r.rawID()}
		p.Delivered = int64(r.little(8))
		p.Times = int64(r.length())
		at[p.ID] = len(g.Pending)
		g.Pending = append(g.Pending, p)
	}
	for n := r.count(10); n > 0 && r.err == nil; n-- {
		c := stream.ConsumerInfo{Name: r.string(), Seen: int64(r.little(8))}
		if c.Active = c.Seen; kind == typeStream3 {
			c.Active = int64(r.little(8))
		}
		for m := r.count(idBytes); m > 0; m-- {
			i, known := at[r.rawID()]
			if !known || g.Pending[i].Consumer != nil {
				return g, errFormat
			}
			g.Pending[i].Consumer = c.Name
		}
		g.Consumers = append(g.Consumers, c)
	}
	for i := range g.Pending {
		if g.Pending[i].Consumer == nil {
			return g, errFormat
		}
	}
	return g, nil
}

// elements walks a listpack.
type elements struct {
	all []packed
	bad bool
}

func (e *elements) next() (p packed) {
	if len(e.all) == 0 {
		e.bad = true
		return p
	}
	p, e.all = e.all[0], e.all[1:]
	return p
}

func (e *elements) number() int64 {
	p := e.next()
	if p.number {
		return p.n
	}
	n, ok := parseInt(p.text)
	e.bad = e.bad || !ok
	return n
}

// fields takes n of them, if there are as many.
func (e *elements) fields(n int64) (all [][]byte) {
	if n < 0 || n > int64(len(e.all)) {
		e.bad = true
		return nil
	}
	for range n {
		p := e.next()
		all = append(all, p.string())
	}
	return all
}

// streamNode appends the entries of a node: its listpack begins with how many there are and
// were, and with the fields of the first one, which others share.
func streamNode(base stream.ID, b []byte, items []stream.Item) ([]stream.Item, error) {
	all, err := listpack(b)
	if err != nil {
		return nil, err
	}
	e := elements{all: all}
	live, deleted := e.number(), e.number()
	common := e.fields(e.number())
	e.number()
	for n := live + deleted; n > 0 && !e.bad; n-- {
		flags := e.number()
		id := stream.ID{Ms: base.Ms + uint64(e.number()), Seq: base.Seq + uint64(e.number())}
		var pairs [][]byte
		if flags&streamFlagSame != 0 {
			for i, value := range e.fields(int64(len(common))) {
				pairs = append(pairs, common[i], value)
			}
		} else if n := e.number(); n < math.MaxInt64/2 {
			pairs = e.fields(2 * n)
		}
		e.number() // how many elements that were
		if flags&streamFlagDeleted == 0 {
			items = append(items, stream.Item{ID: id, Fields: pairs})
			live--
		}
	}
	if e.bad || live != 0 || len(e.all) > 0 {
		return nil, errFormat
	}
	return items, nil
}

func (w *writer) id(id stream.ID) {
	w.length(id.Ms)
	w.length(id.Seq)
}

func (w *writer) rawID(id stream.ID) {
	w.b = binary.BigEndian.AppendUint64(w.b, id.Ms)
	w.b = binary.BigEndian.AppendUint64(w.b, id.Seq)
}

func (w *writer) stream(s *stream.Snapshot) {
	var nodes [][]stream.Item
	size := 0
	for i := range s.Items {
		own := 0
		for _, f := range s.Items[i].Fields {
			own += len(f)
		}
		if size += own; i == 0 || len(nodes[len(nodes)-1]) == streamNodeEntries || size > streamNodeBytes {
			nodes, size = append(nodes, nil), own
		}
		last := len(nodes) - 1
		nodes[last] = append(nodes[last], s.Items[i])
	}
	w.length(uint64(len(nodes)))
	for _, items := range nodes {
		w.length(idBytes)
		w.rawID(items[0].ID)
		w.string(packNode(items))
	}
	w.length(uint64(len(s.Items)))
	w.id(s.Last)
	w.id(s.First)
	w.id(s.MaxDeleted)
	w.length(uint64(s.Added))
	w.length(uint64(len(s.Groups)))
	for i := range s.Groups {
		w.group(&s.Groups[i])
	}
}

func (w *writer) group(g *stream.GroupSnapshot) {
	w.string(g.Name)
	w.id(g.Last)
	w.length(uint64(g.Read)) // -1 is unknownEntriesRead
	w.length(uint64(len(g.Pending)))
	for i := range g.Pending {
		w.rawID(g.Pending[i].ID)
		w.b = binary.LittleEndian.AppendUint64(w.b, uint64(g.Pending[i].Delivered))
		w.length(uint64(g.Pending[i].Times))
	}
	w.length(uint64(len(g.Consumers)))
	for i := range g.Consumers {
		c := &g.Consumers[i]
		w.string(c.Name)
		w.b = binary.LittleEndian.AppendUint64(w.b, uint64(c.Seen))
		w.length(uint64(len(c.Entries)))
		for j := range c.Entries {
			w.rawID(c.Entries[j].ID)
		}
	}
}

// packNode makes a node's listpack.
func packNode(items []stream.Item) []byte {
	first := items[0].Fields
	p := newPacker()
	p.number(int64(len(items)))
	p.number(0)
	p.number(int64(len(first) / 2))
	for i := 0; i < len(first); i += 2 {
		p.text(first[i])
	}
	p.number(0)
	for i := range items {
		x := &items[i]
		same := len(x.Fields) == len(first)
		for j := 0; j < len(first) && same; j += 2 {
			same = bytes.Equal(x.Fields[j], first[j])
		}
		flags := int64(0)
		if same {
			flags = streamFlagSame
		}
		p.number(flags)
		p.number(int64(x.ID.Ms - items[0].ID.Ms))
		p.number(int64(x.ID.Seq - items[0].ID.Seq))
		n := int64(len(x.Fields) / 2)
		if !same {
			p.number(n)
		}
		for j, f := range x.Fields {
			if !same || j%2 == 1 {
				p.text(f)
			}
		}
		if !same {
			n = 2*n + 1
		}
		p.number(n + streamEntryFixed)
	}
	return p.bytes()
}
