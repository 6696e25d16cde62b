package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/data"
)

// bitmapTalk are commands whose replies are compared with a real server's, byte by byte.
var bitmapTalk = []string{
	"SETBIT", "SETBIT b 7 1", "SETBIT b 7 1", "GET b", "SETBIT b 7 0", "SETBIT b 100 1", "STRLEN b", "OBJECT ENCODING b", "SETBIT b -1 1", "SETBIT b x 1", "SETBIT b 1 2", "SETBIT b 1 x", "SETBIT b 4294967296 1",
	"SETBIT b 4294967295 2", "SETBIT b x 2", "GETBIT b 100", "GETBIT b 101", "GETBIT b 4294967295", "GETBIT b 4294967296", "GETBIT b -1", "GETBIT b x", "GETBIT none 1", "SET n 12", "SETBIT n 100 0", "GET n",
	"OBJECT ENCODING n", "SET n 12", "SETBIT n 0 0", "OBJECT ENCODING n", "GET n", "EXPIRE n 1000", "SETBIT n 3 0", "PERSIST n",
	"BITCOUNT b", "BITCOUNT none", "BITCOUNT b 0 0", "BITCOUNT b 0 -1", "BITCOUNT b -1 -1", "BITCOUNT b 5 2", "BITCOUNT b -1 -5", "BITCOUNT b 0 100 BIT", "BITCOUNT b 1 101 bit", "BITCOUNT b 0 -1 byte", "BITCOUNT b 0 -1 FOO",
	"BITCOUNT b 0", "BITCOUNT b x 0", "BITCOUNT b 0 x", "BITCOUNT b 0 1 BIT 2", "BITCOUNT b -1000 1000 BIT",
	"SET p \xff\xf0\x00", "BITPOS p 0", "BITPOS p 1", "BITPOS p 1 2", "BITPOS p 0 0 0", "BITPOS p 0 0", "BITPOS p 1 -1", "BITPOS p 0 -1", "BITPOS p 1 -1 -1", "BITPOS p 0 7 8 BIT", "BITPOS p 0 7 15 BIT", "BITPOS p 1 12 -1 BIT",
	"BITPOS p 0 5 2", "BITPOS p 2", "BITPOS p x", "BITPOS p 1 x", "BITPOS p 1 0 x", "BITPOS p 1 0 1 FOO", "BITPOS p 1 0 1 BIT 1", "BITPOS none 0", "BITPOS none 1", "SET f \xff\xff", "BITPOS f 0", "BITPOS f 0 0 -1", "BITPOS f 0 1",
	"BITPOS f 0 9 15 BIT", "APPEND empty ''", "SETRANGE empty 0 a",
	"BITOP AND d b p", "GET d", "BITOP or d b p n", "GET d", "BITOP XOR d p f", "GET d", "BITOP NOT d p", "GET d", "BITOP NOT d p f", "BITOP FOO d p", "BITOP AND d none", "EXISTS d", "BITOP OR d none also", "BITOP AND d p none", "GET d",
	"OBJECT ENCODING d", "EXPIREAT d 33000000000", "BITOP OR d f", "EXPIRETIME d", "BITOP NOT d d", "GET d", "BITOP AND", "BITOP AND d",
	"BITFIELD f1", "BITFIELD f1 SET i8 0 100 GET u4 0", "BITFIELD f1 INCRBY i8 0 100", "BITFIELD f1 OVERFLOW SAT INCRBY i8 0 100 INCRBY i8 0 -500", "BITFIELD f1 OVERFLOW FAIL INCRBY u2 100 3 INCRBY u2 100 3",
	"BITFIELD f1 OVERFLOW FAIL SET u4 0 16 OVERFLOW WRAP SET u4 0 16 OVERFLOW SAT SET u4 0 16 GET u4 0", "BITFIELD f1 SET u8 0 -1 GET i8 0", "BITFIELD f1 OVERFLOW SAT SET u8 0 -1 SET i8 8 200 SET i8 16 -200 GET i8 8 GET i8 16",
	"BITFIELD f1 SET i64 3 9223372036854775807 INCRBY i64 3 1 GET u63 3", "BITFIELD f1 OVERFLOW SAT INCRBY i64 3 -10 INCRBY i64 3 -9223372036854775808", "BITFIELD f1 OVERFLOW FAIL INCRBY i64 3 -9223372036854775808",
	"BITFIELD f1 SET u63 3 9223372036854775807 OVERFLOW SAT INCRBY u63 3 5 OVERFLOW FAIL INCRBY u63 3 5 INCRBY u63 3 -1 OVERFLOW WRAP INCRBY u63 3 9223372036854775807", "BITFIELD f1 SET u8 #3 7 GET u8 24 GET u8 #3 GET i5 #5",
	"BITFIELD f1 INCRBY u8 #3 -9 OVERFLOW SAT INCRBY u8 #3 -300", "BITFIELD f1 GET u64 0", "BITFIELD f1 GET u0 0", "BITFIELD f1 GET i65 0", "BITFIELD f1 GET x8 0", "BITFIELD f1 GET u8 -1", "BITFIELD f1 GET u8 #-1", "BITFIELD f1 GET u8 x",
	"BITFIELD f1 GET u8 4294967295", "BITFIELD f1 GET u8 4294967296", "BITFIELD f1 GET u8 #536870911", "BITFIELD f1 GET u8 #536870912", "BITFIELD f1 GET i64 #9223372036854775807", "BITFIELD f1 SET u8 0", "BITFIELD f1 GET u8", "BITFIELD f1 FOO u8 0",
	"BITFIELD f1 SET u8 0 x", "BITFIELD f1 OVERFLOW FOO", "BITFIELD f1 OVERFLOW", "BITFIELD f1 OVERFLOW SAT", "BITFIELD f1 GET U8 0", "BITFIELD none GET u8 0 GET i8 100", "EXISTS none", "BITFIELD_RO f1 GET u8 0 GET i7 3", "BITFIELD_RO f1 SET u8 0 1",
	"BITFIELD_RO f1 GET u8 0 INCRBY u8 0 1", "BITFIELD_RO f1 OVERFLOW SAT GET u8 0", "BITFIELD_RO none", "GET f1", "STRLEN f1", "BITFIELD new OVERFLOW FAIL INCRBY u2 100 5", "STRLEN new", "SET num 77", "BITFIELD num GET u8 0", "OBJECT ENCODING num",
	"BITFIELD num SET u8 0 55", "OBJECT ENCODING num", "GET num",
	"LPUSH l a", "SETBIT l 0 1", "GETBIT l 0", "BITCOUNT l", "BITPOS l 1", "BITOP AND d l", "BITOP AND l p", "TYPE l", "DEL l|LPUSH l a", "BITFIELD l GET u8 0", "BITFIELD l SET u8 0 1", "BITFIELD l SET u64 0 1", "BITFIELD_RO l GET u8 0", "SETBIT l x 1",
	"SETBIT far 80000000 1", "STRLEN far", "BITCOUNT far", "BITPOS far 1", "BITPOS far 0", "BITCOUNT far 9999999 -1", "BITOP NOT far far", "BITCOUNT far", "BITPOS far 0", "BITPOS far 1 10000000", "BITOP XOR far far p", "BITPOS far 0", "BITCOUNT far",
	"COMMAND GETKEYS BITOP AND d a b", "COMMAND GETKEYS BITFIELD k GET u8 0", "MULTI|SETBIT m 1 1|GETBIT m 1|BITFIELD m INCRBY u8 0 1|EXEC",
}

func TestBitmapsAgree(t *testing.T) { serversAgree(t, bitmapTalk) }

func TestBitmapRowsAgree(t *testing.T) { familiesAgree(t, onData(data.Bitmaps)) }

// TestBitmapErrors: what Redis says since 7.2 where a key is absent or of another type.
func TestBitmapErrors(t *testing.T) {
	c := start(t, Options{}).dial(t)
	for command, want := range map[string]string{
		"BITCOUNT none x 0":       "-ERR value is not an integer or out of range\r\n",
		"BITCOUNT none 0":         "-ERR syntax error\r\n",
		"BITCOUNT none 0 1 FOO":   "-ERR syntax error\r\n",
		"BITCOUNT none x 1 FOO":   "-ERR value is not an integer or out of range\r\n",
		"BITCOUNT none 0 x FOO":   "-ERR value is not an integer or out of range\r\n",
		"BITPOS none 1 x":         "-ERR value is not an integer or out of range\r\n",
		"BITPOS none 1 0 1 FOO":   "-ERR syntax error\r\n",
		"BITPOS none 1 0 1 BIT 2": "-ERR syntax error\r\n",
	} {
		if got := c.answer(command, "end"); got != want {
			t.Errorf("%s: %q, not %q", command, got, want)
		}
	}
}

// TestBitmapsAgreeAtRandom: random commands on strings of all lengths.
func TestBitmapsAgreeAtRandom(t *testing.T) {
	long(t)
	here, there := bothServers(t)
	r := rand.New(rand.NewPCG(7, 8))
	offset := func() int { return r.IntN([]int{9, 100, 1000, 600_000}[r.IntN(4)]) }
	end := func() int { return offset()/8 - offset()/8 }
	width := func() string {
		return []string{"u1", "u8", "i8", "u16", "i13", "u31", "i32", "u63", "i64", "i1"}[r.IntN(10)]
	}
	for i := range 3000 {
		key, other := string("abc"[r.IntN(3)]), string("abc"[r.IntN(3)])
		unit := []string{"", " BIT", " BYTE"}[r.IntN(3)]
		value := []int64{0, 1, -1, 127, 1 << 31, -1 << 63, 1<<63 - 1, 3, -77}[r.IntN(9)]
		field := fmt.Sprintf(" OVERFLOW %s INCRBY %s %d %d SET %s %d %d GET %s %d", []string{"WRAP", "SAT", "FAIL"}[r.IntN(3)], width(), offset(), value, width(), offset(), value, width(), offset())
		command := []string{
			fmt.Sprintf("SETBIT %s %d %d", key, offset(), r.IntN(2)), fmt.Sprintf("SETBIT %s %d 1", key, offset()), fmt.Sprintf("GETBIT %s %d", key, offset()),
			fmt.Sprintf("BITCOUNT %s %d %d%s", key, end(), end(), unit), fmt.Sprintf("BITCOUNT %s", key), fmt.Sprintf("BITPOS %s %d %d %d%s", key, r.IntN(2), end(), end(), unit),
			fmt.Sprintf("BITPOS %s %d %d", key, r.IntN(2), end()), fmt.Sprintf("BITPOS %s %d", key, r.IntN(2)),
			fmt.Sprintf("BITOP %s %s %s %s", []string{"AND", "OR", "XOR"}[r.IntN(3)], key, other, string("abc"[r.IntN(3)])), fmt.Sprintf("BITOP NOT %s %s", key, other),
			"BITFIELD " + key + field, "BITFIELD " + key + field, fmt.Sprintf("SETRANGE %s %d %s", key, offset()/8, strings.Repeat("\xff", r.IntN(20))), fmt.Sprintf("GETRANGE %s %d %d", key, end(), end()),
			fmt.Sprintf("STRLEN %s", key), fmt.Sprintf("DEL %s", []string{key, "none", "none"}[r.IntN(3)]), fmt.Sprintf("COPY %s %s REPLACE", key, other),
		}[r.IntN(17)]
		agree(t, here, there, i, command)
	}
}
