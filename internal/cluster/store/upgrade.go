package store

import (
	"bytes"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/storage/identity"
)

// upgrade brings an older data directory to the present format. It may be interrupted
// and begun again.
//
//	1  one range, whose local keys were stored under their names
//	2  several ranges: see local.go
func (s *Store) upgrade() (err error) {
	if s.id.Format >= 2 {
		return nil
	}
	const oldBytes = 1 + 8 + 8 // session and number
	b := s.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	first := disk{state: s.state, id: firstRange}
	if _, err := first.scan(base.PrefixSpan([]byte{keyspace.RangeLocal}), false, func(key, value []byte) bool {
		if len(key) == oldBytes {
			b.Set(first.stored(bytes.Clone(key)), value)
			b.Delete(key)
		}
		return true
	}); err != nil {
		return err
	}
	if err := s.state.Apply(b); err != nil {
		return err
	}
	if err := s.state.Flush(); err != nil {
		return err
	}
	s.id.Format = identity.FormatVersion
	return identity.Save(s.o.FS, s.o.Dir, s.id)
}
