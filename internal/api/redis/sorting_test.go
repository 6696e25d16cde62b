package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/data"
)

// sortTalk are commands whose replies are compared with a real server's, byte by byte.
var sortTalk = []string{
	"RPUSH l 3 1 2 10 -5 1.5", "SORT", "SORT l", "SORT l DESC", "SORT l ASC", "SORT l ALPHA", "SORT l ALPHA DESC", "SORT l LIMIT 1 2", "SORT l LIMIT -1 2", "SORT l LIMIT 1 -1", "SORT l LIMIT 9 2", "SORT l LIMIT 0 0", "SORT l LIMIT x 1", "SORT l LIMIT 1 x", "SORT l LIMIT 1", "SORT l FOO", "SORT none", "SORT none LIMIT 1 2",
	"MSET w1 30 w2 20 w3 10 w10 5 o1 one o2 two o3 three", "HSET h1 f 9 g x", "HSET h2 f 8", "HSET h3 f 10", "SORT l BY w*", "SORT l BY w* DESC", "SORT l BY w* GET o*", "SORT l BY w* GET # GET o* GET h*->f", "SORT l BY h*->f", "SORT l BY h*->g ALPHA", "SORT l BY h*-> ALPHA", "SORT l BY nosort", "SORT l BY nosort DESC", "SORT l BY nosort LIMIT 1 2",
	"SORT l BY nosort DESC LIMIT 1 2", "SORT l BY nosort LIMIT 5 9", "SORT l BY nosort LIMIT 9 9", "SORT l BY nosort GET #", "SORT l GET fixed", "SORT l GET *", "SORT l GET h*", "SORT l BY *->f", "SORT l BY", "SORT l GET", "SORT l STORE", "SORT l STORE d", "LRANGE d 0 -1", "SORT l BY w* GET o* STORE d", "LRANGE d 0 -1", "SORT l LIMIT 0 0 STORE d", "EXISTS d",
	"SORT none STORE d", "SET d x EXAT 33000000000", "SORT l STORE d", "EXPIRETIME d", "SORT l DESC STORE l", "LRANGE l 0 -1", "SORT_RO l", "SORT_RO l STORE d", "SORT_RO l BY w* GET o* LIMIT 0 2", "RPUSH t b a '' c A", "SORT t", "SORT t ALPHA", "SORT t ALPHA DESC LIMIT 1 2", "RPUSH n 1 nan", "SORT n", "RPUSH e 5 '' 3", "RPUSH x 0x10 1e3 inf -inf", "SORT x",
	"SORT t BY w*", "SADD s 5 3 9", "SORT s", "SORT s BY nosort STORE d", "LRANGE d 0 -1", "SORT s BY w* ALPHA", "SADD words b a c", "SORT words", "SORT words ALPHA DESC", "ZADD z 3 a 2 b 1 c", "SORT z ALPHA", "SORT z", "SORT z BY nosort", "SORT z BY nosort DESC", "SORT z BY nosort LIMIT 1 1", "SORT z BY nosort DESC LIMIT 1 5",
	"SET str v", "SORT str", "SORT str STORE d", "SORT h1", "SORT l STORE str", "TYPE str", "MULTI|SORT l|SORT l STORE q|LRANGE q 0 -1|EXEC", "RPUSH dup 2 2 1 1", "SORT dup", "SORT dup BY w* GET #", "XADD st 1-1 f v", "SORT st",
	"COMMAND GETKEYS SORT l STORE d", "COMMAND GETKEYS SORT l BY store GET store STORE a STORE b", "COMMAND GETKEYS SORT l", "COMMAND GETKEYS SORT_RO l BY w*",
}

func TestSortAgrees(t *testing.T) { serversAgree(t, sortTalk) }

func TestSortRowsAgree(t *testing.T) { familiesAgree(t, onData(data.Sorting)) }

// TestSortAgreesAtRandom: lists, sets and sorted sets by whatever.
func TestSortAgreesAtRandom(t *testing.T) {
	long(t)
	here, there := bothServers(t)
	r := rand.New(rand.NewPCG(15, 16))
	for i := range 60 {
		var b strings.Builder
		for j := range 1 + r.IntN(40) {
			n := r.IntN(200)
			fmt.Fprintf(&b, "|RPUSH l%[1]d %[2]d|SADD s%[1]d %[2]d|ZADD z%[1]d %[3]d %[2]d", i%7, n, j)
			fmt.Fprintf(&b, "|SET by%d %d|HSET h%d f %d", n, r.IntN(50), n, r.IntN(1000))
		}
		key := fmt.Sprintf("%c%d", "lsz"[r.IntN(3)], i%7)
		by := []string{"", "BY by*", "BY h*->f", "BY h*->f", "BY nosort"}[r.IntN(5)]
		if key[0] == 's' && by == "BY nosort" { // a set has no order
			by = ""
		}
		options := []string{"", "DESC", "LIMIT 3 10", "DESC LIMIT 1 4", "GET # GET by* GET h*->f"}[r.IntN(5)]
		if r.IntN(2) == 0 && by == "" {
			options += " ALPHA"
		}
		command := b.String()[1:] + fmt.Sprintf("|SORT %s %s %s|SORT %s %s %s STORE d|LRANGE d 0 -1", key, by, options, key, by, options)
		agree(t, here, there, i, command)
	}
}
