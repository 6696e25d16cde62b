package store

import "github.com/stratadb/strata/internal/base"

// cachedStamp is the bug that replica.Faults.CachedStamp plants: four callers
// share a stamp, although the later ones began after it was issued (C1).
type cachedStamp struct {
	stamp base.Stamp
	uses  int
}

func (c *cachedStamp) next(issue func() (base.Stamp, error)) (base.Stamp, error) {
	if c.uses++; c.uses%4 != 1 {
		return c.stamp, nil
	}
	var err error
	c.stamp, err = issue()
	return c.stamp, err
}
