package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/kv"
)

// run sends a command, word by word, and renders its reply.
func (l *line) run(words ...any) string {
	l.t.Helper()
	v, err := l.c.Do(context.Background(), words...).Result()
	switch {
	case err == goredis.Nil:
		return "nil"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprint(v)
}

func (l *line) expect(want string, words ...any) {
	l.t.Helper()
	got := l.run(words...)
	if prefix, open := strings.CutSuffix(want, "…"); got != want && !(open && strings.HasPrefix(got, prefix)) {
		l.t.Errorf("%.200v: got %q, want %q", words, got, want)
	}
}

// TestScriptIsOneTransaction: it happens, or nothing of it does, wherever its keys are.
func TestScriptIsOneTransaction(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		l := s.line(t)
		l.expect("3", "EVAL", "redis.call('SET','a',1) redis.call('SET','b',2) return redis.call('GET','a')+redis.call('GET','b')", 0)
		l.expect("ERR user_script:1: no…", "EVAL", "redis.call('SET','a',10) redis.call('LPUSH','l',1) redis.call('SELECT',1) redis.call('SET','x',1) error('no')", 0)
		l.expect("1", "GET", "a")
		l.expect("0", "EXISTS", "l")
		l.expect("OK", "SELECT", 1)
		l.expect("0", "EXISTS", "x")
		l.expect("OK", "SELECT", 0)
		l.expect("2", "DBSIZE")
		// What is caught has not ended the script.
		l.expect("WRONGTYPE…", "EVAL", "redis.call('LPUSH','l',1) local e=redis.pcall('GET','l') redis.call('SET','c',3) return e.err", 0)
		l.expect("3", "GET", "c")
		// SELECT is the script's own.
		l.expect("OK", "EVAL", "redis.call('SELECT',2) return redis.call('SET','x','in 2')", 0)
		l.expect("nil", "GET", "x")
		// What it wrote it sees, also where it was deleted.
		l.expect("[1 <nil> 5]", "EVAL", "redis.call('SET','d',1) local a=redis.call('GET','d') redis.call('DEL','d') local b=redis.call('GET','d') redis.call('SET','d',5) return {a,b,redis.call('GET','d')}", 0)
		l.expect("1", "EVAL", "local a=redis.call('TIME') for i=1,10000 do end local b=redis.call('TIME') return a[1]==b[1] and a[2]==b[2]", 0)
	})
}

// TestScriptWithinTransactions: within EXEC and BEGIN a script that fails leaves nothing of its own,
// and takes nothing of others.
func TestScriptWithinTransactions(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		l := start(t, Options{DB: db}).line(t)
		l.expect("OK", "MULTI")
		l.expect("QUEUED", "SET", "before", 1)
		l.expect("QUEUED", "EVAL", "redis.call('SET','before',2) redis.call('SET','within',1) error('no')", 0)
		l.expect("QUEUED", "EVAL", "return redis.call('INCR',KEYS[1])", 1, "before")
		l.expect("QUEUED", "SET", "after", 1)
		l.expect("[OK ERR user_script:1: no…", "EXEC")
		l.expect("[2 <nil> 1]", "MGET", "before", "within", "after")
		l.expect("OK", "BEGIN")
		l.expect("OK", "SET", "before", 5)
		for range 20 { // more writes than are searched one by one
			l.expect("ERR user_script:1: no…", "EVAL", "for i=1,20 do redis.call('SET','k'..i,1) end redis.call('DEL','before') error('no')", 0)
		}
		l.expect("6", "EVAL", "return redis.call('INCR','before')", 0)
		l.expect("0", "EXISTS", "k1", "k20")
		l.expect("OK", "COMMIT")
		l.expect("6", "GET", "before")
		l.expect("0", "EXISTS", "k1", "k20")
		l.expect("OK", "BEGIN")
		l.expect("7", "EVAL", "return redis.call('INCR','before')", 0)
		l.expect("OK", "ROLLBACK")
		l.expect("6", "GET", "before")
	})
}

// TestScriptsLoseNothing: many clients, each reading and writing in scripts, over several keys.
func TestScriptsLoseNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		const clients, rounds = 8, 60
		script := "local n=redis.call('GET',KEYS[1]) or 0 redis.call('SET',KEYS[1],n+1) redis.call('INCR',KEYS[2]) redis.call('LPUSH',KEYS[3],n) return n"
		var wg sync.WaitGroup
		for i := range clients {
			l := s.line(t)
			wg.Go(func() {
				for range rounds {
					if got := l.run("EVAL", script, 3, "n", fmt.Sprint("m", i%3), "list"); strings.Contains(got, " ") {
						t.Error(got)
					}
				}
			})
		}
		wg.Wait()
		l := s.line(t)
		l.expect(fmt.Sprint(clients*rounds), "GET", "n")
		l.expect(fmt.Sprint(clients*rounds), "EVAL", "return redis.call('GET','m0')+redis.call('GET','m1')+redis.call('GET','m2')", 0)
		l.expect(fmt.Sprint(clients*rounds), "LLEN", "list")
		l.expect("1", "EVAL", "local seen={} for _,v in ipairs(redis.call('LRANGE','list',0,-1)) do if seen[v] then return 0 end seen[v]=true end return 1", 0)
	})
}

// TestScriptsPublish: messages and events leave when the script has committed, and only then.
func TestScriptsPublish(t *testing.T) {
	s := start(t, Options{})
	ear, l := s.dial(t), s.line(t)
	l.expect("OK", "CONFIG", "SET", "notify-keyspace-events", "E$")
	ear.send("PSUBSCRIBE *\r\n")
	ear.expect(crlf("*3|$10|psubscribe|$1|*|:1|"))
	l.expect("ERR…", "EVAL", "redis.call('SET','k',1) redis.call('PUBLISH','c','lost') error('no')", 0)
	l.expect("1", "EVAL", "redis.call('SET','k',1) return redis.call('PUBLISH','c','heard')", 0)
	ear.expect(crlf("*4|$8|pmessage|$1|*|$18|__keyevent@0__:set|$1|k|*4|$8|pmessage|$1|*|$1|c|$5|heard|"))
}

// stepping is a clock that goes on by a step whenever somebody looks at it: budgets of time do not
// depend on the machine.
type stepping struct{ at, step atomic.Int64 }

func (s *stepping) now() time.Time { return time.Unix(1_800_000_000, s.at.Add(s.step.Load())) }

// patient is a client that waits for a minute.
func (s *testServer) patient(t testing.TB) *line {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: s.addr, Protocol: 3, ReadTimeout: patience})
	c := client.Conn()
	t.Cleanup(func() { _, _ = c.Close(), client.Close() })
	return &line{t, c}
}

// busy runs a script that goes on for long, and waits until it is known to.
func busy(t *testing.T, s *testServer, words ...any) (reply chan string) {
	t.Helper()
	l := s.patient(t)
	reply = make(chan string, 1)
	go func() { reply <- l.run(words...) }()
	watcher := s.line(t)
	eventually(t, func() bool { return !strings.Contains(watcher.run("FUNCTION", "STATS"), "running_script:<nil>") })
	return reply
}

// TestScriptBudgets: what would go on for ever, or fill the memory, ends with an error; nothing of
// it happens, and others do not notice.
func TestScriptBudgets(t *testing.T) {
	long(t)
	eachSingle(t, func(t *testing.T, db *kv.DB) {
		var clock stepping
		l := start(t, Options{DB: db, Now: clock.now}).patient(t)
		const write = "redis.call('SET','half','done') "
		const memory, stack = "ERR Error running script: it needs more than 64 MiB of memory script: …", "ERR user_script:1: stack overflow script: …"
		for script, want := range map[string]string{
			"local s='x' while true do s=s..s end":                                                            memory,
			"return string.rep('x',1e9)":                                                                      memory,
			"return ('x'):rep(1e6):gsub('x',('y'):rep(1000))":                                                 memory,
			"local t={} while true do t[#t+1]=1 end":                                                          memory,
			"local t={} local i=0 while true do i=i+1 t[i]={i} end":                                           memory,
			"local t={} for i=1,1e9 do t['key'..i]='value'..i end":                                            memory,
			"local t={} for i=1,1e6 do t[i]=i end return table.concat(t,('y'):rep(1000))":                     memory,
			"local t={} for i=1,1e9 do t[i]=coroutine.create(function() end) end":                             memory,
			"return cjson.decode('['..string.rep('[],',1e7)..'[]]')":                                          memory,
			"return cmsgpack.pack(string.rep('x',4e7))":                                                       memory,
			"return cmsgpack.unpack(string.rep('\\144',3e7))":                                                 "ERR…",
			"local f f=function() return f end local t={} while true do t={t,function() return t end} end":    memory,
			"local function f() return f()+1 end return f()":                                                  stack,
			"local t=setmetatable({},{}) getmetatable(t).__index=function(t,k) return t[k+1] end return t[1]": "ERR user_script:1: C stack overflow…",
			"local t={} t[1]=t t[2]=t return t":                                                               "ERR Error running script: its reply exceeds the size limit",
			"return cjson.decode(string.rep('[',1e6))":                                                        "ERR user_script:1: Found too many nested…",
			"return ('a'):rep(1e4):find(('a?'):rep(300)..'b')":                                                "ERR user_script:1: pattern too complex…",
		} {
			l.expect(want, "EVAL", write+script, 0)
			l.expect("0", "EXISTS", "half")
		}
		clock.step.Store(int64(time.Millisecond / 4))
		l.expect("OK", "CONFIG", "SET", "lua-time-limit", 100)
		l.expect("map[lua-time-limit:100]", "CONFIG", "GET", "lua-time-limit")
		for _, script := range []string{
			"while true do end", "repeat local x=1 until false", "for i=1,1/0 do end", "local function f() return f() end f()", "while true do pcall(error) end",
			"while true do pcall(function() while true do end end) end", "for _ in function() return 1 end do end", "while true do redis.call('GET','k') end",
			"return ('a'):rep(30000):find(('.-'):rep(30)..'b')", "local t={} for i=1,1e6 do table.insert(t,1,i) end", "coroutine.wrap(function() while true do end end)()",
			"table.sort({3,2,1},function() while true do end end)", "local t=setmetatable({},{__index=function() while true do end end}) return t.x",
		} {
			l.expect("ERR Error running script: it ran for more than 100ms script: …", "EVAL", write+script, 0)
			l.expect("0", "EXISTS", "half")
		}
	})
}

// TestScriptKill: a script that runs for long is ended by SCRIPT KILL, also when it has written;
// meanwhile other clients write the same keys.
func TestScriptKill(t *testing.T) {
	eachSingle(t, func(t *testing.T, db *kv.DB) {
		var clock stepping // which stands still
		s := start(t, Options{DB: db, Now: clock.now})
		l := s.line(t)
		l.expect("NOTBUSY No scripts in execution right now.", "SCRIPT", "KILL")
		reply := busy(t, s, "EVAL", "redis.call('SET','k','script') while true do end", 0)
		for i := range 50 {
			l.expect("OK", "SET", "k", i)
			l.expect(fmt.Sprint(i), "GET", "k")
		}
		l.expect("NOTBUSY No scripts in execution right now.", "FUNCTION", "KILL")
		l.expect("OK", "SCRIPT", "KILL")
		if got := <-reply; !strings.HasPrefix(got, "ERR Script killed by user with SCRIPT KILL... script: ") || !strings.HasSuffix(got, ", on @user_script:1.") {
			t.Errorf("%q", got)
		}
		l.expect("49", "GET", "k")
		l.expect("lib", "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('loop', function()\n while true do end end)")
		reply = busy(t, s, "FCALL", "loop", 0, "word")
		if got := l.run("FUNCTION", "STATS"); !strings.Contains(got, "name:loop") || !strings.Contains(got, "command:[FCALL loop 0 word]") {
			t.Errorf("%q", got)
		}
		l.expect("NOTBUSY No scripts in execution right now.", "SCRIPT", "KILL")
		l.expect("OK", "FUNCTION", "KILL")
		if got := <-reply; got != "ERR Script killed by user with SCRIPT KILL... script: loop, on @user_function:3." {
			t.Errorf("%q", got)
		}
		l.expect("map[engines:map[LUA:map[functions_count:1 libraries_count:1]] running_script:<nil>]", "FUNCTION", "STATS")
	})
}

// TestLongScripts: one that has more to do than others should wait for is done all the same, once.
func TestLongScripts(t *testing.T) {
	long(t)
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		var clock stepping
		l := start(t, Options{DB: db, Now: clock.now}).patient(t)
		l.expect("30000", "EVAL", "for i=1,30000 do redis.call('INCR','n') end return redis.call('GET','n')", 0)
		l.expect("30000", "GET", "n")
		l.expect("1", "EVAL", "redis.call('INCR','m') local x=0 for i=1,3e6 do x=x+i end return redis.call('GET','m')", 0)
		l.expect("OK", "MULTI")
		l.expect("QUEUED", "INCR", "m")
		l.expect("QUEUED", "EVAL", "redis.call('INCR','m') local x=0 for i=1,3e6 do x=x+i end return redis.call('GET','m')", 0)
		l.expect("[2 3]", "EXEC")
		l.expect("3", "GET", "m")
	})
}

// TestScriptsAreStored: what one server was told another one of the same database knows.
func TestScriptsAreStored(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) {
		a, b := start(t, Options{DB: db}).line(t), start(t, Options{DB: db}).line(t)
		sha := a.run("SCRIPT", "LOAD", "return {'loaded', ARGV[1]}")
		b.expect("[loaded x]", "EVALSHA", sha, 0, "x")
		b.expect("[1 0]", "SCRIPT", "EXISTS", sha, strings.Repeat("f", 40))
		a.expect("evaluated", "EVAL", "return 'evaluated'", 0) // is kept where it is
		b.expect("NOSCRIPT No matching script. Please use EVAL.", "EVALSHA", "4cc4bb22a9e2e6bf3e8bdbf8ff8ae2a0e6bb7ae2", 0)
		a.expect("lib", "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 'first' end)")
		for i := range 20 {
			b.expect(map[bool]string{true: "first", false: fmt.Sprint("code ", i-1)}[i == 0], "FCALL", "f", 0)
			a.expect("lib", "FUNCTION", "LOAD", "REPLACE", fmt.Sprintf("#!lua name=lib\nredis.register_function('f', function() return 'code %d' end)", i))
		}
		c := start(t, Options{DB: db}).line(t)
		c.expect("code 19", "FCALL", "f", 0)
		c.expect("[loaded y]", "EVALSHA", sha, 0, "y")
		b.expect("OK", "FUNCTION", "DELETE", "lib")
		a.expect("ERR Function not found", "FCALL", "f", 0)
		c.expect("ERR Function not found", "FCALL", "f", 0)
		b.expect("OK", "SCRIPT", "FLUSH")
		d := start(t, Options{DB: db}).line(t)
		d.expect("NOSCRIPT No matching script. Please use EVAL.", "EVALSHA", sha, 0, "y")
		// Namespaces have their own.
		a.expect("OK", "NAMESPACE", "CREATE", "other")
		a.expect("lib", "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 'global' end)")
		a.expect("OK", "NAMESPACE", "USE", "other")
		a.expect("ERR Function not found", "FCALL", "f", 0)
		a.expect("lib", "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 'other' end)")
		a.expect("other", "FCALL", "f", 0)
		b.expect("global", "FCALL", "f", 0)
	})
}

// TestFunctionsWithinTransactions: a transaction calls what it has loaded, and nobody else does.
func TestFunctionsWithinTransactions(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		l, other := s.line(t), s.line(t)
		const code = "#!lua name=lib\nredis.register_function('f', function(keys) return redis.call('INCR', keys[1]) end)"
		l.expect("OK", "MULTI")
		l.expect("QUEUED", "FUNCTION", "LOAD", code)
		l.expect("QUEUED", "FCALL", "f", 1, "n")
		other.expect("ERR Function not found", "FCALL", "f", 1, "n")
		l.expect("[lib 1]", "EXEC")
		other.expect("2", "FCALL", "f", 1, "n")
		l.expect("OK", "BEGIN")
		l.expect("OK", "FUNCTION", "FLUSH")
		l.expect("ERR Function not found", "FCALL", "f", 1, "n")
		l.expect("OK", "ROLLBACK")
		l.expect("3", "FCALL", "f", 1, "n")
	})
}

// TestLocks: a lock is given back by who has it.
func TestLocks(t *testing.T) {
	s := start(t, Options{})
	l := s.line(t)
	const unlock = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
	l.expect("OK", "SET", "lock", "mine", "NX", "PX", 100000)
	l.expect("0", "EVAL", unlock, 1, "lock", "other")
	l.expect("nil", "SET", "lock", "other", "NX", "PX", 100000)
	l.expect("1", "EVAL", unlock, 1, "lock", "mine")
	l.expect("OK", "SET", "lock", "other", "NX", "PX", 100000)
}

// TestQueueScripts: jobs go from a waiting list to an active one and to the finished ones in
// scripts, as queues of many frameworks do it. None is lost, none is done twice.
func TestQueueScripts(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		const add = "local id=redis.call('INCR',KEYS[2]) redis.call('HSET',KEYS[3]..id,'data',ARGV[1],'ts',ARGV[2]) if tonumber(ARGV[3])>0 then redis.call('ZADD',KEYS[4],ARGV[3],id) else redis.call('LPUSH',KEYS[1],id) end return id"
		const take = "local due=redis.call('ZRANGEBYSCORE',KEYS[5],0,ARGV[1],'LIMIT',0,10) for _,id in ipairs(due) do redis.call('ZREM',KEYS[5],id) redis.call('LPUSH',KEYS[1],id) end " +
			"local id=redis.call('RPOPLPUSH',KEYS[1],KEYS[2]) if not id then return nil end redis.call('HINCRBY',KEYS[3]..id,'attempts',1) redis.call('SET',KEYS[3]..id..':lock',ARGV[2],'PX',30000) return {id,redis.call('HGETALL',KEYS[3]..id)}"
		const finish = "if redis.call('GET',KEYS[2]..ARGV[1]..':lock')~=ARGV[2] then return redis.error_reply('ERR lock lost') end if redis.call('LREM',KEYS[1],-1,ARGV[1])==0 then return -1 end " +
			"redis.call('DEL',KEYS[2]..ARGV[1]..':lock') redis.call('ZADD',KEYS[3],ARGV[3],ARGV[1]) redis.call('HSET',KEYS[2]..ARGV[1],'returnvalue',cjson.encode({ok=true})) return 1"
		const jobs, workers = 120, 4
		adder := s.line(t)
		for i := range jobs {
			adder.expect(fmt.Sprint(i+1), "EVAL", add, 4, "wait", "id", "job:", "delayed", fmt.Sprint("data ", i), i, i%3*5)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		done := map[string]int{}
		for w := range workers {
			l := s.line(t)
			wg.Go(func() {
				for {
					v, err := l.c.Do(context.Background(), "EVAL", take, 5, "wait", "active", "job:", "x", "delayed", 1000, fmt.Sprint("token", w)).Result()
					if err == goredis.Nil {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					id := v.([]any)[0].(string)
					mu.Lock()
					done[id]++
					mu.Unlock()
					l.expect("1", "EVAL", finish, 3, "active", "job:", "completed", id, fmt.Sprint("token", w), 7)
				}
			})
		}
		wg.Wait()
		for id, n := range done {
			if n != 1 {
				t.Errorf("job %s was done %d times", id, n)
			}
		}
		adder.expect("0", "EVAL", "return redis.call('LLEN','wait')+redis.call('LLEN','active')+redis.call('ZCARD','delayed')", 0)
		adder.expect(fmt.Sprint(jobs), "ZCARD", "completed")
		if len(done) != jobs {
			t.Errorf("%d of %d jobs", len(done), jobs)
		}
	})
}

// TestScriptsAreAllowed: a script may do what its user may.
func TestScriptsAreAllowed(t *testing.T) {
	db := rangeDB(t, time.Now)
	s := start(t, Options{DB: db})
	admin := s.line(t)
	admin.expect("OK", "ACL", "SETUSER", "bob", "on", ">pw", "~mine:*", "+@all", "-del")
	l := s.line(t)
	l.expect("OK", "AUTH", "bob", "pw")
	l.expect("OK", "EVAL", "return redis.call('SET','mine:1','x')", 0)
	l.expect("NOPERM ACL failure in script: No permissions to access a key…", "EVAL", "return redis.call('SET','other','x')", 0)
	l.expect("NOPERM ACL failure in script: User bob has no permissions to run the 'del' command…", "EVAL", "return redis.call('DEL','mine:1')", 0)
	l.expect("[<nil> 1 <nil>]", "EVAL", "return {redis.acl_check_cmd('SET','other','x') or false,redis.acl_check_cmd('SET','mine:1','x'),redis.acl_check_cmd('DEL','mine:1') or false}", 0)
	admin.expect("1", "EXISTS", "mine:1")
}

// TestScriptInfo: INFO counts what there is.
func TestScriptInfo(t *testing.T) {
	l := start(t, Options{}).line(t)
	l.expect("1", "EVAL", "return 1", 0)
	l.expect("lib", "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() end) redis.register_function('g', function() end)")
	got := l.run("INFO", "memory")
	for _, want := range []string{"number_of_cached_scripts:1\r\n", "number_of_functions:2\r\n", "number_of_libraries:1\r\n", "used_memory_scripts_eval:8\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}
