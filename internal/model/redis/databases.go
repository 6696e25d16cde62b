package redis

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// NextDatabase finds the first database with any data behind after, over all
// namespaces, and nil when there is none. It goes by what is stored, so the handle's
// number is the physical one. A nil after begins at the first. It
// looks at a few keys only, however many there are.
func NextDatabase(r kv.Reader, after *DB, o Options) (*DB, error) {
	span := base.Span{Start: []byte{keyspace.Data}, End: []byte{keyspace.Data + 1}}
	if after != nil {
		span.Start = base.PrefixEnd(after.prefix)
	}
	for {
		var first []byte
		if err := r.Scan(span, kv.ScanOptions{Limit: 1}, func(key, _ []byte) bool {
			first = append(first, key...)
			return false
		}); err != nil || first == nil {
			return nil, err
		}
		ns, rest, ok := keyspace.DecodeOrdered(first[1:])
		if !ok || len(rest) < 2 {
			return nil, errors.Wrapf(base.ErrCorruption, "key %s", keyspace.Pretty(first))
		}
		id := keyspace.NamespaceID(ns)
		switch model := keyspace.Model(rest[0]); {
		case model < keyspace.ModelRedis:
			span.Start = keyspace.AppendModel(nil, id, keyspace.ModelRedis)
		case model > keyspace.ModelRedis:
			span.Start = base.PrefixEnd(keyspace.AppendNamespace(nil, id))
		default:
			return Open(id, rest[1], o)
		}
	}
}
