package kvgrpc

import (
	"bytes"
	"context"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/proto"
)

// open finds the map of a namespace; "" is the default one. The transaction that
// reads through r conflicts with whatever takes the namespace away.
func open(r kv.Reader, namespace string) (zmap.Map, error) {
	if namespace == "" {
		return zmap.Open(catalog.DefaultID), nil
	}
	p, err := catalog.ParsePath(namespace)
	if err != nil {
		return zmap.Map{}, err
	}
	id, err := catalog.Resolve(r, p)
	return zmap.Open(id), err
}

// stale runs fn on one state that may be so many milliseconds old, and answers its
// version.
func stale(ctx context.Context, db *kv.DB, milliseconds uint32, namespace string, fn func(r kv.Reader, m zmap.Map) error) (base.Stamp, error) {
	return db.ReadStale(ctx, time.Duration(milliseconds)*time.Millisecond, func(r kv.Reader) error {
		m, err := open(r, namespace)
		if err != nil {
			return err
		}
		return fn(r, m)
	})
}

// get copies a value; exists is false when the key is absent.
func get(r kv.Reader, m zmap.Map, key []byte) (value []byte, exists bool, err error) {
	value, err = zmap.Get(r, m, key)
	return bytes.Clone(value), value != nil, err
}

// scanRequest is what the messages for scans have in common.
type scanRequest interface {
	GetStart() []byte
	GetEnd() []byte
	GetLimit() uint32
	GetReverse() bool
}

// page is a part of a range, with copies of its pairs.
type page struct {
	pairs []*proto.KeyValue
	more  bool
	next  []byte
}

// pairOverhead is what a pair costs in a message beyond its key and value, in bytes.
const pairOverhead = 16

// bound is an end of a range; the empty key leaves it open.
func bound(key []byte) zmap.Bound { return zmap.Bound{Key: key, Set: len(key) > 0} }

// scan reads a page.
func scan(r kv.Reader, m zmap.Map, req scanRequest) (page, error) {
	most := limits.GRPCPagePairs
	if n := req.GetLimit(); n > 0 {
		most = int(min(uint32(most), n))
	}
	var p page
	size := 0
	o := zmap.Range{Begin: bound(req.GetStart()), End: bound(req.GetEnd()), Reverse: req.GetReverse()}
	err := zmap.Scan(r, m, o, func(key, value []byte) bool {
		p.pairs = append(p.pairs, &proto.KeyValue{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		size += len(key) + len(value) + pairOverhead
		if len(p.pairs) < most && size < limits.GRPCPageBytes {
			return true
		}
		p.next = goOn(key, o.Reverse)
		p.more = len(p.next) > 0
		return false
	})
	return p, err
}

// goOn is where a range that was read up to key goes on: its new start, or its new
// end in reverse. It is empty when there can be nothing more.
func goOn(key []byte, reverse bool) []byte {
	switch {
	case reverse:
		return bytes.Clone(key)
	case len(key) < zmap.KeyBytes:
		return base.Next(key)
	}
	// No key is longer: the next one is above everything that begins with this.
	return bytes.Clone(base.PrefixSpan(key).End)
}
