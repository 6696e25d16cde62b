package geo

import "math"

// Point is a place in degrees.
type Point struct{ Lon, Lat float64 }

// The grid: the poles are not on it.
const (
	lonMax   = 180
	latMax   = 85.05112878
	stepsMax = 26
)

// Valid reports whether a point is on the grid.
func (p Point) Valid() bool {
	return p.Lon >= -lonMax && p.Lon <= lonMax && p.Lat >= -latMax && p.Lat <= latMax
}

// cell is one of 2^steps by 2^steps; the bits of the longitude are the odd ones. The zero
// cell is none.
type cell struct {
	bits  uint64
	steps int
}

// area is what a cell covers.
type area struct{ min, max Point }

const (
	lonBits uint64 = 0xAAAAAAAAAAAAAAAA
	latBits uint64 = 0x5555555555555555
)

// spread puts zeros between the bits of x.
func spread(x uint64) uint64 {
	for _, m := range [...]struct {
		shift uint
		mask  uint64
	}{{16, 0x0000FFFF0000FFFF}, {8, 0x00FF00FF00FF00FF}, {4, 0x0F0F0F0F0F0F0F0F}, {2, 0x3333333333333333}, {1, latBits}} {
		x = (x | x<<m.shift) & m.mask
	}
	return x
}

// gather takes every other bit of x.
func gather(x uint64) uint64 {
	x &= latBits
	for _, m := range [...]struct {
		shift uint
		mask  uint64
	}{{1, 0x3333333333333333}, {2, 0x0F0F0F0F0F0F0F0F}, {4, 0x00FF00FF00FF00FF}, {8, 0x0000FFFF0000FFFF}, {16, 0x00000000FFFFFFFF}} {
		x = (x | x>>m.shift) & m.mask
	}
	return x
}

// cellOf is the cell of a point in a grid that goes as far as lat.
func cellOf(p Point, lat float64, steps int) cell {
	scale := float64(uint64(1) << steps)
	y := (p.Lat + lat) / (lat + lat) * scale
	x := (p.Lon + lonMax) / (lonMax + lonMax) * scale
	return cell{spread(uint64(uint32(int64(y)))) | spread(uint64(uint32(int64(x))))<<1, steps}
}

func (c cell) area() area {
	scale := float64(uint64(1) << c.steps)
	y, x := float64(gather(c.bits)), float64(gather(c.bits>>1))
	at := func(i, max float64) float64 { return -max + float64(i/scale*(max+max)) }
	return area{Point{at(x, lonMax), at(y, latMax)}, Point{at(x+1, lonMax), at(y+1, latMax)}}
}

// moved is a neighbour: dx cells to the east and dy to the north, around the world.
func (c cell) moved(dx, dy int) cell {
	shift := 64 - 2*c.steps
	lon, lat := c.bits&lonBits, c.bits&latBits
	lonGaps, latGaps := latBits>>shift, lonBits>>shift
	switch {
	case dx > 0:
		lon += lonGaps + 1
	case dx < 0:
		lon = (lon | lonGaps) - (lonGaps + 1)
	}
	switch {
	case dy > 0:
		lat += latGaps + 1
	case dy < 0:
		lat = (lat | latGaps) - (latGaps + 1)
	}
	return cell{lon&(lonBits>>shift) | lat&(latBits>>shift), c.steps}
}

// scores are those of a cell, the second one excluded.
func (c cell) scores() (from, to float64) {
	shift := 2 * (stepsMax - c.steps)
	return float64(c.bits << shift), float64((c.bits + 1) << shift)
}

// Score is that of a point.
func Score(p Point) float64 { return float64(cellOf(p, latMax, stepsMax).bits) }

// At is the middle of the cell of a score.
func At(score float64) Point {
	a := cell{uint64(int64(score)), stepsMax}.area()
	middle := func(x, y, most float64) float64 { return max(-most, min((x+y)/2, most)) }
	return Point{middle(a.min.Lon, a.max.Lon, lonMax), middle(a.min.Lat, a.max.Lat, latMax)}
}

const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"

// hashLetters is the length of a geohash; Redis fills the last letter with zeros.
const hashLetters = 11

// Hash is the geohash of a score, which goes by a grid from pole to pole.
func Hash(score float64) []byte {
	bits := cellOf(At(score), 90, stepsMax).bits
	text := make([]byte, hashLetters)
	for i := range text {
		index := uint64(0)
		if i < hashLetters-1 {
			index = bits >> (52 - 5*(i+1)) & 31
		}
		text[i] = alphabet[index]
	}
	return text
}

// earthRadius is in meters, as Redis has it.
const earthRadius = 6372797.560856

func radians(degrees float64) float64 { return degrees * (math.Pi / 180) }
func degrees(radians float64) float64 { return radians / (math.Pi / 180) }

func latDistance(a, b float64) float64 { return earthRadius * math.Abs(radians(b)-radians(a)) }

// trigonometry is the functions that a distance is computed with.
type trigonometry struct{ sin, cos, asin func(x float64) float64 }

var (
	exact = trigonometry{sin, cos, asin}
	quick = trigonometry{math.Sin, math.Cos, math.Asin}
)

// quickError is by how many meters a quick distance may be wrong at most.
const quickError = 1

// Distance is how many meters apart two points are, by the haversine formula.
func Distance(a, b Point) float64 { return exact.distance(a, b) }

func (f *trigonometry) distance(a, b Point) float64 {
	v := f.sin((radians(b.Lon) - radians(a.Lon)) / 2)
	if v == 0 {
		return latDistance(a.Lat, b.Lat)
	}
	lat1, lat2 := radians(a.Lat), radians(b.Lat)
	u := f.sin((lat2 - lat1) / 2)
	x := float64(u*u) + float64(float64(float64(f.cos(lat1)*f.cos(lat2))*v)*v)
	return 2 * earthRadius * f.asin(math.Sqrt(x))
}

// within is Distance if that is at most so many meters.
func within(a, b Point, meters float64) (distance float64, in bool) {
	if quick.distance(a, b) > meters+quickError {
		return 0, false
	}
	distance = Distance(a, b)
	return distance, distance <= meters
}
