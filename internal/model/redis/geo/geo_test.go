package geo

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/test/redistest"
)

// TestSines: they are the nearest floats.
func TestSines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		x := (r.Float64()*2 - 1) * math.Pi
		if got, want := sin(x), bigSine(x); got != want {
			t.Errorf("sin(%v) = %v, not %v", x, got, want)
		}
		if y := asin(sin(x / 2)); math.Abs(y-x/2) > 4e-16 && math.Abs(x) < 2 {
			t.Errorf("asin(sin(%v)) = %v", x/2, y)
		}
		if s, c := sin(x), cos(x); math.Abs(s*s+c*c-1) > 4e-16 {
			t.Errorf("cos(%v) = %v", x, c)
		}
	}
	if sin(0) != 0 || cos(0) != 1 || asin(1) != math.Pi/2 || asin(0) != 0 || !math.IsNaN(asin(2)) {
		t.Error(sin(0), cos(0), asin(1), asin(0), asin(2))
	}
}

// bigSine adds up the series with 200 bits.
func bigSine(x float64) float64 {
	number := func(f float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(f) }
	term, sum := number(x), number(x)
	square := number(0).Mul(number(x), number(x))
	for n := 2.0; n < 80; n += 2 {
		term.Mul(term, square)
		term.Quo(term, number(-n*(n+1)))
		sum.Add(sum, term)
	}
	f, _ := sum.Float64()
	return f
}

// TestCells: a point is in its cell, and near the middle of it.
func TestCells(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		p := Point{(r.Float64()*2 - 1) * lonMax, (r.Float64()*2 - 1) * latMax}
		c := cellOf(p, latMax, 1+r.IntN(stepsMax))
		if a := c.area(); p.Lon < a.min.Lon-1e-9 || p.Lon > a.max.Lon+1e-9 || p.Lat < a.min.Lat-1e-9 || p.Lat > a.max.Lat+1e-9 {
			t.Errorf("%v is not in %v", p, a)
		}
		if back := c.moved(1, 1).moved(-1, -1); back != c {
			t.Errorf("%v is not %v", back, c)
		}
		if d := Distance(p, At(Score(p))); d > 0.6 {
			t.Errorf("%v is %v meters from its place", p, d)
		}
	}
}

// TestSearchFindsAll: what nine cells have is what all of the world has.
func TestSearchFindsAll(t *testing.T) {
	w := redistest.NewWorld(t, redis.Options{})
	r := rand.New(rand.NewPCG(5, 6))
	var members []zset.Scored
	var places []Point
	for i := range 3000 {
		p := Point{(r.Float64()*2 - 1) * lonMax, (r.Float64()*2 - 1) * 75}
		s := Score(p)
		members, places = append(members, zset.Scored{Member: []byte(strconv.Itoa(i)), Score: s}), append(places, At(s))
	}
	w.Must(func(t kv.Txn) error {
		_, err := zset.Add(t, w.At, []byte("g"), members, zset.AddOptions{})
		return err
	})
	for range 200 {
		shape := Shape{Center: Point{(r.Float64()*2 - 1) * 100, (r.Float64()*2 - 1) * 60}, Radius: r.Float64() * 1500, Unit: 1000}
		if r.IntN(2) == 0 {
			shape.Box, shape.Width, shape.Height = true, r.Float64()*2000, r.Float64()*2000
		}
		want := 0
		for _, p := range places {
			if _, in := shape.contains(p); in {
				want++
			}
		}
		reads := 0
		w.Must(func(txn kv.Txn) error {
			reads = 0
			all, err := Search(redistest.CountReads(txn, &reads), w.At, []byte("g"), SearchOptions{Shape: shape})
			if len(all) != want {
				t.Errorf("%+v: %d found of %d", shape, len(all), want)
			}
			return err
		})
		if reads > 1500 {
			t.Errorf("%+v: %d rows were read for %d", shape, reads, want)
		}
	}
}
