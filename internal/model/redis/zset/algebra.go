package zset

import (
	"cmp"
	"math"
	"slices"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// Aggregate is how scores of a member are united.
type Aggregate uint8

// Aggregates.
const (
	AggregateSum Aggregate = iota
	AggregateMin
	AggregateMax
)

func (g Aggregate) of(a, b float64) float64 {
	switch {
	case g == AggregateMin && b < a, g == AggregateMax && b > a:
		return b
	case g != AggregateSum: // of 0 and -0 the first one stays
		return a
	case math.IsNaN(a + b): // of infinities
		return 0
	}
	return a + b
}

// AlgebraOptions are those of ZUNION and its kin.
type AlgebraOptions struct {
	// Weights multiply the scores of the keys; none for 1 each.
	Weights   []float64
	Aggregate Aggregate
}

// source is a sorted set, or a set whose members have the score 1.
type source struct {
	zset
	set    bool
	weight float64
}

func (s *source) weighted(score float64) float64 {
	if score *= s.weight; math.IsNaN(score) {
		return 0
	}
	return score
}

// score is what the source says of a member.
func (s *source) score(member []byte) (score float64, found bool, err error) {
	if !s.set {
		score, found, err = s.get(member)
	} else {
		score = 1
		_, found, err = s.Field(s.t, member)
	}
	return s.weighted(score), found, err
}

func (s *source) each(visit func(member []byte, score float64) bool) error {
	if !s.set {
		return s.all(func(m *Scored) bool { return visit(m.Member, s.weighted(m.Score)) })
	}
	more := true
	return s.Fields(s.t, func(f *redis.HashField) { more = more && visit(f.Field, s.weighted(1)) })
}

func (s *source) weightedMembers() (out []Scored, err error) {
	err = s.each(func(member []byte, score float64) bool {
		out = append(out, Scored{member, score})
		return true
	})
	return out, err
}

// sources looks all keys up.
func sources(t kv.Txn, db *redis.DB, keys [][]byte, o *AlgebraOptions) ([]source, error) {
	list := make([]source, len(keys))
	for i, key := range keys {
		s := &list[i]
		s.t, s.weight = t, 1
		if o.Weights != nil {
			s.weight = o.Weights[i]
		}
		if err := s.Lookup(t, db, key); err != nil {
			return nil, err
		}
		var err error
		switch {
		case !s.Found:
		case s.Header.Kind == redis.TypeSet:
			s.set = true
			s.n, err = s.FieldCount()
		case s.Header.Kind == redis.TypeZSet:
			err = s.decode()
		default:
			return nil, redis.ErrWrongType
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// inOrder sorts a result.
func inOrder(members []Scored) []Scored {
	slices.SortFunc(members, func(a, b Scored) int { return compareBounds(a.bound(), b.bound()) })
	return members
}

func smallestSources(list []source) {
	slices.SortStableFunc(list, func(a, b source) int { return cmp.Compare(a.n, b.n) })
}

// Union is ZUNION: the members of all keys in the order of their new scores.
func Union(t kv.Txn, db *redis.DB, keys [][]byte, o AlgebraOptions) ([]Scored, error) {
	list, err := sources(t, db, keys, &o)
	if err != nil {
		return nil, err
	}
	smallestSources(list)
	var out []Scored
	known := map[string]int{}
	for i := range list {
		if err := list[i].each(func(member []byte, score float64) bool {
			at, found := known[string(member)]
			if found {
				out[at].Score = o.Aggregate.of(out[at].Score, score)
				return true
			}
			known[string(member)] = len(out)
			out = append(out, Scored{member, score})
			return true
		}); err != nil {
			return nil, err
		}
	}
	return inOrder(out), nil
}

// Inter is ZINTER: the members that all keys have in the order of their new scores.
func Inter(t kv.Txn, db *redis.DB, keys [][]byte, o AlgebraOptions) ([]Scored, error) {
	list, err := sources(t, db, keys, &o)
	if err != nil {
		return nil, err
	}
	smallestSources(list)
	out, err := list[0].weightedMembers()
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(list) && len(out) > 0; i++ {
		if out, err = list[i].unite(out, o.Aggregate); err != nil {
			return nil, err
		}
	}
	return inOrder(out), nil
}

// unite keeps the members that the source has, too.
func (s *source) unite(members []Scored, g Aggregate) ([]Scored, error) {
	kept := members[:0]
	err := s.compare(members, func(m *Scored, score float64, found bool) {
		if found {
			kept = append(kept, Scored{m.Member, g.of(m.Score, score)})
		}
	})
	return kept, err
}

// compare tells what the source says of each of members, in their order. It looks them
// up, or reads the source once.
func (s *source) compare(members []Scored, visit func(m *Scored, score float64, found bool)) error {
	if int64(len(members))*redis.RowsPerLookup <= s.n {
		for i := range members {
			m := members[i]
			score, found, err := s.score(m.Member)
			if err != nil {
				return err
			}
			visit(&m, score, found)
		}
		return nil
	}
	scores := make(map[string]float64, s.n)
	if err := s.each(func(member []byte, score float64) bool {
		scores[string(member)] = score
		return true
	}); err != nil {
		return err
	}
	for i := range members {
		m := members[i]
		score, found := scores[string(m.Member)]
		visit(&m, score, found)
	}
	return nil
}

// InterCard is ZINTERCARD: how many members all keys share, up to limit if that is not
// zero.
func InterCard(t kv.Txn, db *redis.DB, keys [][]byte, limit int64) (int64, error) {
	all, err := Inter(t, db, keys, AlgebraOptions{})
	n := int64(len(all))
	if limit > 0 {
		n = min(n, limit)
	}
	return n, err
}

// Diff is ZDIFF: the members of the first key that no other one has.
func Diff(t kv.Txn, db *redis.DB, keys [][]byte, o AlgebraOptions) ([]Scored, error) {
	list, err := sources(t, db, keys, &o)
	if err != nil {
		return nil, err
	}
	out, err := list[0].weightedMembers()
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(list) && len(out) > 0; i++ {
		kept := out[:0]
		if err := list[i].compare(out, func(m *Scored, _ float64, found bool) {
			if !found {
				kept = append(kept, *m)
			}
		}); err != nil {
			return nil, err
		}
		out = kept
	}
	return inOrder(out), nil
}

// Algebra is Union, Inter or Diff.
type Algebra func(t kv.Txn, db *redis.DB, keys [][]byte, o AlgebraOptions) ([]Scored, error)

// Store is ZUNIONSTORE, ZINTERSTORE and ZDIFFSTORE: the number of members, which become the
// value of key. event is the command's name.
func Store(t kv.Txn, db *redis.DB, key []byte, keys [][]byte, op Algebra, o AlgebraOptions, event string) (int64, error) {
	members, err := op(t, db, keys, o)
	if err != nil {
		return 0, err
	}
	return Replace(t, db, key, members, event)
}
