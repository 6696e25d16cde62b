package redis

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/tracking"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/test/process"
)

// trackingTalk is who says what: b speaks RESP3, a and c RESP2. What is joined by & is sent at
// once; <b> is b's number. The same talk comes on a fresh server for each paragraph.
var trackingTalk = []string{
	// Options and their errors.
	`b CLIENT TRACKINGINFO|b CLIENT GETREDIR|b CLIENT CACHING YES|b CLIENT TRACKING|b CLIENT TRACKING x|b CLIENT TRACKING on x|b CLIENT TRACKING ON PREFIX p|b CLIENT TRACKING ON PREFIX
	b CLIENT TRACKING ON REDIRECT|b CLIENT TRACKING ON REDIRECT x|b CLIENT TRACKING ON REDIRECT 99999|b CLIENT TRACKING ON REDIRECT 0|b CLIENT TRACKING ON BCAST OPTIN|b CLIENT TRACKING ON BCAST OPTOUT
	b CLIENT TRACKING ON OPTIN OPTOUT|b CLIENT TRACKING ON BCAST PREFIX a PREFIX ab|b CLIENT TRACKING ON BCAST PREFIX ab PREFIX a|b CLIENT TRACKING off|b CLIENT TRACKING ON|b CLIENT TRACKING ON
	b CLIENT TRACKINGINFO|b CLIENT GETREDIR|b CLIENT TRACKING ON BCAST|b CLIENT CACHING YES|b CLIENT CACHING NO|b CLIENT CACHING x|b CLIENT TRACKING ON OPTIN|b CLIENT TRACKINGINFO
	b CLIENT TRACKING ON OPTOUT|b CLIENT CACHING NO|b CLIENT CACHING YES&CLIENT TRACKINGINFO&CLIENT TRACKINGINFO|b CLIENT TRACKINGINFO|b CLIENT TRACKING OFF BCAST|b CLIENT TRACKING ON OPTOUT NOLOOP
	b CLIENT CACHING YES|b CLIENT CACHING NO&CLIENT TRACKINGINFO|b CLIENT TRACKING OFF|b CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar|b CLIENT TRACKING ON BCAST PREFIX foobar|b CLIENT TRACKING ON BCAST PREFIX b
	b CLIENT TRACKING ON BCAST PREFIX zap|b CLIENT TRACKINGINFO|b CLIENT TRACKING ON BCAST|b CLIENT TRACKINGINFO|b CLIENT TRACKING ON BCAST|b CLIENT TRACKINGINFO|b CLIENT TRACKING ON BCAST PREFIX foo
	b CLIENT TRACKING ON|b SET foo 1|b CLIENT TRACKING OFF|b SET foo 2|b CLIENT TRACKINGINFO|b CLIENT TRACKING ON REDIRECT <a> REDIRECT <c>|b CLIENT TRACKING ON REDIRECT <a>|b RESET|b CLIENT TRACKINGINFO|b CLIENT GETREDIR|b GET k|a SET k 1`,
	// What is read is invalidated once.
	`b CLIENT TRACKING ON|b GET k|a SET k 1|a SET k 2|b GET k|b SET k 3|b SET k 4|b MGET k l m|a MSET k 1 l 2|a DEL m|a SET m 1|b GET m|a DEL m|b GET m|a DEL m|b LRANGE q 0 -1|a RPUSH q 1 2|b LLEN q|a LPOP q
	b HGETALL h|a HSET h f v|b HGET h f|a HSET h f w|b HEXISTS h f|a HDEL h f|b TTL m|a SET m 1 EX 100|b GET m|a EXPIRE m 50|b GET m|a PERSIST m|b EXISTS m n|a RENAME m n|b TYPE n|a COPY n o|a COPY n o REPLACE|b GET o
	a COPY n o REPLACE|b GET o|a MOVE o 1|b STRLEN k|a APPEND k x|b ZRANGE z 0 -1|a ZADD z 1 m|b ZSCORE z m|a ZADD z 1 m|a ZADD z 2 m|b SINTER s t|a SADD t x|a SADD s x|b SMEMBERS s|b SCARD t|a SINTERSTORE s t
	b GET k|a GETSET k 1|b GET k|a GETDEL k|b GET k|b SET k own|b GET k|b SET k other|b GETEX k|a SET k 1|b GETEX k PERSIST|a SET k 2|b OBJECT ENCODING k|a SET k 3|b SORT q|a RPUSH q 1|b SORT_RO q|a RPUSH q 2
	b XRANGE x - +|a XADD x 1-1 f v|b XLEN x|a XDEL x 1-1|b XREAD STREAMS x 0|a XADD x 2-1 f v|b BITCOUNT bits|a SETBIT bits 1 1|b PFCOUNT hll|a PFADD hll a|b GEOPOS geo m|a GEOADD geo 1 1 m
	b WATCH k|b UNWATCH|a SET k 5|b TOUCH k|a SET k 6|b GET k&GET k&GET l|a SET k 7|a SET l 2|b PING|b CLIENT TRACKING OFF|a SET l 3|b CLIENT TRACKING ON|a SET l 4|b GET l|a SET l 5`,
	// Transactions and scripts.
	`b CLIENT TRACKING ON|b MULTI&GET k&GET l&EXEC|a MULTI&SET k 1&SET l 2&SET k 3&EXEC|b MULTI&GET k&SET k 4&EXEC|a SET k 5|b MULTI&SET k 1&SET k 2&EXEC|b MULTI&GET k&DISCARD|a SET k 6
	b GET k|a MULTI&SET k 7&DISCARD|b GET k|a MULTI&SET k 8&NOPE&EXEC|a SET k 9|b EVAL return_redis.call('get',KEYS[1]) 2 k l|a SET k 1|a SET l 1|b EVAL return_redis.call('set',KEYS[1],1) 1 k|a SET k 2
	b EVAL return_redis.call('get','n') 0|a SET n 1|b EVAL_RO return_redis.call('get',KEYS[1]) 1 k|a EVAL return_redis.call('set',KEYS[1],3) 1 k|b EVAL return_1 1 k|a SET k 4|b GET k|a EVAL return_redis.call('set','k',4) 0
	b GET k|b MULTI&EVAL return_redis.call('get',KEYS[1]) 1 k&EXEC|a SET k 6`,
	// Modes.
	`b CLIENT TRACKING ON OPTIN|b GET k|a SET k 1|b CLIENT CACHING YES&GET k&GET l|a SET k 2|a SET l 2|b CLIENT CACHING YES&CLIENT GETNAME&GET k|a SET k 3|b CLIENT CACHING YES&PING&GET k|a SET k 4|b CLIENT CACHING YES&NOPE&GET k|a SET k 4
	b CLIENT CACHING YES&MULTI&GET k&GET l&EXEC&GET m|a MSET k 1 l 1 m 1|b MULTI&CLIENT CACHING YES&GET k&EXEC|a SET k 5|b CLIENT CACHING YES&GET&GET k|a SET k 6|b CLIENT TRACKING OFF|b CLIENT TRACKING ON OPTOUT|b GET k|a SET k 7
	b CLIENT CACHING NO&GET k&GET l|a SET k 8|a SET l 8|b CLIENT CACHING NO&MULTI&GET k&GET l&EXEC&GET m|a MSET k 9 l 9 m 9|b CLIENT TRACKING OFF|b CLIENT TRACKING ON NOLOOP|b GET k|b SET k 1|b GET k|b SET k 2|b GET k|a SET k 3
	b GET k|b MULTI&SET k 1&SET l 1&EXEC|b GET k|a SET k 4|b CLIENT TRACKINGINFO|b FLUSHALL|a FLUSHALL|b GET k|a FLUSHDB|a SET k 5`,
	// Broadcasting.
	`b CLIENT TRACKING ON BCAST|a SET k 1|a SET k 1|b SET k 2|b GET k|a MSET z 1 y 2 x 3 y 4|a MULTI&SET b 1&SET a 1&SET b 2&EXEC|a DEL nothing|a DEL a b|a EVAL redis.call('set','q',1)redis.call('set','p',1) 0|a FLUSHDB|a FLUSHALL|b FLUSHALL
	b CLIENT TRACKING OFF|a SET k 1|b CLIENT TRACKING ON BCAST PREFIX user: PREFIX x NOLOOP|a SET k 1|a SET user:1 1|a MSET user:2 1 k 1 user:1 1|b SET user:1 2|b MSET user:1 2 k 3|a MSET x 1 user:1 1|a SELECT 1|a SET user:1 1|a FLUSHDB
	c CLIENT TRACKING ON BCAST REDIRECT <b>|a SET m 1|a SET user:9 1|c SET user:8 1|c CLIENT TRACKINGINFO`,
	// To other connections, and their ends.
	`a SUBSCRIBE __redis__:invalidate|c CLIENT TRACKING ON REDIRECT <a>|c CLIENT GETREDIR|c CLIENT TRACKINGINFO|c GET k|b SET k 1|c GET k|c SET k 2|c MGET k l|b MSET k 1 l 2|b FLUSHALL|c FLUSHDB|a UNSUBSCRIBE|c GET k|b SET k 3|a SUBSCRIBE other|c GET k
	b SET k 4|c CLIENT TRACKING ON REDIRECT <b>|c GET k|a RESET|a SET k 5|a SUBSCRIBE other|c GET k|c SET k 6|c CLIENT TRACKING OFF|c CLIENT TRACKING ON|c GET k|b SET k 7|c CLIENT TRACKING OFF|c CLIENT GETREDIR
	b CLIENT TRACKING ON REDIRECT <a>|b GET k|c SET k 8|b CLIENT TRACKING ON REDIRECT <c>|b GET k|a PING|b SET k 9|b FLUSHALL`,
	// Databases: a client is told of names alone.
	`b CLIENT TRACKING ON|b GET k|b SELECT 1|b GET l|a SET k 1|a SELECT 1|a SET l 1|b MULTI&GET k&SELECT 0&GET k&EXEC|a SET k 2|b SELECT 0|b GET k|a SELECT 0|a SET k 4`,
}

var numbers = regexp.MustCompile(`<[abc]>`)

// TestTrackingAgrees: what three clients are sent is what a real server sends, in its order.
func TestTrackingAgrees(t *testing.T) {
	real := process.Redis(t)
	for n, talk := range trackingTalk {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			both := trackers(t, start(t, Options{DB: rangeDB(t, time.Now)}), &testServer{addr: real})
			for i, step := range strings.Split(strings.ReplaceAll(strings.TrimSpace(talk), "\n\t", "|"), "|") {
				both.step(i, strings.TrimSpace(step))
			}
		})
	}
}

// tracked are three clients of each of two servers.
type tracked struct {
	t       *testing.T
	clients [2]map[string]*rawConn
	ids     [2]map[string]string
}

func trackers(t *testing.T, here, there *testServer) *tracked {
	t.Helper()
	both := &tracked{t: t}
	for i, s := range []*testServer{here, there} {
		both.clients[i] = s.trio(t)
		both.ids[i] = map[string]string{}
		for name, c := range both.clients[i] {
			both.ids[i]["<"+name+">"] = strings.Trim(c.answer("CLIENT ID", "id"), ":\r\n")
		}
		both.clients[i]["c"].answer("FLUSHALL", "clean")
	}
	return both
}

// step lets one client say something, and compares what all are sent.
func (b *tracked) step(i int, step string) {
	b.t.Helper()
	who, say, _ := strings.Cut(step, " ")
	var heard [2][]string
	for n, clients := range b.clients {
		words := numbers.ReplaceAllStringFunc(say, func(name string) string { return b.ids[n][name] })
		clients[who].send(strings.ReplaceAll(arrays(strings.ReplaceAll(words, "&", "|")), "_redis.", " redis."))
		first := make([]byte, 1) // the reply has begun: what comes behind it is on its way
		if _, err := io.ReadFull(clients[who], first); err != nil {
			b.t.Fatal(step, err)
		}
		for _, name := range who + strings.ReplaceAll("abc", who, "") {
			text := clients[string(name)].heard(i)
			if string(name) == who {
				text = string(first) + text
			}
			text = string(name) + ": " + sorted(text)
			for name, id := range b.ids[n] {
				if !strings.Contains(say, "REDIR") && !strings.Contains(say, "TRACKINGINFO") {
					break
				}
				text = regexp.MustCompile(`:`+id+`\r`).ReplaceAllString(text, ":"+name+"\r")
			}
			heard[n] = append(heard[n], text)
		}
	}
	for k := range heard[0] {
		if heard[0][k] != heard[1][k] {
			b.t.Errorf("%s\n  here   %q\n  server %q", step, heard[0][k], heard[1][k])
		}
	}
}

var (
	invalidation = `(?:>2\r\n\$10\r\ninvalidate|\*3\r\n\$7\r\nmessage\r\n\$20\r\n__redis__:invalidate)\r\n\*1\r\n\$\d+\r\n.*\r\n`
	oneOfThem    = regexp.MustCompile(invalidation)
	several      = regexp.MustCompile(`(?:` + invalidation + `)+`)
)

// sorted puts invalidations that follow each other into one order.
func sorted(text string) string {
	return several.ReplaceAllStringFunc(text, func(run string) string {
		all := oneOfThem.FindAllString(run, -1)
		slices.Sort(all)
		return strings.Join(all, "")
	})
}

// TestTrackingAgreesAtRandom compares random talks of three clients.
func TestTrackingAgreesAtRandom(t *testing.T) {
	long(t)
	r := rand.New(rand.NewPCG(7, 8))
	for n, begin := range [][]string{
		{"b CLIENT TRACKING ON"}, {"b CLIENT TRACKING ON BCAST PREFIX k PREFIX l"}, {"b CLIENT TRACKING ON OPTOUT", "a SUBSCRIBE __redis__:invalidate", "c CLIENT TRACKING ON REDIRECT <a>"},
		{"b CLIENT TRACKING ON BCAST NOLOOP", "a SUBSCRIBE some", "c CLIENT TRACKING ON REDIRECT <a>"},
	} {
		both := trackers(t, start(t, Options{DB: rangeDB(t, time.Now)}), &testServer{addr: process.Redis(t)})
		for i, step := range begin {
			both.step(i, step)
		}
		for i := range 400 {
			key, other := string("klmn"[r.IntN(4)]), string("klmn"[r.IntN(4)])
			who := string("bbc"[r.IntN(3)])
			say := []string{
				"GET " + key, "MGET " + key + " " + other, "SET " + key + " v", "DEL " + key + " " + other, "MSET " + key + " 1 " + other + " 2", "INCR " + key, "RENAME " + key + " " + other,
				"MULTI&GET " + key + "&SET " + other + " 1&EXEC", "EXISTS " + key, "EXPIRE " + key + " 100", "GET " + key + "&GET " + other, "APPEND " + key + " x",
				"EVAL return{redis.call('get',KEYS[1]),redis.call('set',KEYS[2],3)} 2 " + key + " " + other, "FLUSHDB", "COPY " + key + " " + other, "TYPE " + key,
			}[r.IntN(16)]
			if n == 3 && strings.HasPrefix(say, "EVAL") { // Redis forgets NOLOOP in scripts
				continue
			}
			both.step(100+i, who+" "+say)
		}
	}
}

// hookEngine calls something between a transaction and its reply.
type hookEngine struct {
	kv.Engine
	hook atomic.Pointer[func()]
}

func (e *hookEngine) NewAttempt() kv.Attempt { return &hookAttempt{e.Engine.NewAttempt(), e} }

type hookAttempt struct {
	kv.Attempt
	e *hookEngine
}

func (a *hookAttempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	r, err := a.Attempt.Commit(req)
	if f := a.e.hook.Swap(nil); f != nil {
		(*f)()
	}
	return r, err
}

const invalidK = ">2|$10|invalidate|*1|$1|k|"

// TestTrackingBehindTheReply: a change that comes between a read and its reply is told behind
// the reply, in all modes (T3).
func TestTrackingBehindTheReply(t *testing.T) {
	for _, x := range []struct{ mode, read, reply string }{
		{"", "GET k", "$1|1|"}, {"BCAST", "GET k", "$1|1|"}, {"", "MULTI|GET k|EXEC", "+OK|+QUEUED|*1|$1|1|"}, {"OPTOUT", "MGET k", "*1|$1|1|"},
		{"", "EVAL return_redis.call('get',KEYS[1]) 1 k", "$1|1|"},
	} {
		e := &hookEngine{Engine: kvmem.New(stampNow)}
		c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
		other := start(t, Options{DB: kv.New(e.Engine, time.Now)}).dial(t)
		other.gets("+OK|", "SET k 1")
		c.send(arrays("HELLO 3|CLIENT TRACKING ON " + x.mode + "|ECHO ready"))
		c.through("ready\r\n")
		hook := func() { other.gets("+OK|", "SET k 2") }
		e.hook.Store(&hook)
		c.send(strings.ReplaceAll(arrays(x.read), "_redis.", " redis."))
		c.expect(crlf(x.reply + invalidK))
	}
}

// TestTrackingOfThePast: what is read from an earlier state may have changed before it was
// noted, and is invalidated right behind the reply (T4).
func TestTrackingOfThePast(t *testing.T) {
	e := newPast()
	s := start(t, Options{DB: kv.New(e, time.Now)})
	c, other := s.dial(t), s.dial(t)
	other.gets("+OK|", "SET k 1")
	c.send(arrays("HELLO 3|CLIENT TRACKING ON|BEGIN|ECHO ready"))
	c.through("ready\r\n")
	c.talk("GET k", "$1|1|"+invalidK)
	other.gets("+OK|", "SET k 2")
	c.talk("GET k", "$1|1|"+invalidK)
	c.talk("COMMIT", "+OK|")
	e.stop(t)
	other.gets("+OK|", "SET k 3")
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 1000", "+OK|")
	c.talk("GET k", "$1|2|"+invalidK)
	other.gets("+OK|", "SET k 4")
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 0|GET k", "+OK|$1|4|")
	other.gets("+OK|", "SET k 5")
	c.expect(crlf(invalidK))
}

// TestTrackingInDatabases: a key is one of its database, a swap is a change of everything, and
// namespaces have nothing to do with each other.
func TestTrackingInDatabases(t *testing.T) {
	const everything = ">2|$10|invalidate|_|"
	s := start(t, Options{DB: rangeDB(t, time.Now)})
	c, other := s.dial(t), s.dial(t)
	c.send(arrays("HELLO 3|CLIENT TRACKING ON|GET k|ECHO ready"))
	c.through("ready\r\n")
	other.gets("+OK|", "SELECT 1")
	other.gets("+OK|", "SET k 1")
	c.talk("PING", "+PONG|")
	c.talk("MULTI|SELECT 1|GET k|EXEC", "+OK|+QUEUED|+QUEUED|*2|+OK|$1|1|")
	other.gets("+OK|", "SET k 2")
	c.expect(crlf(invalidK))
	c.talk("GET k", "$1|2|")
	other.gets("+OK|", "SWAPDB 0 1")
	c.expect(crlf(everything))
	c.talk("GET k", "_|")
	other.gets("+OK|", "SET k 3")
	c.expect(crlf(invalidK))
	c.talk("SELECT 1", "+OK|") // a script reads a key in another database than it was noted in
	c.send(wordsOf("EVAL", "redis.call('select', 0) return redis.call('get', KEYS[1])", "1", "k"))
	c.expect(crlf("$1|2|" + invalidK))
}

// TestTrackingTable: CONFIG bounds the table, INFO and CLIENT LIST tell of it, and keys that end
// or are evicted have changed.
func TestTrackingTable(t *testing.T) {
	s := start(t, Options{DB: rangeDB(t, time.Now)})
	c, other := s.dial(t), s.dial(t)
	c.talk("MULTI|CLIENT TRACKING ON|EXEC", "+OK|-ERR Command not allowed inside a transaction|-EXECABORT Transaction discarded because of previous errors.|")
	c.send(arrays("HELLO 3|CLIENT TRACKING ON|ECHO ready"))
	c.through("ready\r\n")
	other.talk("CONFIG GET tracking-table-max-keys", "*2|$23|tracking-table-max-keys|$7|1000000|")
	other.gets("+OK|", "CONFIG SET tracking-table-max-keys 2")
	c.send(arrays("GET a|GET b"))
	c.expect(crlf("_|_|"))
	c.talk("GET k", "_|"+invalidK[:len(invalidK)-len("k|")])
	if gone := c.through("\r\n"); !slices.Contains([]string{"a\r\n", "b\r\n", "k\r\n"}, gone) {
		t.Errorf("%q", gone)
	}
	other.send(arrays("INFO all|ECHO end"))
	if got := other.through("end\r\n"); !strings.Contains(got, "tracking_clients:1\r\n") || !strings.Contains(got, "tracking_total_keys:2\r\n") ||
		!strings.Contains(got, "tracking_total_items:2\r\n") || !strings.Contains(got, "tracking_total_prefixes:0\r\n") {
		t.Errorf("%.4000q", got)
	}
	other.send(arrays("CLIENT LIST ID 1|ECHO end"))
	if got := other.through("end\r\n"); !strings.Contains(got, " flags=t ") || !strings.Contains(got, " redir=0 ") {
		t.Errorf("%q", got)
	}
	other.gets("+OK|", "CONFIG SET tracking-table-max-keys 0")
	other.gets("+OK|", "FLUSHALL")
	c.through("invalidate\r\n_\r\n")
	other.gets("+OK|", "SET k v PX 3000")
	c.send(arrays("GET k|ECHO end"))
	c.through("end\r\n")
	eventually(t, func() bool { return other.says("EXISTS", "k") == ":0|" })
	c.expect(crlf(invalidK))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.tracking.Stats() == tracking.Stats{} })
}

// TestTrackingEviction: a key that is evicted has changed.
func TestTrackingEviction(t *testing.T) {
	c := startCache(t, "allkeys-random")
	c.fill("k", 300, 0)
	b := c.dial(t)
	b.send(arrays("HELLO 3|CLIENT TRACKING ON BCAST|ECHO ready"))
	b.through("ready\r\n")
	gone := c.shrink(0.5)
	b.send(arrays("ECHO end"))
	if told := strings.Count(b.through("end\r\n"), "\r\nk"); gone == 0 || int64(told) != gone {
		t.Errorf("told of %d of %d keys", told, gone)
	}
}

// TestTrackingRedirectEnds: who redirects to a connection that has ended is told so, as by a
// real server.
func TestTrackingRedirectEnds(t *testing.T) {
	for _, s := range []*testServer{start(t, Options{DB: rangeDB(t, time.Now)}), {addr: process.Redis(t)}} {
		c, ear, other := s.dial(t), s.dial(t), s.dial(t)
		id := strings.Trim(ear.says("CLIENT", "ID"), ":|")
		own := strings.Trim(c.says("CLIENT", "ID"), ":|")
		c.send(arrays("HELLO 3|CLIENT TRACKING ON REDIRECT " + id + "|GET k|GET l|ECHO ready"))
		c.through("ready\r\n")
		ear.gets("+OK|", "QUIT")
		ear.expectEnd("")
		eventually(t, func() bool { return !strings.Contains(other.says("CLIENT", "LIST"), "id="+id+" ") })
		broken := ">2|$21|tracking-redir-broken|:" + id + "|"
		other.gets("+OK|", "SET k 1")
		c.expect(crlf(broken))
		c.talk("CLIENT TRACKINGINFO", "%3|$5|flags|~2|$2|on|$15|broken_redirect|$8|redirect|:"+id+"|$8|prefixes|*0|")
		if list := other.says("CLIENT", "LIST"); !regexp.MustCompile(`id=` + own + ` .* flags=tR .* redir=` + id + ` `).MatchString(list) {
			t.Error(list)
		}
		other.gets("+OK|", "FLUSHALL")
		c.expect(crlf(broken))
	}
}
