package check

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/model/redis/zset"
)

// reader reads the newest state through attempts that are never committed, one for each
// range. They collect no conflicts, so that it can read everything.
type reader struct {
	ranges []readRange // in the order of their keys
}

type readRange struct {
	span base.Span
	att  kv.Attempt
}

var _ kv.Reader = reader{}

func newReader(st *store.Store) (r reader) {
	engine := kvrange.New(st)
	for _, x := range st.Replicas() {
		att := engine.NewAttempt()
		att.Begin(kv.AttemptOptions{})
		r.ranges = append(r.ranges, readRange{x.Descriptor().Span, att})
	}
	slices.SortFunc(r.ranges, func(a, b readRange) int { return bytes.Compare(a.span.Start, b.span.Start) })
	return r
}

func (r reader) abort() {
	for _, x := range r.ranges {
		x.att.Abort()
	}
}

func (r reader) Get(key []byte) ([]byte, error) {
	for _, x := range r.ranges {
		if x.span.Contains(key) {
			return x.att.Get(key)
		}
	}
	return nil, errors.Wrapf(base.ErrCorruption, "no range holds the key %s", keyspace.Pretty(key))
}

func (r reader) Scan(span base.Span, o kv.ScanOptions, visit func(key, value []byte) bool) error {
	n, ended := 0, false
	for i := range r.ranges {
		x := &r.ranges[i]
		if o.Reverse {
			x = &r.ranges[len(r.ranges)-1-i]
		}
		part := base.Span{Start: maxKey(span.Start, x.span.Start), End: span.End}
		if bytes.Compare(x.span.End, part.End) < 0 {
			part.End = x.span.End
		}
		if part.Empty() {
			continue
		}
		if err := x.att.Scan(part, o.Reverse, func(key, value []byte) bool {
			n++
			ended = !visit(key, value) || n == o.Limit
			return !ended
		}); err != nil || ended {
			return err
		}
	}
	return nil
}

func maxKey(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return a
}

func (r reader) GetKey(kv.KeySelector, base.Span) ([]byte, error) {
	return nil, errors.AssertionFailedf("a check does not use key selectors")
}

// keys walks over all keys in order; each part of the keyspace is handed to its
// owner as a whole.
func (c *checker) keys(st *store.Store) error {
	r := newReader(st)
	defer r.abort()
	all := keyspace.All()
	for from := all.Start; ; {
		var key []byte
		err := r.Scan(base.Span{Start: from, End: all.End}, kv.ScanOptions{Limit: 1}, func(k, _ []byte) bool {
			key = append([]byte{}, k...)
			return false
		})
		if err != nil || key == nil {
			return err
		}
		part, visit := c.part(r, key)
		if err := visit(part); err != nil {
			return err
		}
		from = part.End
	}
}

// part is the part of the keyspace that key, its first key, belongs to, and what
// checks it.
func (c *checker) part(r reader, key []byte) (base.Span, func(base.Span) error) {
	count := func(sum *int64) func(base.Span) error {
		return func(span base.Span) error {
			return r.Scan(span, kv.ScanOptions{}, func([]byte, []byte) bool {
				c.r.Keys++
				*sum++
				return true
			})
		}
	}
	var other int64
	switch key[0] {
	case keyspace.RangeLocal, keyspace.Meta:
		return base.PrefixSpan(key[:1]), count(&other)
	case keyspace.Sys:
		return c.sysPart(r, key, count(&other))
	}
	ns, rest, ok := keyspace.DecodeOrdered(key[1:])
	if key[0] != keyspace.Data || !ok || len(rest) == 0 {
		return c.unknown(key)
	}
	id := keyspace.NamespaceID(ns)
	switch keyspace.Model(rest[0]) {
	case keyspace.ModelZMap:
		return base.PrefixSpan(keyspace.AppendModel(nil, id, keyspace.ModelZMap)), count(&c.r.ZMapKeys)
	case keyspace.ModelRedis:
		if len(rest) < 2 {
			return c.unknown(key)
		}
		db, err := redis.Open(id, c.databases[id].Number(rest[1]), redis.Options{})
		if err != nil {
			return c.unknown(key)
		}
		db = db.StoredAs(rest[1])
		return db.Span(), func(span base.Span) error {
			if err := count(&other)(span); err != nil {
				return err
			}
			return c.database(r, id, db)
		}
	}
	return c.unknown(key)
}

// unknown reports a key that no part of the keyspace owns, and goes on behind it.
func (c *checker) unknown(key []byte) (base.Span, func(base.Span) error) {
	return base.Span{Start: key, End: base.Next(key)}, func(base.Span) error {
		c.r.Keys++
		c.r.problem("key "+keyspace.Pretty(key), "belongs to no part of the keyspace")
		return nil
	}
}

func (c *checker) sysPart(r reader, key []byte, count func(base.Span) error) (base.Span, func(base.Span) error) {
	if len(key) < 2 || key[1] < keyspace.SysNamespaceByPath || key[1] > keyspace.SysScript {
		return c.unknown(key)
	}
	visit := count
	if key[1] == keyspace.SysUser {
		visit = func(span base.Span) error {
			if err := count(span); err != nil {
				return err
			}
			return r.Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
				if err := auth.CheckRow(key, value); err != nil {
					c.r.problem("key "+keyspace.Pretty(key), "%v", err)
				}
				return true
			})
		}
	}
	if key[1] == keyspace.SysScript {
		visit = func(span base.Span) error {
			if err := count(span); err != nil {
				return err
			}
			return r.Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
				if err := catalog.CheckScriptRow(key, value); err != nil {
					c.r.problem("key "+keyspace.Pretty(key), "%v", err)
				}
				return true
			})
		}
	}
	if key[1] == keyspace.SysRedisDatabase {
		visit = func(span base.Span) error {
			if err := count(span); err != nil {
				return err
			}
			return c.swapped(r, span)
		}
	}
	return base.PrefixSpan(key[:2]), visit
}

// swapped reads where the databases of each namespace are.
func (c *checker) swapped(r reader, span base.Span) error {
	return r.Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
		ns, d, err := catalog.DecodeDatabases(key, value)
		if err != nil {
			c.r.problem("key "+keyspace.Pretty(key), "%v", err)
		} else {
			c.databases[ns] = d
		}
		return true
	})
}

// types are the types of Redis that have packages of their own.
var types = redis.Checks{redis.TypeList: list.Check, redis.TypeZSet: zset.Check, redis.TypeStream: stream.Check}

func (c *checker) database(r reader, ns keyspace.NamespaceID, db *redis.DB) error {
	rep, err := redis.CheckDB(r, db, types)
	c.r.Databases = append(c.r.Databases, Database{Namespace: uint64(ns), Number: db.Number(), Keys: rep.Keys,
		Expiring: rep.Expiring, Elements: rep.Elements})
	for _, p := range rep.Problems {
		c.r.problem("redis database "+keyspace.Pretty(db.Span().Start), "%s", p)
	}
	return err
}
