package redis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/data"
)

// geoTalk are commands whose replies are compared with a real server's, byte by byte.
var geoTalk = []string{
	"GEOADD", "GEOADD g 1 2", "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "GEOADD g 13.361389 38.115556 Palermo", "GEOADD g CH 13.5 38.2 Palermo", "GEOADD g NX CH 1 1 Palermo 2 2 Rome", "GEOADD g XX 13.361389 38.115556 Palermo 1 1 nobody",
	"GEOADD g NX XX 1 1 a", "GEOADD g CH CH CH", "GEOADD g 1 2 a 3", "GEOADD g 181 1 a", "GEOADD g 1 86 a", "GEOADD g x 1 a", "GEOADD g 1 x a", "GEOADD g 200 x a", "GEOADD g inf 1 a", "GEOADD g -inf nan a", "GEOADD g 1 1 a 200 100 b", "GEOADD g -180 -85.05112878 sw 180 85.05112878 ne 0 0 zero", "ZRANGE g 0 -1 WITHSCORES",
	"GEOPOS g Palermo Catania nobody sw ne zero", "GEOPOS g", "GEOPOS none a b", "GEOPOS none", "GEOHASH g Palermo Catania nobody sw ne zero", "GEOHASH none a", "GEOHASH g", "GEODIST g Palermo Catania", "GEODIST g Palermo Catania km", "GEODIST g Palermo Catania MI", "GEODIST g Palermo Catania ft", "GEODIST g Palermo Catania x",
	"GEODIST g Palermo nobody", "GEODIST none a b", "GEODIST none a b x", "GEODIST g Palermo Catania km x", "GEODIST g sw ne", "GEODIST g zero zero", "GEODIST g zero sw km", "ZADD g -5 minus 1e300 huge 4503599627370496 over", "GEOPOS g over", "GEOHASH g over", "ZREM g minus huge over",
	"GEORADIUS g 15 37 200 km", "GEORADIUS g 15 37 200 km WITHDIST", "GEORADIUS g 15 37 200 km WITHDIST WITHCOORD WITHHASH", "GEORADIUS g 15 37 200 km withcoord asc", "GEORADIUS g 15 37 200 km DESC", "GEORADIUS g 15 37 200 km COUNT 1", "GEORADIUS g 15 37 200 km COUNT 1 DESC", "GEORADIUS g 15 37 200 km COUNT 1 ANY", "GEORADIUS g 15 37 200 km ANY",
	"GEORADIUS g 15 37 200 km COUNT 0", "GEORADIUS g 15 37 200 km COUNT -1", "GEORADIUS g 15 37 200 km COUNT x", "GEORADIUS g 15 37 200 km COUNT", "GEORADIUS g 15 37 200 km FOO", "GEORADIUS g 15 37 x km", "GEORADIUS g 15 37 -1 km", "GEORADIUS g 15 37 1 x", "GEORADIUS g x 37 1 km", "GEORADIUS g 190 37 1 km", "GEORADIUS g 15 37 0 m", "GEORADIUS g 13.361389 38.115556 1 m",
	"GEORADIUS g 0 0 30000 km WITHDIST ASC", "GEORADIUS g 0 0 10000 km ASC", "GEORADIUS g 179 85 5000 km ASC", "GEORADIUS g -179 -85 5000 km ASC", "GEORADIUS none 15 37 200 km", "GEORADIUS none 15 37 x km", "GEORADIUS g 15 37 200 km STORE to", "ZRANGE to 0 -1 WITHSCORES", "GEORADIUS g 15 37 200 km STORE to WITHDIST", "GEORADIUS g 15 37 1 m STORE to", "EXISTS to",
	"GEORADIUS g 15 37 200 km STOREDIST to", "ZRANGE to 0 -1", "GEORADIUS none 15 37 200 km STORE to", "EXISTS to", "GEORADIUS_RO g 15 37 200 km ASC", "GEORADIUS_RO g 15 37 200 km STORE to", "GEORADIUSBYMEMBER g Palermo 200 km ASC", "GEORADIUSBYMEMBER g Palermo 200 km WITHDIST DESC", "GEORADIUSBYMEMBER g nobody 200 km", "GEORADIUSBYMEMBER g nobody x km",
	"GEORADIUSBYMEMBER none a x km", "GEORADIUSBYMEMBER none a 1 km FOO", "GEORADIUSBYMEMBER none a 1 km STORE to", "GEORADIUSBYMEMBER g Palermo 200 km STORE to", "GEORADIUSBYMEMBER_RO g Palermo 200 km STORE to", "GEORADIUSBYMEMBER_RO g Palermo 200 km ASC",
	"GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC", "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH", "GEOSEARCH g FROMMEMBER Palermo BYBOX 400 10 km", "GEOSEARCH g FROMMEMBER nobody BYBOX 400 10 km", "GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1 km BYBOX 1 1 km", "GEOSEARCH g FROMMEMBER Palermo FROMLONLAT 1 1 BYRADIUS 1 km",
	"GEOSEARCH g BYRADIUS 1 km ASC COUNT 1", "GEOSEARCH g FROMMEMBER Palermo ASC COUNT 1", "GEOSEARCH g FROMMEMBER Palermo BYRADIUS x km", "GEOSEARCH g FROMMEMBER Palermo BYRADIUS -1 km", "GEOSEARCH g FROMMEMBER Palermo BYBOX x 1 km", "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 x km", "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 -1 km", "GEOSEARCH g FROMMEMBER Palermo BYBOX 1 1 x",
	"GEOSEARCH g FROMLONLAT 190 1 BYBOX 1 1 km", "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km STORE to", "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST", "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200", "GEOSEARCH none FROMMEMBER a BYRADIUS 1 km", "GEOSEARCH none FROMMEMBER a BYRADIUS x km", "GEOSEARCH none FROMLONLAT 1 1 BYBOX 1 1 km", "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ANY",
	"geosearch g BYRADIUS 1 km ASC COUNT 1", "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 200 km", "ZRANGE to 0 -1 WITHSCORES", "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST", "ZRANGE to 0 -1", "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST", "GEOSEARCHSTORE to none FROMLONLAT 15 37 BYRADIUS 200 km", "EXISTS to",
	"GEOSEARCHSTORE g g FROMLONLAT 15 37 BYRADIUS 200 km", "ZRANGE g 0 -1", "SET s v", "GEOADD s 1 1 a", "GEOADD s x 1 a", "GEOPOS s a", "GEOHASH s a", "GEODIST s a b", "GEODIST s a b x", "GEORADIUS s x 1 1 km", "GEOSEARCH s FROMMEMBER a BYRADIUS x km", "GEOSEARCHSTORE to s FROMMEMBER a BYRADIUS x km", "GEOSEARCHSTORE s g FROMLONLAT 15 37 BYRADIUS 200 km", "TYPE s",
	"COMMAND GETKEYS GEORADIUS g 1 1 1 km STORE to", "COMMAND GETKEYS GEORADIUS g 1 1 1 km STORE a STOREDIST b", "COMMAND GETKEYS GEORADIUSBYMEMBER g m 1 km STOREDIST to", "COMMAND GETKEYS GEORADIUS g 1 1 1 km ASC", "COMMAND GETKEYS GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 1 km", "COMMAND GETKEYS GEORADIUS_RO g 1 1 1 km ASC",
}

func TestGeoAgrees(t *testing.T) { serversAgree(t, geoTalk) }

func TestGeoRowsAgree(t *testing.T) { familiesAgree(t, onData(data.Geo)) }

// TestGeoAgreesAtRandom: places all over the world, and dense ones, and what is near them.
func TestGeoAgreesAtRandom(t *testing.T) {
	long(t)
	here, there := bothServers(t)
	r := rand.New(rand.NewPCG(11, 12))
	lon := func() float64 { return r.Float64()*360 - 180 }
	lat := func() float64 { return r.Float64()*170 - 85 }
	for i := range 400 {
		var b strings.Builder
		for j := range 5 {
			fmt.Fprintf(&b, " %.12f %.12f w%d", lon(), lat(), i*5+j)
		}
		agree(t, here, there, i, "GEOADD world"+b.String())
		agree(t, here, there, i, fmt.Sprintf("GEOADD town %.9f %.9f t%d", 13.4+r.Float64()/10, 52.5+r.Float64()/10, i))
	}
	total, others := 0, 0
	for i := range 500 {
		with := []string{"", "WITHDIST", "WITHCOORD", "WITHDIST WITHHASH WITHCOORD"}[r.IntN(4)]
		order := []string{"", "ASC", "DESC", "COUNT 5", "COUNT 7 DESC", "COUNT 3 ANY", "COUNT 10 ANY ASC"}[r.IntN(7)]
		key, x, y, size := "world", lon(), lat(), float64(r.IntN(20_000_000))
		if r.IntN(2) == 0 {
			key, x, y, size = "town", 13.4+r.Float64()/10, 52.5+r.Float64()/10, float64(r.IntN(8000))
		}
		unit := []string{"m", "km", "mi", "ft"}[r.IntN(4)]
		size /= map[string]float64{"m": 1, "km": 1000, "mi": 1609.34, "ft": 0.3048}[unit]
		agree(t, here, there, i, []string{
			fmt.Sprintf("GEOSEARCH %s FROMLONLAT %.9f %.9f BYRADIUS %.6f %s %s %s", key, x, y, size, unit, with, order),
			fmt.Sprintf("GEOSEARCH %s FROMLONLAT %.9f %.9f BYBOX %.6f %.6f %s %s %s", key, x, y, size, size*r.Float64(), unit, with, order),
			fmt.Sprintf("GEOSEARCH %s FROMMEMBER %c%d BYRADIUS %.6f %s %s %s", key, key[0], r.IntN(400), size, unit, with, order),
			fmt.Sprintf("GEORADIUS %s %.9f %.9f %.6f %s %s %s", key, x, y, size, unit, with, order),
			fmt.Sprintf("GEODIST %s %c%d %c%d %s", key, key[0], r.IntN(400), key[0], r.IntN(400), unit),
			fmt.Sprintf("GEOPOS %s %c%d", key, key[0], r.IntN(400)), fmt.Sprintf("GEOHASH %s %c%d", key, key[0], r.IntN(400)),
		}[r.IntN(7)])
		if i%20 == 0 {
			command := fmt.Sprintf("GEOSEARCHSTORE d%d %s FROMLONLAT %.9f %.9f BYRADIUS %.6f %s STOREDIST|ZRANGE d%d 0 -1 WITHSCORES", i, key, x, y, size, unit, i)
			ours, theirs := here.answer(command, fmt.Sprint("end", i)), there.answer(command, fmt.Sprint("end", i))
			n, differ := otherNumbers(t, ours, theirs)
			total, others = total+n, others+differ
		}
	}
	if total < 1000 || others*200 > total {
		t.Errorf("%d of %d distances have another last digit", others, total)
	}
}

// otherNumbers compares lists of members with numbers, which may differ in their last digit:
// how many numbers there are, and how many do.
func otherNumbers(t *testing.T, ours, theirs string) (total, differ int) {
	t.Helper()
	a, b := strings.Fields(ours), strings.Fields(theirs)
	if len(a) != len(b) {
		t.Fatalf("%d words, not %d", len(a), len(b))
	}
	for i := range a {
		x, err := strconv.ParseFloat(a[i], 64)
		if err != nil || !strings.Contains(a[i], ".") {
			if a[i] != b[i] && a[i][0] != '$' { // that number's length
				t.Fatalf("%s, not %s", a[i], b[i])
			}
			continue
		}
		y, _ := strconv.ParseFloat(b[i], 64)
		if total++; x != y {
			differ++
		}
		if math.Abs(x-y) > 1e-9*x {
			t.Fatalf("%v, not %v", x, y)
		}
	}
	return total, differ
}
