package zset

import "encoding/binary"

// rank is the number of members before b.
func (z *zset) rank(b bound) (int64, error) {
	if !z.rows {
		return int64(z.search(b)), nil
	}
	return z.order.Before(b.place(z.t))
}

// at is the place of the member with that rank, the end if there is none.
func (z *zset) at(rank int64) (bound, error) {
	switch {
	case rank >= z.n:
		return lastBound, nil
	case !z.rows:
		return z.elems[rank].bound(), nil
	}
	place, err := z.order.At(rank)
	if err != nil {
		return lastBound, err
	}
	if _, err := scoredAt(place); err != nil {
		return lastBound, err
	}
	return bound{binary.BigEndian.Uint64(place), place[8:]}, nil
}
