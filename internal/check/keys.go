package check

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/model/redis"
)

// reader reads the newest state through an attempt that is never committed. It
// collects no conflicts, so that it can read everything.
type reader struct{ kv.Attempt }

var _ kv.Reader = reader{}

func (r reader) Scan(span base.Span, o kv.ScanOptions, visit func(key, value []byte) bool) error {
	n := 0
	return r.Attempt.Scan(span, o.Reverse, func(key, value []byte) bool {
		n++
		return visit(key, value) && (o.Limit == 0 || n < o.Limit)
	})
}

func (r reader) GetKey(kv.KeySelector, base.Span) ([]byte, error) {
	return nil, errors.AssertionFailedf("a check does not use key selectors")
}

// keys walks over all keys in order; each part of the keyspace is handed to its
// owner as a whole.
func (c *checker) keys(st *store.Store) error {
	att := kvrange.New(st).NewAttempt()
	att.Begin(kv.AttemptOptions{})
	defer att.Abort()
	r := reader{att}
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
	if len(key) < 2 || key[1] < keyspace.SysNamespaceByPath || key[1] > keyspace.SysNode {
		return c.unknown(key)
	}
	visit := count
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

func (c *checker) database(r reader, ns keyspace.NamespaceID, db *redis.DB) error {
	rep, err := redis.CheckDB(r, db)
	c.r.Databases = append(c.r.Databases, Database{Namespace: uint64(ns), Number: db.Number(), Keys: rep.Keys,
		Expiring: rep.Expiring, Elements: rep.Elements})
	for _, p := range rep.Problems {
		c.r.problem("redis database "+keyspace.Pretty(db.Span().Start), "%s", p)
	}
	return err
}
