package geo

import (
	"cmp"
	"math"
	"slices"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/zset"
)

// Shape is a circle, or a box that goes from east to west; everything is in Unit meters.
type Shape struct {
	Center        Point
	Box           bool
	Radius        float64
	Width, Height float64
	Unit          float64
}

// contains reports whether a point is in the shape, and how many meters from its middle.
func (s *Shape) contains(p Point) (distance float64, in bool) {
	if !s.Box {
		return within(s.Center, p, s.Radius*s.Unit)
	}
	if latDistance(p.Lat, s.Center.Lat) > s.Height*s.Unit/2 {
		return 0, false
	}
	if _, in = within(p, Point{s.Center.Lon, p.Lat}, s.Width*s.Unit/2); !in {
		return 0, false
	}
	return Distance(s.Center, p), true
}

// bounds is an area around the shape.
func (s *Shape) bounds() area {
	height, width := s.Unit*s.Radius, s.Unit*s.Radius
	if s.Box {
		height, width = s.Unit*(s.Height/2), s.Unit*(s.Width/2)
	}
	dy := degrees(height / earthRadius)
	edge := s.Center.Lat + dy // the wider one
	if s.Center.Lat < 0 {
		edge = s.Center.Lat - dy
	}
	dx := degrees(width / earthRadius / math.Cos(radians(edge)))
	return area{Point{s.Center.Lon - dx, s.Center.Lat - dy}, Point{s.Center.Lon + dx, s.Center.Lat + dy}}
}

// steps is how fine a grid may be whose nine cells about the middle cover the shape.
func (s *Shape) steps() int {
	meters := s.Radius
	if s.Box {
		meters = math.Sqrt(s.Width/2*(s.Width/2) + s.Height/2*(s.Height/2))
	}
	meters *= s.Unit
	if meters == 0 {
		return stepsMax
	}
	const half = 20037726.37 // of the equator
	steps := -1
	for ; meters < half; meters *= 2 {
		steps++
	}
	if math.Abs(s.Center.Lat) > 66 {
		steps--
	}
	if math.Abs(s.Center.Lat) > 80 {
		steps--
	}
	return min(max(steps, 1), stepsMax)
}

// directions are where the nine cells are, in the order of the results.
var directions = [9][2]int{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}}

// cells covers the shape.
func (s *Shape) cells() []cell {
	b, steps := s.bounds(), s.steps()
	middle := cellOf(s.Center, latMax, steps)
	if steps > 1 && (middle.moved(0, 1).area().max.Lat < b.max.Lat || middle.moved(0, -1).area().min.Lat > b.min.Lat ||
		middle.moved(1, 0).area().max.Lon < b.max.Lon || middle.moved(-1, 0).area().min.Lon > b.min.Lon) {
		steps--
		middle = cellOf(s.Center, latMax, steps)
	}
	a := middle.area()
	var all []cell
	for i, d := range directions {
		useless := d[1] < 0 && a.min.Lat < b.min.Lat || d[1] > 0 && a.max.Lat > b.max.Lat ||
			d[0] < 0 && a.min.Lon < b.min.Lon || d[0] > 0 && a.max.Lon > b.max.Lon
		if steps >= 2 && useless {
			continue
		}
		// Around a small world neighbours are the same; Redis looks back at one of them.
		next := middle.moved(d[0], d[1])
		if i > 1 && len(all) > 1 && all[len(all)-1] == next {
			continue
		}
		all = append(all, next)
	}
	return all
}

// Order is that of the results.
type Order uint8

// Orders.
const (
	Unordered Order = iota
	Nearest
	Farthest
)

// SearchOptions say what Search is for.
type SearchOptions struct {
	Shape Shape
	Order Order
	// Count is how many results there are at most, 0 for all: the nearest ones, or with Any
	// those that are found first.
	Count int64
	Any   bool
}

// Found is a result: Distance is in the unit of the shape.
type Found struct {
	Member   []byte
	Score    float64
	Distance float64
	Point    Point
}

// Search is GEOSEARCH.
func Search(t kv.Txn, db *redis.DB, key []byte, o SearchOptions) (all []Found, err error) {
	var ranges []zset.ScoreRange
	for _, c := range o.Shape.cells() {
		from, to := c.scores()
		ranges = append(ranges, zset.ScoreRange{Min: from, Max: to, MaxExcluded: true})
	}
	err = zset.Visit(t, db, key, ranges, func(m *zset.Scored) bool {
		p := At(m.Score)
		if d, in := o.Shape.contains(p); in {
			all = append(all, Found{m.Member, m.Score, d, p})
		}
		return !o.Any || o.Count == 0 || int64(len(all)) < o.Count
	})
	if err != nil {
		return nil, err
	}
	if o.Order == Unordered && o.Count != 0 && !o.Any {
		o.Order = Nearest
	}
	if o.Order != Unordered {
		slices.SortStableFunc(all, func(a, b Found) int {
			if c := cmp.Compare(a.Distance, b.Distance); o.Order == Nearest {
				return c
			} else {
				return -c
			}
		})
	}
	if o.Count > 0 && int64(len(all)) > o.Count {
		all = all[:o.Count]
	}
	for i := range all {
		all[i].Distance /= o.Shape.Unit
	}
	return all, nil
}

// Store is GEOSEARCHSTORE and the like: the number of results, which become the value of
// dst, with their cells or distances as scores. event is the command's name.
func Store(t kv.Txn, db *redis.DB, dst, key []byte, o SearchOptions, distances bool, event string) (int64, error) {
	all, err := Search(t, db, key, o)
	if err != nil {
		return 0, err
	}
	members := make([]zset.Scored, len(all))
	for i, f := range all {
		if members[i] = (zset.Scored{Member: f.Member, Score: f.Score}); distances {
			members[i].Score = f.Distance
		}
	}
	return zset.Replace(t, db, dst, members, event)
}
