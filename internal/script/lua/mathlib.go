package lua

import "math"

func (s *State) openMath() {
	one := func(f func(float64) float64) Native {
		return func(c *Call) { c.Push(Number(f(c.Number(0)))) }
	}
	two := func(f func(a, b float64) float64) Native {
		return func(c *Call) { c.Push(Number(f(c.Number(0), c.Number(1)))) }
	}
	t := s.library("math", map[string]Native{
		"abs": one(math.Abs), "acos": one(math.Acos), "asin": one(math.Asin), "atan": one(math.Atan), "ceil": one(math.Ceil),
		"cos": one(math.Cos), "cosh": one(math.Cosh), "exp": one(math.Exp), "floor": one(math.Floor), "log": one(math.Log),
		"log10": one(math.Log10), "sin": one(math.Sin), "sinh": one(math.Sinh), "sqrt": one(math.Sqrt), "tan": one(math.Tan), "tanh": one(math.Tanh),
		"deg":   one(func(f float64) float64 { return f / (math.Pi / 180) }),
		"rad":   one(func(f float64) float64 { return f * (math.Pi / 180) }),
		"atan2": two(math.Atan2), "fmod": two(math.Mod), "mod": two(math.Mod), "pow": two(math.Pow),
		"ldexp": func(c *Call) { c.Push(Number(math.Ldexp(c.Number(0), c.Int(1)))) },
		"frexp": func(c *Call) {
			f, e := math.Frexp(c.Number(0))
			c.Push(Number(f))
			c.Push(Int(e))
		},
		"modf": func(c *Call) {
			f := c.Number(0)
			whole, part := math.Modf(f)
			if math.IsInf(f, 0) {
				part = 0
			}
			c.Push(Number(whole))
			c.Push(Number(part))
		},
		"max":        func(c *Call) { c.extreme(func(a, b float64) bool { return a > b }) },
		"min":        func(c *Call) { c.extreme(func(a, b float64) bool { return a < b }) },
		"random":     mathRandom,
		"randomseed": func(c *Call) { c.State().Seed(int32(c.Int(0))) },
	})
	t.SetString("pi", Number(math.Pi))
	t.SetString("huge", Number(math.Inf(1)))
}

func (c *Call) extreme(better func(a, b float64) bool) {
	best := c.Number(0)
	for i := 1; i < c.n; i++ {
		if f := c.Number(i); better(f, best) {
			best = f
		}
	}
	c.Push(Number(best))
}

// Seed begins a sequence of random numbers: that of POSIX's lrand48, in Redis as here.
func (s *State) Seed(seed int32) { s.seed = uint64(uint32(seed))<<16 | 0x330E }

func (s *State) random() float64 {
	s.seed = (s.seed*0x5DEECE66D + 0xB) & (1<<48 - 1)
	return float64(int32(s.seed>>17)%math.MaxInt32) / math.MaxInt32
}

func mathRandom(c *Call) {
	r := c.State().random()
	switch c.n {
	case 0:
		c.Push(Number(r))
	case 1:
		most := c.Int(0)
		if most < 1 {
			c.BadArgument(0, "interval is empty")
		}
		c.Push(Number(math.Floor(r*float64(most)) + 1))
	case 2:
		low, high := c.Int(0), c.Int(1)
		if low > high {
			c.BadArgument(1, "interval is empty")
		}
		c.Push(Number(math.Floor(r*float64(high-low+1)) + float64(low)))
	default:
		c.Raise("wrong number of arguments")
	}
}
