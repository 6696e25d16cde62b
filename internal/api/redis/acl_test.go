package redis

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/test/process"
)

// says sends one command of words and returns the reply, its line ends as bars.
func (c *rawConn) says(words ...string) string {
	c.t.Helper()
	c.sendWords(words...)
	return strings.ReplaceAll(c.reply(), "\r\n", "|")
}

// reply reads one reply of RESP2, as it stands.
func (c *rawConn) reply() string {
	c.t.Helper()
	text := c.through("\r\n")
	n, err := strconv.Atoi(strings.TrimSpace(text[1:]))
	if err != nil || n < 0 {
		return text
	}
	switch text[0] {
	case '$':
		rest := make([]byte, n+2)
		if _, err := io.ReadFull(c, rest); err != nil {
			c.t.Fatal(err)
		}
		text += string(rest)
	case '*':
		for range n {
			text += c.reply()
		}
	}
	return text
}

func (c *rawConn) sendWords(words ...string) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	c.send(b.String())
}

// gets fails unless the words of a command, at blanks, are answered so.
func (c *rawConn) gets(want, command string) {
	c.t.Helper()
	if got := c.says(strings.Fields(command)...); got != want {
		c.t.Errorf("%s\n  got  %q\n  want %q", command, got, want)
	}
}

// as is a client of a user.
func (s *testServer) as(t *testing.T, user string) *rawConn {
	t.Helper()
	c := s.dial(t)
	c.sendWords("AUTH", user, "pw")
	c.expect("+OK\r\n")
	return c
}

// ACL rules and calls for the comparison with a real server.
var (
	aclRules = strings.Fields(`on off nopass resetpass >pw ~a* ~b ~{t}* %R~a* %W~a* %R~b %W~b %R~* %W~* %RW~c allkeys resetkeys &news &n* &a* allchannels resetchannels
		+get -get +set -set +mget +mset -mset +config +config|get -config|get -config +client|list -client +@read -@read +@write -@write +@string +@hash -@hash +@list
		+@set +@sortedset +@stream +@geo +@bitmap +@keyspace -@keyspace +@fast -@fast +@slow -@slow +@dangerous -@dangerous +@admin -@admin +@connection +@pubsub -@pubsub
		+@transaction +@blocking +select|1 +select|2 -select +get|a +@all -@all +sort -sort +object|encoding -object|help +object allcommands reset clearselectors`)
	aclCalls = strings.Split(strings.TrimSpace(`GET a1|GET b|GET c|SET a1 v|SET b v|SET a1 v GET|SET b v NX|SET b v GET KEEPTTL|MGET a1 b|MGET a1 a2|MSET a1 1 b 2|MSETNX c 1 b 2|EXISTS a1 b|TYPE b|TYPE zz|TOUCH a1 zz
		DEL a1|DEL a1 b c|UNLINK b|RENAME a1 b|RENAMENX b c|COPY a1 b|COPY b a1 REPLACE|EXPIREAT a1 99999999999|EXPIRETIME b|PERSIST b|OBJECT ENCODING a1|OBJECT HELP|APPEND a1 x|STRLEN a1|STRLEN b|GETSET b x|GETDEL b|GETEX a1 PERSIST
		INCR a2|INCRBYFLOAT b 1|SETRANGE b 1 x|GETRANGE b 0 1|LCS a1 b|SETBIT a3 7 1|BITCOUNT a3|BITOP AND b a1 a3|BITFIELD b GET u8 0|BITFIELD b SET u8 0 1|BITFIELD a3 GET u8 0 OVERFLOW WRAP|BITFIELD_RO b GET u8 0
		HSET ah f v|HGET ah f|HDEL ah f|HGETALL ah|HLEN bh|HEXISTS b f|HINCRBY ah n 1|LPUSH al x|RPOP al|LLEN b|LRANGE al 0 -1|LMOVE al b LEFT LEFT|RPOPLPUSH al b|BLMOVE al b LEFT LEFT 0.01|BLPOP al b 0.01
		LMPOP 2 al b LEFT|LMPOP x al b LEFT|BLMPOP 0.01 1 al LEFT|SADD as x|SMEMBERS as|SMOVE as b x|SINTER as b|SINTERCARD 2 as b|SINTERSTORE b as|SUNIONSTORE as b c|SDIFFSTORE c b as|SPOP as|SRANDMEMBER as 0|SCARD b
		ZADD az 1 x|ZRANGE az 0 -1|ZRANGESTORE b az 0 -1|ZUNIONSTORE b 2 az c|ZUNION 2 az b|ZUNION 1 az|ZDIFF 2 az b|ZINTERSTORE az 1 b|ZINTERCARD 2 az b|ZMPOP 1 az MIN|BZMPOP 0.01 2 az b MIN|BZPOPMIN az 0.01|ZCARD b|ZINCRBY b 1 x|ZPOPMIN az
		XADD ax 1-1 f v|XLEN ax|XRANGE ax - +|XREAD STREAMS ax 0|XREAD COUNT 1 STREAMS ax b 0 0|XGROUP CREATE ax g 0 MKSTREAM|XGROUP DESTROY b g|XREADGROUP GROUP g c STREAMS ax >|XDEL ax 1-1|XTRIM ax MAXLEN 0|XINFO STREAM b|XINFO HELP
		GEOADD ag 1 1 x|GEOPOS ag x|GEORADIUS ag 1 1 1 m|GEORADIUS ag 1 1 1 m STORE b|GEORADIUS ag 1 1 1 m STOREDIST b|GEORADIUSBYMEMBER ag x 1 m STORE b|GEOSEARCHSTORE b ag FROMMEMBER x BYRADIUS 1 m|PFADD ap x|PFCOUNT ap b|PFMERGE b ap
		SORT al|SORT al STORE b|SORT al BY nosort|SORT al BY x*|SORT al GET #|SORT al GET b*|SORT_RO al|SORT_RO al BY x* GET b|SORT b LIMIT 0 1 STORE a1|SORT al STORE b STORE c|DUMP b|RESTORE b 0 x|MOVE b 1|SELECT 1|SELECT 2|SELECT 0
		PUBLISH news x|PUBLISH nobody x|PUBLISH a x|SPUBLISH news x|SUBSCRIBE|PUBSUB NUMPAT|CONFIG GET maxclients|CONFIG HELP|CLIENT LIST ID 9999|CLIENT GETNAME|CLIENT SETNAME x|COMMAND COUNT x|PING|ECHO hello|DBSIZE|KEYS nothing|SCAN 0 MATCH nothing
		FLUSHDB|RANDOMKEY x|MULTI|EXEC|DISCARD|WATCH b|WATCH a1|UNWATCH|SWAPDB 1 1|ACL CAT nope|ACL WHOAMI|ACL LIST x|LASTSAVE x|ROLE x|INFO nothing|NOPE a|GET|CONFIG NOPE`), "|")
)

// aclOlder turns our words into those of the real server, which is older: 7.0 does not name the user.
func aclOlder(reply string) string {
	for _, user := range []string{"u0", "u1", "u2"} {
		reply = strings.ReplaceAll(reply, "NOPERM User "+user+" has", "NOPERM this user has")
		reply = strings.ReplaceAll(reply, "User "+user+" has", "This user has")
	}
	reply = strings.ReplaceAll(reply, "-NOPERM No permissions to access a key|", "-NOPERM this user has no permissions to access one of the keys used as arguments|")
	return strings.ReplaceAll(reply, "-NOPERM No permissions to access a channel|", "-NOPERM this user has no permissions to access one of the channels used as arguments|")
}

// withoutLengths forgets how long strings are, which are worded in another way.
func withoutLengths(reply string) string {
	lines := strings.Split(reply, "|")
	for i, line := range lines {
		if strings.HasPrefix(line, "$") {
			lines[i] = "$"
		}
	}
	return strings.Join(lines, "|")
}

// TestACLAgreesAtRandom: random users may do here what they may do at a real server, be it asked
// by ACL DRYRUN or tried.
func TestACLAgreesAtRandom(t *testing.T) {
	long(t)
	ours := start(t, Options{})
	here, there := ours.dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
	for i := range aclCalls {
		aclCalls[i] = strings.TrimSpace(aclCalls[i])
	}
	calls := strings.Split(strings.ReplaceAll(strings.Join(aclCalls, "|"), "\n\t\t", "|"), "|")
	r := rand.New(rand.NewPCG(3, 4))
	same := func(command ...string) string {
		t.Helper()
		mine, theirs := here.says(command...), there.says(command...)
		if a, b := withoutLengths(aclOlder(mine)), withoutLengths(strings.ReplaceAll(theirs, "Prints this", "Print this")); a != b {
			t.Fatalf("%q\n  here   %q\n  server %q", command, a, b)
		}
		return mine
	}
	rule := func() string { return aclRules[r.IntN(len(aclRules))] }
	denied := map[string]int{}
	for round := range 250 {
		user := fmt.Sprint("u", r.IntN(3))
		change := []string{"ACL", "SETUSER", user}
		for range 1 + r.IntN(6) {
			next := rule()
			if r.IntN(6) == 0 {
				next = "(" + rule() + " " + rule() + " " + rule() + ")"
			}
			change = append(change, next)
		}
		same(change...)
		same("ACL", "SETUSER", user, "on", ">pw")
		if r.IntN(10) == 0 {
			same("ACL", "DELUSER", fmt.Sprint("u", r.IntN(3)))
			same("ACL", "USERS")
			same("ACL", "SETUSER", user, "on", ">pw")
		}
		same("AUTH", user, "pw")
		for range 20 {
			call := strings.Fields(calls[r.IntN(len(calls))])
			if name := call[0]; name == "AUTH" || name == "RESTORE" || name == "DUMP" || name == "SWAPDB" {
				continue
			}
			reply := same(call...)
			denied[strings.Fields(reply + " x x")[0]]++
		}
		here.says("DISCARD")
		there.says("DISCARD")
		same("AUTH", "default", "x")
		same("SELECT", "0")
		for range 30 {
			reply := same(append([]string{"ACL", "DRYRUN", user}, strings.Fields(calls[r.IntN(len(calls))])...)...)
			denied[strings.Fields(reply + " x x")[0]]++
		}
		if round%25 == 0 {
			same("FLUSHALL")
		}
	}
	if denied["-NOPERM"] < 500 || denied["+OK|"] < 500 {
		t.Errorf("hardly anything was tried: %v", denied)
	}
}

// TestACLWordsAgree: what ACL's subcommands say of calls that are wrong, and in Redis's form.
func TestACLWordsAgree(t *testing.T) {
	here, there := start(t, Options{}).dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
	for _, words := range []string{
		"ACL", "ACL NOPE", "ACL WHOAMI", "ACL WHOAMI x", "ACL CAT nope", "ACL CAT a b", "ACL GENPASS 0", "ACL GENPASS 4097", "ACL GENPASS x", "ACL GENPASS 1 2",
		"ACL LOG", "ACL LOG 5", "ACL LOG -1", "ACL LOG x", "ACL LOG RESET", "ACL LOG 1 2", "ACL SETUSER", "ACL SETUSER a\x00b", "ACL SETUSER x (+get ~a", "ACL SETUSER x +nope", "ACL SETUSER x nope",
		"ACL SETUSER x ~* ~a", "ACL SETUSER x &* &a", "ACL SETUSER x <p", "ACL SETUSER x #1", "ACL SETUSER x +config|get|x", "ACL SETUSER x %~a", "ACL GETUSER nobody", "ACL GETUSER", "ACL DELUSER default",
		"ACL DELUSER nobody other", "ACL DRYRUN nobody GET x", "ACL DRYRUN default NOPE", "ACL DRYRUN default GET", "ACL DRYRUN default GET x", "ACL USERS", "ACL HELP", "AUTH a b c", "AUTH a b", "AUTH x", "AUTH default anything",
		"HELLO 2 AUTH a b", "ACL SETUSER y on nopass ~a %R~b &c (+@read ~x) resetchannels", "ACL USERS", "AUTH y anything", "ACL SETUSER z on >p", "ACL DELUSER z", "CLIENT KILL USER nobody",
	} {
		ours, theirs := here.says(strings.Fields(words)...), there.says(strings.Fields(words)...)
		if aclOlder(strings.ReplaceAll(ours, "User y has", "User u0 has")) != strings.ReplaceAll(theirs, "Prints this", "Print this") {
			t.Errorf("%s\n  here   %q\n  server %q", words, ours, theirs)
		}
	}
}

// TestACLCategoriesAgree: ACL CAT lists what a real server lists, as far as both have it.
func TestACLCategoriesAgree(t *testing.T) {
	here, there := start(t, Options{}).dial(t), (&testServer{addr: process.Redis(t)}).dial(t)
	if ours, theirs := here.says("ACL", "CAT"), there.says("ACL", "CAT"); !strings.HasPrefix(ours[4:], theirs[4:]) {
		t.Errorf("here %q, server %q", ours, theirs)
	}
	for _, name := range []string{"hash", "bitmap", "geo", "transaction", "hyperloglog"} {
		mine := map[string]bool{}
		for _, line := range strings.Split(here.says("ACL", "CAT", strings.ToUpper(name)), "|") {
			mine[line] = true
		}
		for _, line := range strings.Split(there.says("ACL", "CAT", name), "|") {
			if !mine[line] && line != "" && line[0] != '*' && line[0] != '$' {
				t.Errorf("%s is not of category %s", line, name)
			}
		}
	}
}

const (
	noKey     = "-NOPERM No permissions to access a key|"
	noChannel = "-NOPERM No permissions to access a channel|"
)

func noCommand(user, name string) string {
	return "-NOPERM User " + user + " has no permissions to run the '" + name + "' command|"
}

// TestACLGetuser: a user in all its parts.
func TestACLGetuser(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.gets("+OK|", "ACL SETUSER ann on >pw ~a* %R~b &news +@read -get (+set %W~c)")
	const digest = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4"
	c.gets("*12|$5|flags|*2|$2|on|$16|sanitize-payload|$9|passwords|*1|$64|"+digest+"|$8|commands|$17|-@all +@read -get|$4|keys|$8|~a* %R~b|"+
		"$8|channels|$5|&news|$9|selectors|*1|*6|$8|commands|$10|-@all +set|$4|keys|$4|%W~c|$8|channels|$0||", "ACL GETUSER ann")
	c.gets("*2|$173|user ann on sanitize-payload #"+digest+" ~a* %R~b resetchannels &news -@all +@read -get (%W~c resetchannels -@all +set)|"+
		"$51|user default on nopass sanitize-payload ~* &* +@all|", "ACL LIST")
	c.gets("$-1|", "ACL GETUSER nobody")
	c.gets("+OK|", "ACL SAVE")
	c.gets("+OK|", "ACL LOAD")
	if a, b := c.says("ACL", "GENPASS", "5"), c.says("ACL", "GENPASS"); len(a) != len("$2|ab|") || len(b) != len("$64|")+65 {
		t.Error(a, b)
	}
}

// TestACLLimits: a user that is limited to some commands, keys and channels can do exactly that,
// alone, in MULTI and in a transaction, and ACL LOG shows what was refused.
func TestACLLimits(t *testing.T) {
	s := start(t, Options{})
	admin := s.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +@transaction +get +set +echo +@pubsub +sort +lpush +object|encoding +zset +zget +zgetrange +acl|whoami ~a* %R~b &news &n*")
	ann := s.as(t, "ann")
	for _, x := range [][2]string{
		{"$3|ann|", "ACL WHOAMI"}, {"+OK|", "SET a1 v"}, {"$-1|", "GET b"}, {noKey, "SET b v"}, {noKey, "GET c"}, {noCommand("ann", "del"), "DEL a1"},
		{noCommand("ann", "object|freq"), "OBJECT FREQ a1"}, {noCommand("ann", "acl|list"), "ACL LIST"}, {noCommand("ann", "flushall"), "FLUSHALL"},
		{":0|", "PUBLISH news x"}, {noChannel, "PUBLISH other x"}, {noChannel, "SPUBLISH other x"}, {noChannel, "SUBSCRIBE news other"}, {noChannel, "PSUBSCRIBE ne*"},
		{"-ERR BY option of SORT denied due to insufficient ACL permissions.|", "SORT al BY w*"}, {"-ERR GET option of SORT denied due to insufficient ACL permissions.|", "SORT al GET w*"},
		{"*0|", "SORT al BY nosort"}, {noKey, "SORT al STORE c"}, {"+OK|", "ZSET a v"}, {"$1|v|", "ZGET a"}, {noKey, "ZGET x"}, {noKey, "ZGETRANGE a b"},
		{"+OK|", "MULTI"}, {"+QUEUED|", "GET a1"}, {noKey, "GET c"}, {"-EXECABORT Transaction discarded because of previous errors.|", "EXEC"},
		{"+OK|", "BEGIN"}, {"$1|v|", "GET a1"}, {noKey, "SET c v"}, {"+OK|", "SET a2 v"}, {"+OK|", "COMMIT"}, {"$1|v|", "GET a2"},
		{"*3|$9|subscribe|$4|news|:1|", "SUBSCRIBE news"},
	} {
		if strings.HasPrefix(x[1], "SUBSCRIBE news") && !strings.HasSuffix(x[1], "other") {
			ann.sendWords(strings.Fields(x[1])...)
			ann.expect(crlf(x[0]))
			continue
		}
		ann.gets(x[0], x[1])
	}
	log := admin.says("ACL", "LOG", "100")
	for _, want := range []string{
		"|$6|reason|$3|key|$7|context|$8|toplevel|$6|object|$1|b|$8|username|$3|ann|", "|$6|reason|$7|command|$7|context|$8|toplevel|$6|object|$8|flushall|",
		"|$6|reason|$7|channel|$7|context|$8|toplevel|$6|object|$5|other|", "|$6|reason|$3|key|$7|context|$5|multi|$6|object|$1|c|$8|username|$3|ann|",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	if !strings.Contains(log, "user=ann") || !strings.Contains(log, "cmd=flushall") || !strings.Contains(log, "|$8|entry-id|:0|$17|timestamp-created|:") {
		t.Error(log)
	}
	ann = s.as(t, "ann")
	ann.sendWords("GET", strings.Repeat("x", 1<<20))
	ann.expect(crlf(noKey))
	if log := admin.says("ACL", "LOG", "1"); len(log) > 4<<10 {
		t.Errorf("a long key takes %d bytes of the log", len(log))
	}
	if info := admin.says("INFO", "stats"); !strings.Contains(info, "|acl_access_denied_channel:4|") || !strings.Contains(info, "|acl_access_denied_cmd:4|") ||
		!strings.Contains(info, "|acl_access_denied_key:8|") || !strings.Contains(info, "|acl_access_denied_auth:0|") {
		t.Error(info)
	}
}

// TestACLLater: what was allowed when it was queued, or when a client began to wait, is looked at
// again; who is subscribed to what he may not hear any more, and who is deleted, is disconnected.
func TestACLLater(t *testing.T) {
	s := start(t, Options{})
	admin := s.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +@all ~* &*")
	multi, blocked, hears, stays := s.as(t, "ann"), s.as(t, "ann"), s.as(t, "ann"), s.as(t, "ann")
	multi.send(arrays("MULTI|GET a|SET b v|DEL c|AUTH default x|DEL c"))
	multi.expect(crlf("+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|"))
	s.blocks(blocked, "BLPOP l 0")
	hears.send(arrays("SUBSCRIBE news"))
	hears.expect(crlf("*3|$9|subscribe|$4|news|:1|"))
	stays.send(arrays("PSUBSCRIBE n*"))
	stays.expect(crlf("*3|$10|psubscribe|$2|n*|:1|"))
	admin.gets("+OK|", "ACL SETUSER ann -del resetkeys ~a %R~* resetchannels &n*")
	const since = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: "
	multi.gets("*5|$-1|"+since+"no permission to touch the specified keys|"+since+"no permission to execute the command or subcommand|+OK|:0|", "EXEC")
	multi.gets("$7|default|", "ACL WHOAMI")
	admin.gets("+OK|", "ACL SETUSER ann resetchannels &n* &x")
	admin.gets(":1|", "PUBLISH nobody x") // stays hears it, since its pattern is allowed
	stays.expect(crlf("*4|$8|pmessage|$2|n*|$6|nobody|$1|x|"))
	admin.gets(":2|", "PUBLISH news x")
	hears.expect(crlf("*3|$7|message|$4|news|$1|x|"))
	stays.expect(crlf("*4|$8|pmessage|$2|n*|$4|news|$1|x|"))
	admin.gets("+OK|", "ACL SETUSER ann resetchannels &news")
	stays.expectEnd("")
	admin.gets("+OK|", "ACL SETUSER ann resetchannels")
	hears.expectEnd("")
	admin.gets(":1|", "RPUSH l v")
	blocked.expect(crlf(noKey))
	admin.gets("$1|v|", "LPOP l")
	blocked.gets("$-1|", "GET x")
	admin.gets("+OK|", "ACL SETUSER bob on >pw +zwatch ~a*")
	watches := s.as(t, "bob")
	watches.send(arrays("ZWATCH a"))
	eventually(t, func() bool { return strings.Contains(admin.says("CLIENT", "LIST"), " cmd=zwatch ") })
	admin.gets("+OK|", "ACL SETUSER bob -zwatch")
	refusal := make(chan string, 1)
	go func() { refusal <- watches.reply() }()
	eventually(t, func() bool { // it has begun to watch
		admin.gets("+OK|", fmt.Sprint("ZSET a ", time.Now().UnixNano()))
		return len(refusal) > 0
	})
	if got := <-refusal; got != "-NOPERM User bob has no permissions to run the 'zwatch' command\r\n" {
		t.Error(got)
	}
	s.blocks(blocked, "XREAD BLOCK 0 STREAMS x $")
	admin.gets(":1|", "ACL DELUSER ann nobody")
	blocked.expectEnd("")
	admin.gets("-WRONGPASS invalid username-password pair or user is disabled.|", "AUTH ann pw")
	admin.gets("+OK|", "ACL SETUSER bob on >pw +acl ~* &*")
	bob := s.as(t, "bob")
	bob.send(arrays("ACL DELUSER bob|ACL WHOAMI"))
	bob.expectEnd(":1\r\n")
}

// conflicting is an engine in which some commits conflict.
type conflicting struct {
	kv.Engine
	left atomic.Int32
}

func (e *conflicting) NewAttempt() kv.Attempt { return &conflictingAttempt{e.Engine.NewAttempt(), e} }

type conflictingAttempt struct {
	kv.Attempt
	e *conflicting
}

func (a *conflictingAttempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	if len(req.Mutations) > 0 && a.e.left.Add(-1) >= 0 {
		return a.Abort(), base.ErrConflict
	}
	return a.Attempt.Commit(req)
}

// TestACLLogCountsOnce: what is refused in a transaction that begins again is refused once.
func TestACLLogCountsOnce(t *testing.T) {
	e := &conflicting{Engine: kvmem.New(stampNow)}
	s := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true})
	admin := s.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +@all ~*")
	c := s.as(t, "ann")
	c.send(arrays("MULTI|SET a v|GET b|EVAL redis.pcall('get','b')return{} 0"))
	c.expect(crlf("+OK|+QUEUED|+QUEUED|+QUEUED|"))
	admin.gets("+OK|", "ACL SETUSER ann resetkeys ~a")
	e.left.Store(2)
	c.says("EXEC")
	if left := e.left.Load(); left >= 0 {
		t.Fatalf("%d conflicts are left", left)
	}
	log := admin.says("ACL", "LOG")
	if n := strings.Count(log, "|$5|count|:1|"); n != 2 || strings.Count(log, "|count|") != 2 {
		t.Error(log)
	}
}

// TestACLOff: a user that is switched off cannot log in; who has logged in stays.
func TestACLOff(t *testing.T) {
	s := start(t, Options{})
	admin := s.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +@all")
	ann := s.as(t, "ann")
	admin.gets("+OK|", "ACL SETUSER ann off")
	ann.gets("$3|ann|", "ACL WHOAMI")
	ann.gets("-WRONGPASS invalid username-password pair or user is disabled.|", "AUTH ann pw")
	ann.gets("-WRONGPASS invalid username-password pair or user is disabled.|", "HELLO 3 AUTH nobody pw")
	log := admin.says("ACL", "LOG")
	for _, want := range []string{"|$4|auth|$7|context|$8|toplevel|$6|object|$4|AUTH|$8|username|$3|ann|", "|$6|object|$5|HELLO|$8|username|$6|nobody|"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	for _, x := range [][2]string{
		{"+OK|", "CONFIG SET acllog-max-len 1"}, {"*2|$14|acllog-max-len|$1|1|", "CONFIG GET acllog-max-len"}, {"+OK|", "ACL LOG RESET"}, {"*0|", "ACL LOG"},
	} {
		if x[1] == "ACL LOG RESET" && !strings.HasPrefix(admin.says("ACL", "LOG"), "*1|") {
			t.Error("the log is longer than it may be")
		}
		admin.gets(x[0], x[1])
	}
}

// TestRequirepass: CONFIG's password is the default user's, of new connections and without a
// name; who is logged in stays.
func TestRequirepass(t *testing.T) {
	s := start(t, Options{})
	before := s.dial(t)
	before.gets("+OK|", "CONFIG SET requirepass one timeout 0")
	before.gets("*2|$11|requirepass|$3|one|", "CONFIG GET requirepass")
	c := s.dial(t)
	c.send(arrays("GET k|AUTH two|AUTH one|GET k"))
	c.expect(crlf("-NOAUTH Authentication required.|-WRONGPASS invalid username-password pair or user is disabled.|+OK|$-1|"))
	c.gets("+OK|", "ACL SETUSER default >two")
	d := s.dial(t)
	d.send(arrays("AUTH two|GET k"))
	d.expect(crlf("+OK|$-1|"))
	waiting := s.dial(t)
	waiting.send(arrays("GET k"))
	waiting.expect(crlf("-NOAUTH Authentication required.|"))
	before.gets("-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer|", "CONFIG SET requirepass three timeout x")
	before.gets("*2|$11|requirepass|$3|one|", "CONFIG GET requirepass")
	before.says("CONFIG", "SET", "requirepass", "")
	waiting.gets("$-1|", "GET k") // nobody is asked any more
	s.dial(t).gets("$-1|", "GET k")
	before.gets("+OK|", "MULTI")
	before.gets("+QUEUED|", "CONFIG SET requirepass x")
	before.gets("*1|-ERR CONFIG SET failed (possibly related to argument 'requirepass') - not within a transaction|", "EXEC")
	before.gets("+OK|", "MULTI")
	before.gets("-ERR Command not allowed inside a transaction|", "ACL SETUSER x")
}

// TestACLOnTwoNodes: what is changed at one node is in force at another one soon.
func TestACLOnTwoNodes(t *testing.T) {
	db := kv.New(kvmem.New(stampNow), time.Now)
	a, b := start(t, Options{DB: db}), start(t, Options{DB: db, ManualExpiry: true})
	admin := a.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +@all ~* &*")
	login := func(s *testServer, want string) *rawConn {
		c := s.dial(t)
		eventually(t, func() bool { return c.says("AUTH", "ann", "pw") == want })
		return c
	}
	there := login(b, "+OK|")
	there.gets("+OK|", "SET k v")
	hears := login(b, "+OK|")
	hears.send(arrays("SUBSCRIBE news"))
	hears.expect(crlf("*3|$9|subscribe|$4|news|:1|"))
	admin.gets("+OK|", "ACL SETUSER ann -set resetchannels")
	eventually(t, func() bool { return there.says("SET", "k", "v") == noCommand("ann", "set") })
	hears.expectEnd("")
	if !strings.Contains(there.says("ACL", "LOG"), "|$6|object|$3|set|") || admin.says("ACL", "LOG") != "*0|" {
		t.Error("each node logs what it has refused")
	}
	admin.gets(":1|", "ACL DELUSER ann")
	there.expectEnd("")
	login(b, "-WRONGPASS invalid username-password pair or user is disabled.|")
}

// TestAdministrationAsksForItsPassword: a server whose users are stored nowhere knows the default user
// with the password that it was given, whatever is done to those that are stored.
func TestAdministrationAsksForItsPassword(t *testing.T) {
	db := kv.New(kvmem.New(stampNow), time.Now)
	data, admin := start(t, Options{DB: db}), start(t, Options{DB: db, Families: AdminFamilies(), Password: "secret", ManualExpiry: true})
	data.dial(t).gets("+OK|", "ACL SETUSER ann on nopass +@all ~* &*")
	data.dial(t).gets("+OK|", "CONFIG SET requirepass other")
	c := admin.dial(t)
	const wrong = "-WRONGPASS invalid username-password pair or user is disabled.|"
	for _, x := range [][2]string{
		{"-NOAUTH Authentication required.|", "TIME"}, {wrong, "AUTH other"}, {wrong, "AUTH ann x"}, {"+OK|", "AUTH secret"}, {"+PONG|", "PING"},
		{"-ERR unknown command 'ACL', with args beginning with: 'SETUSER' 'x' |", "ACL SETUSER x"},
	} {
		c.gets(x[0], x[1])
	}
	if err := admin.dial(t).says("HELLO", "2", "AUTH", "default", "secret"); !strings.HasPrefix(err, "*14|") {
		t.Error(err)
	}
}

// TestClientsOfUsers: CLIENT LIST names the user, CLIENT KILL ends those of one.
func TestClientsOfUsers(t *testing.T) {
	s := start(t, Options{})
	admin := s.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +@all")
	a, b := s.as(t, "ann"), s.as(t, "ann")
	if list := admin.says("CLIENT", "LIST"); strings.Count(list, " user=ann ") != 2 || strings.Count(list, " user=default ") != 1 {
		t.Error(list)
	}
	admin.gets(":2|", "CLIENT KILL USER ann")
	a.expectEnd("")
	b.expectEnd("")
	admin.gets("-ERR No such user 'bob'|", "CLIENT KILL USER bob")
	admin.gets(":0|", "CLIENT KILL USER default")
}

// TestACLInScripts: what a script calls is looked at as if its client had called it, and redis.acl_check_cmd
// tells without doing it; also in functions, and within EXEC.
func TestACLInScripts(t *testing.T) {
	s := start(t, Options{})
	admin := s.dial(t)
	admin.gets("+OK|", "ACL SETUSER ann on >pw +eval +eval_ro +fcall +function +get +set +multi +exec ~a* %R~b resetchannels")
	ann := s.as(t, "ann")
	eval := func(want, script string, more ...string) {
		t.Helper()
		if got := ann.says(append([]string{"EVAL", script}, more...)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s\n  got  %q\n  want %q", script, got, want)
		}
	}
	eval("+OK|", "return redis.call('set', 'a1', 'v')", "0")
	eval("$-1|", "return redis.call('get', 'b')", "0")
	eval("-NOPERM ACL failure in script: User ann has no permissions to run the 'del' command script: ", "return redis.call('del', 'a1')", "0")
	eval("-NOPERM ACL failure in script: No permissions to access a key script: ", "redis.call('set', 'a1', 'w') return redis.call('set', 'b', 'v')", "0")
	ann.gets("$1|v|", "GET a1") // nothing of the script has happened
	eval("$86|NOPERM ACL failure in script: User ann has no permissions to run the 'publish' command|", "return redis.pcall('publish', 'x', 'y').err", "0")
	eval(noKey, "return 1", "1", "b")
	eval("*4|:1|$-1|$-1|:1|", "return {redis.acl_check_cmd('set', 'a1', 'x'), redis.acl_check_cmd('set', 'b', 'x'), redis.acl_check_cmd('del', 'a1'), redis.acl_check_cmd('get', 'b')}", "0")
	if got := ann.says("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function(keys) return redis.call('set', keys[1], 'x') end)"); got != "$1|l|" {
		t.Error(got)
	}
	ann.gets("+OK|", "FCALL f 1 a2")
	ann.gets(noKey, "FCALL f 1 b")
	ann.gets("+OK|", "MULTI")
	eval("+QUEUED|", "return redis.call('del', 'a1')", "0")
	if got := ann.says("EXEC"); !strings.HasPrefix(got, "*1|-NOPERM ACL failure in script: User ann has no permissions to run the 'del' command") {
		t.Error(got)
	}
	log := admin.says("ACL", "LOG", "100")
	for _, want := range []string{"|$6|reason|$7|command|$7|context|$3|lua|$6|object|$3|del|$8|username|$3|ann|", "|$6|reason|$3|key|$7|context|$3|lua|$6|object|$1|b|"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
	if !strings.Contains(log, "user=ann") {
		t.Error(log)
	}
}
