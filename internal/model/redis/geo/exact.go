package geo

import "math"

// The C library's sines are the nearest floats nearly always, math's are one of the two
// nearest. Distances are stored with all their digits, so these compute with two floats for
// a number, about 106 bits, and round once.

// double is hi + lo, lo being less than half a unit of hi's last place.
type double struct{ hi, lo float64 }

func twoSum(a, b float64) double {
	s := a + b
	c := s - a
	return double{s, (a - (s - c)) + (b - c)}
}

func (x double) add(y double) double {
	s, t := twoSum(x.hi, y.hi), twoSum(x.lo, y.lo)
	s = twoSum(s.hi, s.lo+t.hi)
	return twoSum(s.hi, s.lo+t.lo)
}

func (x double) mul(y double) double {
	p := x.hi * y.hi
	e := math.FMA(x.hi, y.hi, -p)
	e = math.FMA(x.hi, y.lo, math.FMA(x.lo, y.hi, e))
	return twoSum(p, e)
}

func (x double) div(n float64) double {
	q := x.hi / n
	r := math.FMA(-q, n, x.hi) + x.lo
	return twoSum(q, r/n)
}

func (x double) neg() double { return double{-x.hi, -x.lo} }

const terms = 28

// inverse are 1/n!.
var inverse = func() (all [terms]double) {
	all[0] = double{1, 0}
	for n := 1; n < terms; n++ {
		all[n] = all[n-1].div(float64(n))
	}
	return all
}()

// halfPi is a quarter of the circle.
var halfPi = double{1.5707963267948966, 6.123233995736766e-17}

// series is the sum of r^n/n! for n = from, from+2, ..., with signs in turn.
func series(r double, from int) double {
	square := r.mul(r).neg()
	last := terms - 2 + from
	sum := inverse[last]
	for n := last - 2; n >= from; n -= 2 {
		sum = sum.mul(square).add(inverse[n])
	}
	if from == 1 {
		return sum.mul(r)
	}
	return sum
}

// sine is that of x plus quarters of the circle.
func sine(x float64, quarters int) double {
	k := math.Round(x / halfPi.hi)
	r := twoSum(math.FMA(-k, halfPi.hi, x), -k*halfPi.lo)
	switch (int(k) + quarters) & 3 {
	case 0:
		return series(r, 1)
	case 1:
		return series(r, 0)
	case 2:
		return series(r, 1).neg()
	}
	return series(r, 0).neg()
}

func sin(x float64) float64 { return sine(x, 0).hi }
func cos(x float64) float64 { return sine(x, 1).hi }

// asin corrects math's by what its sine is off.
func asin(x float64) float64 {
	y := math.Asin(x)
	c := math.Cos(y)
	if c == 0 || math.IsNaN(y) {
		return y
	}
	s := sine(y, 0)
	return y + ((x-s.hi)-s.lo)/c
}
