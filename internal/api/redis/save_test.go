package redis

import (
	"context"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/model/redis/rdb"
	"github.com/stratadb/strata/test/process"
)

// everything is data of all types, in several databases, in small and in large.
func everything(ctx context.Context, c *goredis.Client) error {
	_, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range 3000 {
			p.RPush(ctx, "long list", fmt.Sprint("element ", i), i)
			p.SAdd(ctx, "large set", fmt.Sprint("member ", i*7919%3000))
			p.HSet(ctx, "large hash", fmt.Sprint("field ", i), strings.Repeat("v", i%50))
			p.ZAdd(ctx, "large zset", goredis.Z{Score: float64(i%100) / 7, Member: fmt.Sprint("m", i)})
			p.SAdd(ctx, "numbers", i)
		}
		p.Set(ctx, "huge", strings.Repeat("0123456789", 1<<20), 0)
		p.Set(ctx, "\x00\xff\r\n", "\x00\xff\r\n", 0)
		p.Set(ctx, "", "", 0)
		p.Set(ctx, "number", -12345, 0)
		p.Do(ctx, "SET", "ends", "v", "PXAT", 33212345678901)
		p.HSet(ctx, "small", "f", "v", "g", "1")
		p.Do(ctx, "PEXPIREAT", "small", 33212345678902)
		p.ZAdd(ctx, "small zset", goredis.Z{Score: 1e300, Member: "a"}, goredis.Z{Score: -0.1, Member: "b"})
		p.Do(ctx, "ZADD", "small zset", "-inf", "least", "inf", "most")
		p.PFAdd(ctx, "sketch", "a", "b", "c")
		p.SetBit(ctx, "bits", 70001, 1)
		for i := range 250 {
			p.XAdd(ctx, &goredis.XAddArgs{Stream: "stream", ID: fmt.Sprint(i+1, "-1"), Values: []any{"n", i, "other", "x"}})
		}
		p.Do(ctx, "XDEL", "stream", "3-1")
		p.Do(ctx, "XGROUP", "CREATE", "stream", "readers", "5-1")
		p.Do(ctx, "XGROUP", "CREATECONSUMER", "stream", "readers", "nobody")
		p.Do(ctx, "XGROUP", "CREATE", "stream", "late", "$")
		p.Do(ctx, "XREADGROUP", "GROUP", "readers", "ann", "COUNT", 20, "STREAMS", "stream", ">")
		p.Do(ctx, "XACK", "stream", "readers", "7-1")
		p.Do(ctx, "XGROUP", "CREATE", "empty", "g", "0", "MKSTREAM")
		p.Do(ctx, "FUNCTION", "LOAD", "#!lua name=one\nredis.register_function('f', function(keys, args) return args[1] end)")
		p.Do(ctx, "FUNCTION", "LOAD", "#!lua name=two\nredis.register_function{function_name='g', callback=function() return 1 end, flags={'no-writes'}}")
		p.Do(ctx, "SELECT", 3)
		p.Set(ctx, "in three", "x", 0)
		p.Do(ctx, "SELECT", 15)
		p.RPush(ctx, "last", "a", "b")
		p.Do(ctx, "SWAPDB", 3, 7)
		p.Do(ctx, "SELECT", 0)
		return nil
	})
	return err
}

// exact is what a server answers about data, apart from times that depend on when it was read.
func exact(t *testing.T, c *goredis.Client) string {
	t.Helper()
	var b strings.Builder
	for _, command := range []string{"DEBUG DIGEST", "DBSIZE", "PEXPIRETIME ends", "PEXPIRETIME small", "XPENDING stream readers", "XLEN empty", "XINFO GROUPS empty",
		"XPENDING stream readers - + 100 ann", "FUNCTION LIST LIBRARYNAME one WITHCODE", "FUNCTION LIST LIBRARYNAME two", "FCALL g 0", "OBJECT ENCODING numbers"} {
		var args []any
		for _, word := range strings.Fields(command) {
			args = append(args, word)
		}
		v, err := c.Do(t.Context(), args...).Result()
		if list, ok := v.([]any); ok && strings.HasSuffix(command, "ann") {
			for _, e := range list {
				e.([]any)[2] = nil // for how long it has been so
			}
		}
		fmt.Fprintf(&b, "%s: %v %v\n", command, v, err)
	}
	return b.String()
}

// redisClients are clients of a real server, and of a second one, with its directory.
func realPair(t *testing.T) (a, b *goredis.Client, dir string) {
	t.Helper()
	var list [2]*goredis.Client
	for i := range list {
		list[i] = goredis.NewClient(&goredis.Options{Addr: process.Redis(t, "--enable-debug-command", "yes"), PoolSize: 1, ReadTimeout: patience})
		t.Cleanup(func() { _ = list[i].Close() })
	}
	return list[0], list[1], must[map[string]string](t)(list[1].ConfigGet(t.Context(), "dir").Result())["dir"]
}

func loadInto(t *testing.T, c *goredis.Client, dir, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), "DEBUG", "RELOAD", "NOSAVE").Err(); err != nil {
		t.Fatalf("the file is not loaded: %v", err)
	}
}

// TestSavedFileIsRedis: a real server that loads what SAVE has written holds what it holds that
// was sent the same commands, and so does one that redis-cli --rdb has made a copy for.
func TestSavedFileIsRedis(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "files")
	s := start(t, Options{SaveDir: dir})
	ours := goredis.NewClient(&goredis.Options{Addr: s.addr, PoolSize: 1, ReadTimeout: patience})
	defer func() { _ = ours.Close() }()
	reference, loaded, loadedDir := realPair(t)
	for _, c := range []*goredis.Client{ours, reference} {
		if err := everything(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	want := exact(t, reference)
	if err := ours.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	loadInto(t, loaded, loadedDir, filepath.Join(dir, "dump.rdb"))
	if got := exact(t, loaded); got != want {
		t.Errorf("loaded\n%s\nwanted\n%s", got, want)
	}
	if out, err := osexec.Command("redis-check-rdb", filepath.Join(dir, "dump.rdb")).CombinedOutput(); err != nil && !strings.Contains(err.Error(), "not found") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := osexec.LookPath("redis-cli"); err != nil {
		t.Skip("redis-cli is not here")
	}
	host, port, _ := strings.Cut(s.addr, ":")
	for flag, functions := range map[string]bool{"--rdb": false, "--functions-rdb": true} {
		file := filepath.Join(t.TempDir(), "copy.rdb")
		if out, err := osexec.CommandContext(ctx, "redis-cli", "-h", host, "-p", port, flag, file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		loadInto(t, loaded, loadedDir, file)
		if got := exact(t, loaded); !functions && got != want {
			t.Errorf("copied\n%s\nwanted\n%s", got, want)
		} else if functions && (!strings.Contains(got, "name=one") || !strings.Contains(got, "DBSIZE: 0 ")) {
			t.Errorf("of a file of functions there is\n%s", got)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 1 {
		t.Errorf("the directory holds %v", left)
	}
}

const noReplicas = "ERR there are no replicas of Redis's kind; who sends REPLCONF rdb-only 1 before SYNC gets a file"

// TestSaveCommands: what they answer, and what INFO says.
func TestSaveCommands(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{SaveDir: dir})
	c := s.dial(t)
	c.talk("SAVE x|BGSAVE now|BGSAVE a b|BGREWRITEAOF|PSYNC ? -1|REPLCONF capa|REPLCONF nope 1|REPLCONF capa eof listening-port 1|SYNC|REPLCONF rdb-only x",
		"-ERR wrong number of arguments for 'save' command|-ERR syntax error|-ERR syntax error|+Background append only file rewriting started|"+
			"-"+noReplicas+"|-ERR syntax error|-ERR Unrecognized REPLCONF option: nope|+OK|-"+noReplicas+"|-ERR value is not an integer or out of range|")
	file := s.dial(t) // says nothing about itself
	file.send("SYNC\r\nECHO behind\r\n")
	if got := file.through("$6\r\nbehind\r\n"); !strings.HasPrefix(got, "$") || !strings.Contains(got, "\r\nREDIS0010") {
		t.Errorf("SYNC: %q", got)
	}
	c.talk("CONFIG SET dbfilename ../x|CONFIG SET dir /|CONFIG SET dbfilename mine.rdb|CONFIG GET dbfilename",
		"-ERR CONFIG SET failed (possibly related to argument 'dbfilename') - dbfilename can't be a path, just a filename|"+
			"-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set immutable config|+OK|*2|$10|dbfilename|$8|mine.rdb|")
	before := s.saver.State()
	if before.Count != 0 || !before.OK || before.Last.IsZero() {
		t.Errorf("at the beginning: %+v", before)
	}
	c.talk("SET k v|BGSAVE|SAVE", "+OK|+Background saving started|")
	reply := c.through("\r\n") // the other one may be over
	if reply != "+OK\r\n" && reply != "-"+"ERR Background save already in progress"+"\r\n" {
		t.Errorf("SAVE: %s", reply)
	}
	eventually(t, func() bool { return s.saver.State().Since.IsZero() })
	state := s.saver.State()
	if _, err := os.Stat(filepath.Join(dir, "mine.rdb")); err != nil || !state.OK || state.Count == 0 || state.Moments != 1 {
		t.Errorf("%+v, %v", state, err)
	}
	save, err := s.saver.Begin(1, "other.rdb") // and does not end
	if err != nil {
		t.Fatal(err)
	}
	c.talk("SAVE|BGSAVE|BGSAVE SCHEDULE", strings.Repeat("-ERR Background save already in progress|", 3))
	c.send("INFO persistence\r\n")
	if got := c.through("aof_enabled"); !strings.Contains(got, "rdb_bgsave_in_progress:1\r\n") || !strings.Contains(got, "rdb_last_bgsave_status:ok\r\n") {
		t.Error(got)
	}
	c.send("ECHO end\r\n")
	c.through("$3\r\nend\r\n")
	if err := save(); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.talk("CONFIG SET dbfilename taken", "+OK|")
	c.send("SAVE\r\n")
	if reply := c.through("\r\n"); !strings.HasPrefix(reply, "-ERR ") || s.saver.State().OK {
		t.Errorf("a file in place of a directory: %s", reply)
	}
	c.talk(fmt.Sprintf("LASTSAVE|NAMESPACE CREATE a|NAMESPACE USE a|SET k w|CONFIG SET dbfilename x.rdb|SAVE"), fmt.Sprintf(":%d|+OK|+OK|+OK|+OK|+OK|", s.saver.State().Last.Unix()))
	if _, err := os.Stat(filepath.Join(dir, "x.rdb")); err == nil {
		t.Error("another namespace was saved in the place of the first one")
	}
}

// TestSavedAsOfAMoment: transactions are in a file entirely or not at all, while others are written.
func TestSavedAsOfAMoment(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := start(t, Options{SaveDir: dir})
	c := goredis.NewClient(&goredis.Options{Addr: s.addr, ReadTimeout: patience})
	defer func() { _ = c.Close() }()
	keys := make([]string, 1200) // more than a page
	for i := range keys {
		keys[i] = fmt.Sprint("key:", i)
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var writers sync.WaitGroup
	writers.Go(func() {
		for writing.Err() == nil {
			_, _ = c.TxPipelined(ctx, func(p goredis.Pipeliner) error {
				for _, k := range keys {
					p.Incr(ctx, k)
				}
				return nil
			})
		}
	})
	eventually(t, func() bool { return c.Exists(ctx, keys[0]).Val() == 1 })
	last := ""
	for range 5 {
		if err := c.Save(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if n := s.saver.State().Moments; n > 1 {
			t.Logf("the machine is slow: a file of %d moments", n)
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
		if err != nil {
			t.Fatal(err)
		}
		file, err := rdb.OpenFile(content)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]int{}
		for {
			r, err := file.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			values[string(r.Value.Text)]++
		}
		if len(values) != 1 || values[last] > 0 {
			t.Errorf("the keys have %v, and had %s before", values, last)
		}
		for last = range values {
		}
	}
	stop()
	writers.Wait()
}

// oblivious is an engine whose states are soon too old.
type oblivious struct {
	kv.Engine
	reads *int
	every int
}

func (f oblivious) NewAttempt() kv.Attempt { return &obliviousAttempt{f.Engine.NewAttempt(), f, 0} }

type obliviousAttempt struct {
	kv.Attempt
	f  oblivious
	at base.Stamp
}

func (a *obliviousAttempt) Begin(o kv.AttemptOptions) {
	a.at = o.At
	a.Attempt.Begin(o)
}

func (a *obliviousAttempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if a.at != 0 {
		if *a.f.reads++; *a.f.reads%a.f.every == 0 {
			return base.ErrTooOld
		}
	}
	return a.Attempt.Scan(span, reverse, visit)
}

// TestSaveOutlivesItsMoment: a file is whole, and each key is in it once, also if the state in
// which it was begun is not kept for so long.
func TestSaveOutlivesItsMoment(t *testing.T) {
	ctx, dir, reads := t.Context(), t.TempDir(), 0
	s := start(t, Options{SaveDir: dir, ManualExpiry: true, DB: kv.New(oblivious{kvmem.New(stampNow), &reads, 59}, time.Now)})
	ours := goredis.NewClient(&goredis.Options{Addr: s.addr, PoolSize: 1, ReadTimeout: patience})
	defer func() { _ = ours.Close() }()
	reference, loaded, loadedDir := realPair(t)
	for _, c := range []*goredis.Client{ours, reference} {
		if err := everything(ctx, c); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i := range 5000 {
				p.Set(ctx, fmt.Sprint("key:", i), i, 0)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ours.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if m := s.saver.State().Moments; m < 2 {
		t.Errorf("the file is of %d moments", m)
	}
	loadInto(t, loaded, loadedDir, filepath.Join(dir, "dump.rdb"))
	if got, want := exact(t, loaded), exact(t, reference); got != want {
		t.Errorf("loaded\n%s\nwanted\n%s", got, want)
	}
}
