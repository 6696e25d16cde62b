package redis

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/blocking"
	"github.com/stratadb/strata/internal/api/redis/data"
)

// streamTalk are commands whose replies are compared with a real server's, byte by byte.
var streamTalk = []string{
	"XADD", "XADD s", "XADD s *", "XADD s * f", "XADD s * f v g", "XADD s 1-1 f v", "XADD s 1-1 f v", "XADD s 0-0 f v", "XADD s 0 f v", "XADD new 0-0 f v", "EXISTS new", "XADD s 1 f v", "XADD s 2 f v g w", "XADD s 2-* f v", "XADD s 5-* f v",
	"XADD s 1-* f v", "XADD s 5-1 f v", "XADD s x f v", "XADD s 5-x f v", "XADD s 5- f v", "XADD s -5 f v", "XADD s - f v", "XADD s + f v", "XADD s 5-1-1 f v", "XADD s *-1 f v", "XADD s 5-** f v", "XADD s 007-08 f v", "XADD s 99999999999999999999 f v",
	"XADD s 18446744073709551615-18446744073709551615-1 f v", "XADD none NOMKSTREAM 1-1 f v", "XADD none NOMKSTREAM * f v", "EXISTS none", "XADD s NOMKSTREAM 8-1 f v", "XADD s nomkstream 8-1 f v", "XADD s MAXLEN 1", "XADD s MAXLEN 1 *", "XADD s MAXLEN x 9-1 f v",
	"XADD s MAXLEN -1 9-1 f v", "XADD s MAXLEN ~ x 9-1 f v", "XADD s MAXLEN = 3 9-1 f v", "XADD s MINID 2-1 9-2 f v", "XADD s MINID = x 9-3 f v", "XADD s MAXLEN 5 MINID 3 9-3 f v", "XADD s LIMIT 5 9-3 f v", "XADD s LIMIT 0 9-3 f v", "XADD s MAXLEN 5 LIMIT 5 9-4 f v",
	"XADD s MAXLEN ~ 5 LIMIT 5 9-4 f v", "XADD s MAXLEN ~ 5 LIMIT -5 9-5 f v", "XADD s MAXLEN ~ 5 LIMIT x 9-5 f v", "XADD s LIMIT 5 MAXLEN ~ 2 9-5 f v", "XADD s MAXLEN", "XADD s 9-6 a 1 b", "XRANGE s - +", "XLEN s", "XLEN none", "TYPE s", "OBJECT ENCODING s",
	"XADD t 0-* f v", "XADD t 18446744073709551615-18446744073709551614 f v", "XADD t * f v", "XADD t * f v", "XADD t 1-1 f v", "XADD t 18446744073709551615-* f v", "XLEN t", "DEL t",
	"XADD r 1-1 a 1", "XADD r 1-2 a 2", "XADD r 2-1 a 3", "XADD r 2-5 a 4", "XADD r 3-0 a 5 b ''", "XRANGE r - +", "XRANGE r 1 2", "XRANGE r 1-2 2-1", "XRANGE r (1-1 2", "XRANGE r (1-1 (2-5", "XRANGE r 2 1", "XRANGE r - + COUNT 2", "XRANGE r - + COUNT 0", "XRANGE r - + COUNT -1",
	"XRANGE r - + COUNT x", "XRANGE r - + COUNT", "XRANGE r - + FOO 1", "XRANGE r x +", "XRANGE r - x", "XRANGE r (- +", "XRANGE r - (+", "XRANGE r ( +", "XRANGE r (18446744073709551615-18446744073709551615 +", "XRANGE r - (0-0", "XRANGE r - (0", "XRANGE none - +", "XRANGE none - + COUNT 0",
	"XRANGE none x +", "XREVRANGE r + -", "XREVRANGE r 2 1", "XREVRANGE r + - COUNT 2", "XREVRANGE r (2-5 (1-1", "XREVRANGE r - +", "XREVRANGE r x -", "XRANGE r + -", "XRANGE r 3 3 COUNT 1 COUNT 5",
	"XDEL r 1-2", "XDEL r 1-2 9-9", "XDEL r x", "XDEL r 1-1 x", "XDEL none 1-1", "XDEL none x", "XDEL r", "XINFO STREAM r", "XDEL r 1-1 2-1 2-1", "XRANGE r - +", "XINFO STREAM r", "XTRIM r MAXLEN 1", "XRANGE r - +", "XTRIM r MAXLEN 0", "XTRIM r MAXLEN 0", "XLEN r", "EXISTS r", "XINFO STREAM r", "XADD r 2-9 f v",
	"XADD r 3-9 f v", "XINFO STREAM r", "XADD r 4-0 f v", "XADD r 5-0 f v", "XTRIM r MINID 4", "XTRIM r MINID = 5-0", "XTRIM r MINID ~ 6", "XTRIM r MAXLEN ~ 0", "XTRIM r MAXLEN ~ 1 LIMIT 1", "XTRIM r", "XTRIM r MAXLEN", "XTRIM r MAXLEN x", "XTRIM r FOO 1", "XTRIM r MAXLEN 1 FOO", "XTRIM r MAXLEN 1 MINID 1",
	"XTRIM r LIMIT 1 LIMIT 2", "XTRIM none MAXLEN 0", "XTRIM none MAXLEN x", "XTRIM r MAXLEN = 1 LIMIT 1", "XTRIM r MINID", "XTRIM r MAXLEN 1 2",
	"XSETID r 5-0", "XSETID r 4-0", "XSETID r 9-0 ENTRIESADDED 100 MAXDELETEDID 8-0", "XINFO STREAM r", "XSETID r x", "XSETID r 9-0 ENTRIESADDED 0", "XSETID r 9-0 ENTRIESADDED -1", "XSETID r 9-0 ENTRIESADDED x", "XSETID r 9-0 MAXDELETEDID 10-0", "XSETID r 9-0 MAXDELETEDID x", "XSETID r 9-0 FOO 1",
	"XSETID r 9-0 ENTRIESADDED", "XSETID none 1-1", "XSETID none x", "XSETID r -", "DEL r s",
	"XREAD", "XREAD COUNT 1 STREAMS s", "XREAD STREAMS s 0", "XREAD STREAMS none 0", "XREAD STREAMS none $", "XADD s 1-1 f 1", "XADD s 2-1 f 2", "XADD s 3-1 f 3", "XREAD STREAMS s 0", "XREAD COUNT 1 STREAMS s 0", "XREAD COUNT 0 STREAMS s 0", "XREAD COUNT -1 STREAMS s 2", "XREAD STREAMS s 3-1", "XREAD STREAMS s $",
	"XREAD STREAMS s 99", "XREAD STREAMS s none 0 0", "XREAD STREAMS s s 0 2", "XREAD COUNT x STREAMS s 0", "XREAD BLOCK x STREAMS s 0", "XREAD BLOCK -1 STREAMS s 0", "XREAD BLOCK 0 STREAMS s 0", "XREAD BLOCK 1 STREAMS s 3-1", "XREAD BLOCK 1 STREAMS s $",
	"XREAD BLOCK 5 COUNT 1 STREAMS none 0", "XREAD STREAMS s >", "XREAD STREAMS s x", "XREAD STREAMS s -", "XREAD FOO STREAMS s 0", "XREAD GROUP g c STREAMS s 0", "XREAD NOACK STREAMS s 0", "XREAD COUNT 1 BLOCK 1", "XREAD STREAMS s 18446744073709551615-18446744073709551615", "XREAD BLOCK 1 STREAMS s 18446744073709551615",
	"XREADGROUP GROUP g c STREAMS s", "XREADGROUP GROUP g c STREAMS s >", "XREADGROUP GROUP g c STREAMS none >", "XREADGROUP GROUP g c COUNT 1 BLOCK 1", "XREADGROUP COUNT 1 COUNT 2 STREAMS s >", "XREADGROUP GROUP g STREAMS s > >", "XGROUP CREATE none g $", "XGROUP CREATE s g x", "XGROUP CREATE s g 0", "XGROUP CREATE s g 0",
	"XGROUP CREATE s g2 $ ENTRIESREAD 2", "XGROUP CREATE s g3 2-1 ENTRIESREAD -2", "XGROUP CREATE s g3 2-1 ENTRIESREAD x", "XGROUP CREATE s g3 2-1 FOO", "XGROUP CREATE s g3 - ", "XGROUP CREATE s g3", "XGROUP CREATE m g $ MKSTREAM", "XGROUP CREATE m g2 5-5 MKSTREAM ENTRIESREAD 3", "TYPE m", "XLEN m", "XINFO STREAM m", "XGROUP FOO s g",
	"XGROUP", "XGROUP CREATE none g x", "XGROUP CREATE none g x MKSTREAM", "EXISTS none", "XGROUP HELP", "XINFO HELP", "XINFO", "XINFO FOO s", "XINFO STREAM none", "XINFO GROUPS none", "XINFO CONSUMERS none g", "XINFO STREAM s FOO", "XINFO STREAM s FULL COUNT", "XINFO STREAM s FULL COUNT x", "XINFO STREAM s FULL FOO 1", "XINFO GROUPS",
	"XINFO GROUPS s g", "XREADGROUP GROUP g c COUNT 1 STREAMS s >", "XREADGROUP GROUP g c STREAMS s 0", "XREADGROUP GROUP g c STREAMS s 1-1", "XREADGROUP GROUP g d STREAMS s >", "XREADGROUP GROUP g d STREAMS s >", "XREADGROUP GROUP g d BLOCK 1 STREAMS s >", "XREADGROUP GROUP g d COUNT 1 STREAMS s 0", "XREADGROUP GROUP g e STREAMS s 0",
	"XREADGROUP GROUP g2 c STREAMS s m > >", "XREADGROUP GROUP g2 c STREAMS s 0", "XREADGROUP GROUP g d STREAMS s $", "XREADGROUP GROUP g d STREAMS s x", "XREADGROUP GROUP g d STREAMS s >x", "XREADGROUP GROUP g d BLOCK 0 STREAMS s 0", "XINFO GROUPS s", "XPENDING s g", "XPENDING s g - + 10", "XPENDING s g - + 10 d", "XPENDING s g - + 10 nobody",
	"XPENDING s g (1-1 (3-1 10", "XPENDING s g - + 1", "XPENDING s g - + 0", "XPENDING s g - + -1", "XPENDING s g - + x", "XPENDING s g x + 1", "XPENDING s g - x 1", "XPENDING s g - +", "XPENDING s g IDLE 100000 - + 10", "XPENDING s g IDLE 0 - + 10 c", "XPENDING s g IDLE x - + 10", "XPENDING s g IDLE 1 - +", "XPENDING s none", "XPENDING none g",
	"XPENDING s none - + 1", "XPENDING s g2", "XPENDING s g - + 10 c d", "XPENDING s g - + 10 c d e f", "XPENDING s g (18446744073709551615-18446744073709551615 + 1", "XACK s g 1-1", "XACK s g 1-1", "XACK s g x", "XACK s g 2-1 x", "XACK s none x", "XACK none g 1-1", "XACK s g 9-9", "XPENDING s g", "XREADGROUP GROUP g c STREAMS s 0",
	"XADD s 4-1 f 4", "XADD s 5-1 f 5", "XREADGROUP GROUP g c NOACK COUNT 1 STREAMS s >", "XPENDING s g - + 10", "XREADGROUP GROUP g c STREAMS s >", "XDEL s 3-1", "XREADGROUP GROUP g d STREAMS s 0", "XINFO GROUPS s", "XCLAIM s g e 0 2-1", "XPENDING s g - + 10", "XCLAIM s g e 0 2-1 JUSTID", "XCLAIM s g e 1000000 2-1", "XCLAIM s g e 0 3-1", "XPENDING s g - + 10",
	"XCLAIM s g e 0 9-9 FORCE", "XCLAIM s g e 0 4-1", "XCLAIM s g e 0 4-1 FORCE", "XCLAIM s g f 0 4-1 2-1 5-1 RETRYCOUNT 7 IDLE 0", "XPENDING s g - + 10", "XCLAIM s g f 0 4-1 TIME 1000 JUSTID", "XCLAIM s g f 0 4-1 RETRYCOUNT 0", "XPENDING s g - + 10", "XCLAIM s g f x 4-1", "XCLAIM s g f 0 4-1 FOO", "XCLAIM s g f 0 4-1 IDLE x", "XCLAIM s g f 0 4-1 TIME x", "XCLAIM s g f 0 4-1 RETRYCOUNT x", "XCLAIM s g f 0 4-1 LASTID x",
	"XCLAIM s g f 0 4-1 IDLE", "XCLAIM s g f 0 x", "XCLAIM s none f x 4-1", "XCLAIM none g f 0 4-1", "XCLAIM s g f -5 4-1 LASTID 9-9", "XINFO GROUPS s", "XCLAIM s g f 0", "XAUTOCLAIM s g h 0 0", "XPENDING s g - + 10", "XAUTOCLAIM s g i 0 0 COUNT 1", "XAUTOCLAIM s g i 0 (2-1 COUNT 1 JUSTID", "XAUTOCLAIM s g i 1000000 0", "XAUTOCLAIM s g i 0 9-9",
	"XAUTOCLAIM s g i 0 0 COUNT 0", "XAUTOCLAIM s g i 0 0 COUNT x", "XAUTOCLAIM s g i 0 0 COUNT -1", "XAUTOCLAIM s g i x 0", "XAUTOCLAIM s g i 0 x", "XAUTOCLAIM s g i 0 0 FOO", "XAUTOCLAIM s none i 0 0", "XAUTOCLAIM none g i 0 0", "XAUTOCLAIM none g i x 0", "XDEL s 4-1", "XAUTOCLAIM s g j 0 0", "XPENDING s g - + 10",
	"XGROUP CREATECONSUMER s g new", "XGROUP CREATECONSUMER s g new", "XGROUP CREATECONSUMER s none new", "XGROUP CREATECONSUMER none g new", "XGROUP DELCONSUMER s g j", "XGROUP DELCONSUMER s g nobody", "XGROUP DELCONSUMER s none j", "XGROUP DELCONSUMER none g j", "XGROUP SETID s g 0", "XGROUP SETID s g $ ENTRIESREAD 2", "XGROUP SETID s g - ENTRIESREAD -1",
	"XGROUP SETID s none 0", "XGROUP SETID none g 0", "XGROUP SETID s g x", "XGROUP SETID s g 0 MKSTREAM", "XGROUP SETID s g 0 ENTRIESREAD", "XINFO GROUPS s", "XREADGROUP GROUP g k STREAMS s >", "XGROUP SETID s g 0", "XREADGROUP GROUP g l STREAMS s >", "XPENDING s g", "XPENDING s g - + 10", "XINFO CONSUMERS s g", "XINFO CONSUMERS s none", "XINFO STREAM s FULL", "XINFO STREAM s FULL COUNT 1",
	"XINFO STREAM s FULL COUNT 0", "XINFO STREAM s FULL COUNT -3", "COPY s s2", "XINFO GROUPS s2", "XPENDING s2 g - + 10", "RENAME s2 s3", "XREADGROUP GROUP g k STREAMS s3 0", "XGROUP DESTROY s3 g", "XGROUP DESTROY s3 g", "XGROUP DESTROY none g", "XINFO GROUPS s3", "XADD s3 9-1 f v", "EXPIREAT s3 33000000000", "XADD s3 9-2 f v", "EXPIRETIME s3", "DEL s3", "EXISTS s3",
	"SET str v", "XADD str 1-1 f v", "XADD str 0-0 f v", "XLEN str", "XRANGE str - +", "XRANGE str x +", "XDEL str 1-1", "XDEL str x", "XTRIM str MAXLEN 0", "XSETID str 1-1", "XREAD STREAMS str 0", "XREAD STREAMS none str 0 0", "XREADGROUP GROUP g c STREAMS str >", "XGROUP CREATE str g 0", "XGROUP CREATE str g x MKSTREAM", "XGROUP DESTROY str g", "XACK str g 1-1", "XACK str g x",
	"XCLAIM str g c 0 1-1", "XCLAIM str g c x 1-1", "XAUTOCLAIM str g c 0 0", "XPENDING str g", "XINFO STREAM str", "XINFO STREAM str FOO", "XINFO GROUPS str", "XGROUP SETID str g x", "GET s", "LPUSH s a", "OBJECT REFCOUNT s", "SCAN 0 TYPE stream MATCH m",
	"MULTI|XADD q 1-1 f v|XREAD BLOCK 0 STREAMS q 0|XREAD BLOCK 0 STREAMS q $|XGROUP CREATE q g 0|XREADGROUP GROUP g c BLOCK 0 STREAMS q >|XREADGROUP GROUP g c BLOCK 0 STREAMS q >|XACK q g 1-1|XRANGE q - +|EXEC",
	"COMMAND GETKEYS XREAD COUNT 1 STREAMS a b 0 0", "COMMAND GETKEYS XREADGROUP GROUP streams c BLOCK 1 STREAMS a b 0 0", "COMMAND GETKEYS XREAD STREAMS a b 0", "COMMAND GETKEYS XREAD FOO STREAMS a 0", "COMMAND GETKEYS XGROUP CREATE s g 0", "COMMAND GETKEYS XINFO STREAM s", "COMMAND GETKEYS XADD s * f v",
}

var (
	streamTimes = regexp.MustCompile(`:1\d{12}\r\n`)
	streamIdle  = regexp.MustCompile(`(\*4\r\n\$\d+\r\n\d+-\d+\r\n\$\d+\r\n[^\r]*\r\n):\d+`)
	streamSince = regexp.MustCompile(`\$(8\r\ninactive|11\r\nactive-time)\r\n:-?\d+\r\n`)
	streamAgo   = regexp.MustCompile(`(\$4\r\nidle\r\n):\d+`)
)

// comparable takes times out of a reply, and what Redis tells since 7.2.
func comparable(command, reply string) string {
	reply = streamTimes.ReplaceAllString(reply, ":T\r\n")
	reply = streamAgo.ReplaceAllString(streamIdle.ReplaceAllString(reply, "$1:I"), "$1:I")
	if strings.Contains(command, "XINFO CONSUMERS") || strings.Contains(command, "FULL") {
		reply = strings.ReplaceAll(reply, ":T\r\n", ":-1\r\n")
		if streamSince.MatchString(reply) {
			reply = streamSince.ReplaceAllString(reply, "")
			for _, c := range [][2]string{{"*8\r\n$4\r\nname", "*6\r\n$4\r\nname"}, {"%4\r\n$4\r\nname", "%3\r\n$4\r\nname"}, {"*10\r\n$4\r\nname", "*8\r\n$4\r\nname"}, {"%5\r\n$4\r\nname", "%4\r\n$4\r\nname"}} {
				reply = strings.ReplaceAll(reply, c[0], c[1])
			}
		}
	}
	return reply
}

func TestStreamsAgree(t *testing.T) {
	serversAgreeBut(t, streamTalk, func(command, ours, theirs string) (string, string) {
		ours, theirs = comparable(command, ours), comparable(command, theirs)
		theirs = strings.Replace(theirs, "    Prints this help.", "    Print this help.", 1)
		theirs = strings.NewReplacer("Unbalanced XREAD list of streams: for each stream key an ID or '$'", "Unbalanced 'xread' list of streams: for each stream key an ID or '$'").Replace(theirs)
		if strings.HasPrefix(command, "XREADGROUP") { // other words since 7.2
			theirs = strings.Replace(theirs, "Unbalanced 'xread' list of streams: for each stream key an ID or '$'", "Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>'", 1)
		}
		return ours, theirs
	})
}

func TestStreamRowsAgree(t *testing.T) {
	familiesAgree(t, onData(data.Streams), onData(data.StreamGroups), onData(data.StreamContainers), onWaiting(blocking.Streams))
}

// TestStreamsAgreeAtRandom: random commands on streams with groups.
func TestStreamsAgreeAtRandom(t *testing.T) {
	long(t)
	here, there := bothServers(t)
	r := rand.New(rand.NewPCG(9, 10))
	next := 0
	for i := range 6000 {
		key, group, who := string("st"[r.IntN(2)]), string("gh"[r.IntN(2)]), string("abc"[r.IntN(3)])
		next += r.IntN(2)
		from := r.IntN(30) + max(next-30, 0)
		to := from + r.IntN(20)
		// Since 7.2 whoever reads is a consumer, whether there is something or not.
		consumers := fmt.Sprintf("XGROUP CREATECONSUMER %[1]s %[2]s a|XGROUP CREATECONSUMER %[1]s %[2]s b|XGROUP CREATECONSUMER %[1]s %[2]s c", key, group)
		command := []string{
			fmt.Sprintf("XADD %s %d-* f %d", key, next, i), fmt.Sprintf("XADD %s %d-* f %d g x", key, next, i), fmt.Sprintf("XADD %s MAXLEN 20 %d-* f %d", key, next, i),
			fmt.Sprintf("XADD %s MINID %d %d-* f v", key, max(next-20, 0), next), fmt.Sprintf("XRANGE %s %d %d", key, from, to), fmt.Sprintf("XREVRANGE %s %d %d COUNT 3", key, to, from),
			fmt.Sprintf("XDEL %s %d-0 %d-1", key, from, to), fmt.Sprintf("XLEN %s", key), fmt.Sprintf("XREAD COUNT 3 STREAMS s t %d %d", from, to),
			fmt.Sprintf("XGROUP CREATE %s %s %d MKSTREAM|%s", key, group, from, consumers), fmt.Sprintf("XGROUP SETID %s %s %d", key, group, from), fmt.Sprintf("XGROUP DESTROY %s %s", key, []string{group, "none", "none"}[r.IntN(3)]),
			fmt.Sprintf("XGROUP DELCONSUMER %s %s %s|%s", key, group, who, consumers), fmt.Sprintf("XREADGROUP GROUP %s %s COUNT %d STREAMS %s >", group, who, r.IntN(4), key),
			fmt.Sprintf("XREADGROUP GROUP %s %s COUNT 2 STREAMS %s >", group, who, key), fmt.Sprintf("XREADGROUP GROUP %s %s NOACK COUNT 1 STREAMS %s >", group, who, key),
			fmt.Sprintf("XREADGROUP GROUP %s %s COUNT %d STREAMS %s %d", group, who, r.IntN(4), key, from), fmt.Sprintf("XACK %s %s %d-0 %d-1 %d-0", key, group, from, from, to),
			fmt.Sprintf("XACK %s %s %d-0 %d-1 %d-2", key, group, from, from, from), fmt.Sprintf("XCLAIM %s %s %s 0 %d-0 %d-1 %s", key, group, who, from, to, []string{"", "FORCE", "JUSTID", "RETRYCOUNT 3"}[r.IntN(4)]),
			fmt.Sprintf("XAUTOCLAIM %s %s %s 0 %d COUNT %d", key, group, who, from, 1+r.IntN(4)), fmt.Sprintf("XPENDING %s %s", key, group), fmt.Sprintf("XPENDING %s %s %d %d 10", key, group, from, to),
			fmt.Sprintf("XPENDING %s %s - + 10 %s", key, group, who), fmt.Sprintf("XINFO GROUPS %s", key), fmt.Sprintf("XINFO STREAM %s", key), fmt.Sprintf("XINFO STREAM %s FULL", key), fmt.Sprintf("XTRIM %s MAXLEN %d", key, 5+r.IntN(30)),
			fmt.Sprintf("XSETID %s %d", key, next+3), fmt.Sprintf("COPY %s %s REPLACE", key, string("st"[r.IntN(2)])), fmt.Sprintf("DEL %s", []string{key, "x", "x", "x"}[r.IntN(4)]),
		}[r.IntN(31)]
		ours, theirs := comparable(command, here.answer(command, fmt.Sprint("end", i))), comparable(command, there.answer(command, fmt.Sprint("end", i)))
		if strings.HasPrefix(command, "XINFO STREAM") { // about nodes, which are not the same
			nodes := regexp.MustCompile(`(radix-tree-(keys|nodes)\r\n):\d+`)
			ours, theirs = nodes.ReplaceAllString(ours, "$1"), nodes.ReplaceAllString(theirs, "$1")
		}
		if ours != theirs {
			t.Fatalf("%d %s\n  here   %q\n  server %q", i, command, ours, theirs)
		}
	}
}
