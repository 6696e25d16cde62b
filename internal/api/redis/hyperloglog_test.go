package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/data"
)

// hyperloglogTalk are commands whose replies are compared with a real server's, byte by byte.
var hyperloglogTalk = []string{
	"PFADD", "PFADD h", "PFADD h", "GET h", "PFADD h a b c", "PFADD h a b c", "GET h", "STRLEN h", "OBJECT ENCODING h", "TYPE h", "PFDEBUG DECODE h", "PFDEBUG ENCODING h", "PFADD i c d e f ''", "PFCOUNT i", "PFCOUNT i h", "PFCOUNT none", "PFCOUNT none h", "PFCOUNT",
	"PFMERGE d h i", "PFCOUNT d", "PFDEBUG DECODE d", "PFMERGE d", "PFMERGE e none", "PFMERGE e", "GET e", "PFCOUNT e", "PFMERGE", "EXPIRE h 1000", "PFADD h zzz", "PERSIST h", "SET s v", "PFADD s a", "PFCOUNT s", "PFCOUNT h s", "PFMERGE x s", "PFMERGE s h", "EXISTS x",
	"SET s HYLL", "PFADD s a", "SETRANGE s 20 x", "SETRANGE s 4 \x02", "PFADD s a", "PFCOUNT s h", "PFMERGE s h", "SETRANGE s 4 \x01", "PFMERGE s h", "PFCOUNT h s", "PFSELFTEST", "SET n 5", "PFADD n a", "LPUSH l a", "PFADD l a", "PFCOUNT l", "PFCOUNT h l", "PFMERGE l h", "PFMERGE x l",
	"PFDEBUG TODENSE i", "PFDEBUG TODENSE i", "PFDEBUG ENCODING i", "PFDEBUG DECODE i", "PFCOUNT i", "STRLEN i", "PFMERGE m i h", "PFDEBUG ENCODING m", "PFCOUNT m", "PFDEBUG ENCODING none", "PFDEBUG FOO h", "PFDEBUG FOO none", "PFDEBUG ENCODING", "PFDEBUG ENCODING l", "PFDEBUG GETREG h", "PFDEBUG ENCODING h",
	"MULTI|PFADD q a b|PFCOUNT q|PFMERGE q2 q|PFCOUNT q q2|EXEC", "COMMAND GETKEYS PFMERGE a b c", "COMMAND GETKEYS PFDEBUG ENCODING a",
}

func TestHyperLogLogsAgree(t *testing.T) { serversAgree(t, hyperloglogTalk) }

func TestHyperLogLogRowsAgree(t *testing.T) {
	familiesAgree(t, onData(data.HyperLogLogs))
}

// TestHyperLogLogBytesAgree: whatever is added in whatever order, the strings are Redis's, from
// the first element to long after they are dense.
func TestHyperLogLogBytesAgree(t *testing.T) {
	long(t)
	here, there := bothServers(t)
	r := rand.New(rand.NewPCG(13, 14))
	for i := range 700 {
		key := string("abc"[r.IntN(3)])
		var b strings.Builder
		for range 1 + r.IntN([]int{1, 3, 60}[r.IntN(3)]) {
			fmt.Fprintf(&b, " %x", r.Uint64N(1<<(4*uint(1+r.IntN(15)))))
		}
		agree(t, here, there, i, "PFADD "+key+b.String()+"|GET "+key)
		switch r.IntN(40) {
		case 0:
			agree(t, here, there, i, "DEL "+key)
		case 1:
			agree(t, here, there, i, fmt.Sprintf("PFMERGE %s %s|GET %s", key, string("abc"[r.IntN(3)]), key))
		}
		if i%10 == 0 { // of copies: Redis keeps what it has counted
			agree(t, here, there, i, "COPY a x REPLACE|COPY b y REPLACE|PFCOUNT x|PFCOUNT y|PFCOUNT a b c|PFMERGE z x y|PFDEBUG ENCODING z|PFCOUNT z")
		}
	}
}
