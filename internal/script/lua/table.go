package lua

import "math"

// Table maps values to values: those under 1, 2, … in an array, the others in the order in
// which they came.
type Table struct {
	array   []Value
	entries []entry
	used    int              // entries that have a value
	strings map[string]int32 // index of entries, when there are many
	others  map[Value]int32
	meta    *Table
	// Readonly makes every change an error.
	Readonly bool
	mark     uint32
}

type entry struct{ key, value Value }

// entriesLinear is how many entries are searched one by one.
const entriesLinear = 8

// What memory is counted.
const (
	tableBytes   = 128
	valueBytes   = 16
	entryBytes   = 32
	indexedBytes = entryBytes + 40
)

// NewTable makes a table with room for so many elements and fields.
func NewTable(elements, fields int) *Table {
	t := &Table{}
	if elements > 0 {
		t.array = make([]Value, 0, elements)
	}
	if fields > 0 {
		t.entries = make([]entry, 0, fields)
	}
	return t
}

// find is the index of a key's entry, -1 if there is none. key is no NaN.
func (t *Table) find(key Value) int {
	if key.is(KindString) {
		return t.findString(key)
	}
	if t.others != nil {
		if i, ok := t.others[normal(key)]; ok {
			return int(i)
		}
		return -1
	}
	if t.strings != nil {
		return -1
	}
	for i := range t.entries {
		if RawEqual(t.entries[i].key, key) {
			return i
		}
	}
	return -1
}

// normal makes keys that are equal the same: 0 and -0.
func normal(key Value) Value {
	if key.isNumber() && key.num() == 0 {
		return Number(0)
	}
	return key
}

func (t *Table) findString(key Value) int {
	if t.strings != nil {
		if i, ok := t.strings[key.str()]; ok {
			return int(i)
		}
		return -1
	}
	for i := range t.entries {
		e := &t.entries[i].key
		if e.n == key.n && (e.p == key.p || e.is(KindString) && e.str() == key.str()) {
			return i
		}
	}
	return -1
}

// index is the place in the array that a key stands for; ok is false if none can.
func index(key Value) (i int, ok bool) {
	f := key.num()
	i = int(f)
	return i - 1, float64(i) == f && i > 0
}

// Get is the value under key, without metamethods.
func (t *Table) Get(key Value) Value {
	if key.isNumber() {
		if i, ok := index(key); ok && i < len(t.array) {
			return t.array[i]
		}
	}
	if len(t.entries) == 0 {
		return Nil
	}
	if i := t.find(key); i >= 0 {
		return t.entries[i].value
	}
	return Nil
}

// GetString is the value under a string.
func (t *Table) GetString(key string) Value { return t.getString(String(key)) }

func (t *Table) getString(key Value) Value {
	if i := t.findString(key); i >= 0 {
		return t.entries[i].value
	}
	return Nil
}

// GetInt is the value under a number.
func (t *Table) GetInt(i int) Value {
	if i > 0 && i <= len(t.array) {
		return t.array[i-1]
	}
	if len(t.entries) == 0 {
		return Nil
	}
	return t.Get(Int(i))
}

// Set puts a value under key, which is neither nil nor NaN, without metamethods and without
// counting memory. It answers how many bytes more the table takes.
func (t *Table) Set(key, value Value) (grown int) {
	if key.isNumber() {
		if i, ok := index(key); ok {
			if i < len(t.array) {
				t.array[i] = value
				return 0
			}
			if i == len(t.array) && !value.IsNil() {
				return t.push(value)
			}
		}
	}
	if i := t.find(key); i >= 0 {
		was := &t.entries[i].value
		switch {
		case was.IsNil() && !value.IsNil():
			t.used++
		case !was.IsNil() && value.IsNil():
			t.used--
		}
		*was = value
		return 0
	}
	if value.IsNil() {
		return 0
	}
	return t.insert(key, value)
}

// SetString puts a value under a string.
func (t *Table) SetString(key string, value Value) { t.Set(String(key), value) }

// Append puts a value behind the array's.
func (t *Table) Append(value Value) { t.push(value) }

// push appends to the array, and takes over what followed it elsewhere.
func (t *Table) push(value Value) (grown int) {
	before := cap(t.array)
	if t.used > 0 {
		if i := t.find(Int(len(t.array) + 1)); i >= 0 && !t.entries[i].value.IsNil() {
			t.entries[i].value = Nil
			t.used--
		}
	}
	t.array = append(t.array, value)
	for t.used > 0 {
		i := t.find(Int(len(t.array) + 1))
		if i < 0 || t.entries[i].value.IsNil() {
			break
		}
		t.array = append(t.array, t.entries[i].value)
		t.entries[i].value = Nil
		t.used--
	}
	return (cap(t.array) - before) * valueBytes
}

// insert adds an entry. When there is no room, those that have no value any more go first.
func (t *Table) insert(key, value Value) (grown int) {
	before := t.entryBytes()
	if len(t.entries) == cap(t.entries) && t.used < len(t.entries) {
		t.compact()
	}
	t.entries = append(t.entries, entry{key, value})
	t.used++
	switch at := len(t.entries) - 1; {
	case t.strings != nil:
		t.note(at)
	case at >= entriesLinear:
		t.reindex()
	}
	return max(0, t.entryBytes()-before)
}

func (t *Table) entryBytes() int {
	if t.strings != nil {
		return cap(t.entries) * indexedBytes
	}
	return cap(t.entries) * entryBytes
}

func (t *Table) note(at int) {
	if key := t.entries[at].key; key.is(KindString) {
		t.strings[key.str()] = int32(at)
	} else {
		if t.others == nil {
			t.others = map[Value]int32{}
		}
		t.others[normal(key)] = int32(at)
	}
}

func (t *Table) reindex() {
	t.strings, t.others = make(map[string]int32, cap(t.entries)), nil
	for i := range t.entries {
		t.note(i)
	}
}

// compact drops the entries without a value. Nobody iterates: an insertion may change the
// order.
func (t *Table) compact() {
	kept := make([]entry, 0, cap(t.entries))
	for _, e := range t.entries {
		if !e.value.IsNil() {
			kept = append(kept, e)
		}
	}
	t.entries = kept
	if t.strings != nil {
		t.reindex()
	}
}

// Len is the length: n with a value under n and none under n+1.
func (t *Table) Len() int {
	n := len(t.array)
	if n > 0 && t.array[n-1].IsNil() {
		low, high := 0, n // low has a value or is zero, high has none
		for high-low > 1 {
			if m := (low + high) / 2; t.array[m-1].IsNil() {
				high = m
			} else {
				low = m
			}
		}
		return low
	}
	if t.used == 0 {
		return n
	}
	low, high := n, n+1
	for !t.GetInt(high).IsNil() {
		low = high
		if high > math.MaxInt32/2 {
			return low
		}
		high *= 2
	}
	for high-low > 1 {
		if m := (low + high) / 2; t.GetInt(m).IsNil() {
			high = m
		} else {
			low = m
		}
	}
	return low
}

// Next is the pair behind key in the table's order, the first one for nil. ok is false for
// a key that is not there; the key is nil behind the last one.
func (t *Table) Next(key Value) (next, value Value, ok bool) {
	at := 0
	if !key.IsNil() {
		found := false
		if key.isNumber() {
			if i, is := index(key); is && i < len(t.array) {
				at, found = i+1, true
			}
		}
		if !found {
			i := -1
			if !key.isNumber() || key.num() == key.num() {
				i = t.find(key)
			}
			if i < 0 {
				return Nil, Nil, false
			}
			at = len(t.array) + i + 1
		}
	}
	for ; at < len(t.array); at++ {
		if !t.array[at].IsNil() {
			return Int(at + 1), t.array[at], true
		}
	}
	for at -= len(t.array); at < len(t.entries); at++ {
		if e := &t.entries[at]; !e.value.IsNil() {
			return e.key, e.value, true
		}
	}
	return Nil, Nil, true
}

// Each visits all pairs.
func (t *Table) Each(visit func(key, value Value) bool) {
	for i, v := range t.array {
		if !v.IsNil() && !visit(Int(i+1), v) {
			return
		}
	}
	for i := range t.entries {
		if e := t.entries[i]; !e.value.IsNil() && !visit(e.key, e.value) {
			return
		}
	}
}

// renewMax is how long the array of a table may be that is used again.
const renewMax = 256

// Renew makes the table an empty one, as if it were new.
func (t *Table) Renew() {
	array := t.array
	*t = Table{}
	if cap(array) <= renewMax {
		clear(array)
		t.array = array[:0]
	}
}

// SetMeta gives the table a metatable; nil for none.
func (t *Table) SetMeta(meta *Table) { t.meta = meta }

// Protect makes the table and all that it leads to read-only, metatables included.
func (t *Table) Protect() {
	if t == nil || t.Readonly {
		return
	}
	t.Readonly = true
	t.meta.Protect()
	t.Each(func(_, v Value) bool {
		v.AsTable().Protect()
		return true
	})
}
