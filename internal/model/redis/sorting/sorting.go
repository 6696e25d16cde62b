package sorting

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/internal/redisnum"
)

// ErrNoNumber is that of an element, or what it is sorted by, that is no number.
var ErrNoNumber = redis.NewError("ERR One or more scores can't be converted into double")

// Options are those of SORT.
type Options struct {
	// By is the pattern of the keys whose values decide, nil for the elements themselves.
	// One without * leaves the elements as they are.
	By []byte
	// Get are the patterns of what is returned, none for the elements.
	Get   [][]byte
	Alpha bool
	Desc  bool
	// Offset elements are skipped and Count returned; all for a negative Count.
	Offset, Count int64
}

// row is an element with what it is sorted by.
type row struct {
	element []byte
	score   float64
	text    []byte
}

// Sort is SORT and SORT_RO: nil stands for what is absent.
func Sort(t kv.Txn, db *redis.DB, key []byte, o Options) ([][]byte, error) {
	elements, err := o.elements(t, db, key, false)
	if err != nil {
		return nil, err
	}
	return o.answers(t, db, elements)
}

// Store is SORT with STORE: the number of results, which become a list.
func Store(t kv.Txn, db *redis.DB, dst, key []byte, o Options) (int64, error) {
	elements, err := o.elements(t, db, key, true)
	if err != nil {
		return 0, err
	}
	values, err := o.answers(t, db, elements)
	if err != nil {
		return 0, err
	}
	for i := range values {
		if values[i] == nil {
			values[i] = []byte{}
		}
	}
	return list.Replace(t, db, dst, values, "sortstore")
}

// answers is what GET says of each of elements.
func (o *Options) answers(t kv.Txn, db *redis.DB, elements [][]byte) ([][]byte, error) {
	if len(o.Get) == 0 {
		return elements, nil
	}
	out := make([][]byte, 0, len(elements)*len(o.Get))
	for _, element := range elements {
		for _, pattern := range o.Get {
			v, err := lookup(t, db, pattern, element)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// lookup is the value of the key, or of the field of the hash behind ->, that a pattern
// names with an element in place of its *; nil if there is none.
func lookup(t kv.Txn, db *redis.DB, pattern, element []byte) (v []byte, err error) {
	if string(pattern) == "#" {
		return element, nil
	}
	before, behind, found := bytes.Cut(pattern, []byte("*"))
	if !found {
		return nil, nil
	}
	behind, field, _ := bytes.Cut(behind, []byte("->"))
	if len(field) == 0 { // then an arrow is a part of the name
		behind = pattern[len(before)+1:]
	}
	key := t.Alloc(len(before) + len(element) + len(behind))
	copy(key[copy(key, before)+copy(key[len(before):], element):], behind)
	if len(field) > 0 {
		v, err = redis.HGet(t, db, key, field)
	} else {
		v, err = redis.Get(t, db, key)
	}
	if errors.Is(err, redis.ErrWrongType) || errors.Is(err, redis.ErrKeyTooLong) {
		return nil, nil
	}
	return v, err
}

// limits is the part [start, end) of n elements that LIMIT asks for.
func (o *Options) limits(n int64) (start, end int64) {
	start = min(max(o.Offset, 0), n)
	if o.Count < 0 {
		return start, n
	}
	return start, min(start+min(o.Count, n), n)
}

// elements are those that are asked for, in their order.
func (o *Options) elements(t kv.Txn, db *redis.DB, key []byte, store bool) ([][]byte, error) {
	kind, err := redis.TypeOf(t, db, key)
	if err != nil {
		return nil, err
	}
	as := o.By != nil && bytes.IndexByte(o.By, '*') < 0 // they are
	var all [][]byte
	switch kind {
	case redis.TypeNone:
		return nil, nil
	case redis.TypeList:
		if as {
			return o.ofList(t, db, key)
		}
		all, err = list.Range(t, db, key, 0, -1, nil)
	case redis.TypeZSet:
		if as {
			return o.ofSortedSet(t, db, key)
		}
		err = zset.Visit(t, db, key, []zset.ScoreRange{{Min: math.Inf(-1), Max: math.Inf(1)}}, func(m *zset.Scored) bool {
			all = append(all, m.Member)
			return true
		})
	case redis.TypeSet:
		all, err = redis.SMembers(t, db, key, nil)
		if as && store { // what is stored is to be the same each time
			as = false
			o.Alpha, o.By = true, nil
		}
	default:
		return nil, redis.ErrWrongType
	}
	if err == nil && !as {
		all, err = o.sort(t, db, all)
	}
	start, end := o.limits(int64(len(all)))
	return all[start:end], err
}

// ofList is the part of a list that is asked for.
func (o *Options) ofList(t kv.Txn, db *redis.DB, key []byte) ([][]byte, error) {
	n, err := list.Len(t, db, key)
	if err != nil {
		return nil, err
	}
	start, end := o.limits(n)
	if start == end {
		return nil, nil
	}
	if !o.Desc {
		return list.Range(t, db, key, start, end-1, nil)
	}
	all, err := list.Range(t, db, key, n-end, n-start-1, nil)
	slices.Reverse(all)
	return all, err
}

// ofSortedSet is the part of a sorted set that is asked for.
func (o *Options) ofSortedSet(t kv.Txn, db *redis.DB, key []byte) ([][]byte, error) {
	n, err := zset.Card(t, db, key)
	if err != nil {
		return nil, err
	}
	start, end := o.limits(n)
	if start == end {
		return nil, nil
	}
	members, err := zset.Range(t, db, key, zset.RangeOptions{Start: start, Stop: end - 1, Reverse: o.Desc}, nil)
	all := make([][]byte, len(members))
	for i := range members {
		all[i] = members[i].Member
	}
	return all, err
}

// sort sorts elements. Texts are compared byte by byte.
func (o *Options) sort(t kv.Txn, db *redis.DB, elements [][]byte) ([][]byte, error) {
	rows := make([]row, len(elements))
	numbers := true
	for i, element := range elements {
		by := element
		if o.By != nil {
			var err error
			if by, err = lookup(t, db, o.By, element); err != nil {
				return nil, err
			}
		}
		rows[i] = row{element: element, text: by}
		if !o.Alpha && by != nil {
			var ok bool
			rows[i].score, ok = number(by)
			numbers = numbers && ok
		}
	}
	if !numbers {
		return nil, ErrNoNumber
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		c := o.compare(&a, &b)
		if o.Desc {
			return -c
		}
		return c
	})
	for i := range rows {
		elements[i] = rows[i].element
	}
	return elements, nil
}

func (o *Options) compare(a, b *row) int {
	switch {
	case !o.Alpha:
		if c := cmp.Compare(a.score, b.score); c != 0 {
			return c
		}
		return bytes.Compare(a.element, b.element)
	case a.text == nil || b.text == nil: // what has nothing comes first
		return have(a) - have(b)
	}
	return bytes.Compare(a.text, b.text)
}

// have is 1 for a row that has something to be sorted by.
func have(r *row) int {
	if r.text == nil {
		return 0
	}
	return 1
}

// number reads a number as C's strtod does.
func number(b []byte) (float64, bool) {
	if b = bytes.TrimLeft(b, " \t\n\v\f\r"); len(b) == 0 {
		return 0, true
	}
	f, ok := redisnum.ParseFloat(b)
	return f, ok && !math.IsNaN(f)
}
