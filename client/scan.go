package client

import (
	"math"

	"github.com/stratadb/strata/proto"
)

// Range is the keys from Start up to, but without, End. An empty end is open.
type Range struct {
	Start, End []byte
	// Limit bounds the number of pairs; 0 means none.
	Limit int
	// Reverse goes from the end to the start.
	Reverse bool
}

func (r Range) pageLimit() uint32 { return uint32(min(max(r.Limit, 0), math.MaxUint32)) }

// page is what the answers of scans have in common.
type page interface {
	GetPairs() []*proto.KeyValue
	GetMore() bool
	GetNext() []byte
}

// pages reads one page after another.
func (r Range) pages(visit func(key, value []byte) bool, read func(r Range) (page, error)) error {
	for {
		p, err := read(r)
		if err != nil {
			return err
		}
		for _, pair := range p.GetPairs() {
			if !visit(pair.GetKey(), pair.GetValue()) {
				return nil
			}
		}
		if r.Limit > 0 {
			if r.Limit -= len(p.GetPairs()); r.Limit <= 0 {
				return nil
			}
		}
		if !p.GetMore() {
			return nil
		}
		if r.Reverse {
			r.End = p.GetNext()
		} else {
			r.Start = p.GetNext()
		}
	}
}
