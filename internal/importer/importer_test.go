package importer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/importer"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/test/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

func client(t testing.TB, addr string, db int) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, DB: db, MaxRetries: -1, ReadTimeout: time.Minute})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// fill stores values of all types and sizes, and answers how many.
func fill(t testing.TB, c *redis.Client, small int) int64 {
	t.Helper()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(1, 2))
	p := c.Pipeline()
	for i := range small {
		key := fmt.Sprint("key:", i)
		switch i % 8 {
		case 0:
			p.Set(ctx, key, strings.Repeat("v", r.IntN(300)), 0)
		case 1:
			p.Set(ctx, key, i, time.Hour+time.Duration(i)*time.Second)
		case 2:
			p.RPush(ctx, key, "a", i, "b")
		case 3:
			p.SAdd(ctx, key, i, i+1, "x")
		case 4:
			p.HSet(ctx, key, "f", i, "g", "v")
		case 5:
			p.ZAdd(ctx, key, redis.Z{Score: float64(i) / 3, Member: "m"}, redis.Z{Score: -1, Member: "n"})
		case 6:
			p.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: "1-1", Values: []any{"f", i}})
			p.XGroupCreate(ctx, key, "g", "0")
			p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{key, ">"}})
		default:
			p.PFAdd(ctx, key, i, i+1)
		}
	}
	// Larger than what is copied whole.
	p.Set(ctx, "large:string", strings.Repeat("0123456789", 1_200_000), time.Hour)
	for i := range 90 {
		elements := make([]any, 0, 100)
		fields := make([]any, 0, 100)
		var scored []redis.Z
		for j := range 50 {
			e := fmt.Sprint(i, ".", j, strings.Repeat("-", 2000))
			elements, fields = append(elements, e), append(fields, e, j)
			scored = append(scored, redis.Z{Score: float64(i*50+j) / 7, Member: e})
		}
		p.RPush(ctx, "large:list", elements...)
		p.SAdd(ctx, "large:set", elements...)
		p.HSet(ctx, "large:hash", fields...)
		p.ZAdd(ctx, "large:zset", scored...)
		p.XAdd(ctx, &redis.XAddArgs{Stream: "large:stream", Values: elements})
	}
	p.XGroupCreate(ctx, "large:stream", "g", "0")
	p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Count: 60, Streams: []string{"large:stream", ">"}})
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	return int64(small + 6)
}

type memory struct {
	sync.Mutex
	b []byte
}

func (m *memory) Load() ([]byte, error) {
	m.Lock()
	defer m.Unlock()
	return m.b, nil
}

func (m *memory) Save(b []byte) error {
	m.Lock()
	defer m.Unlock()
	m.b = append([]byte(nil), b...)
	return nil
}

func options(from, to string) importer.Options {
	return importer.Options{From: peer.Server{Addr: from, Timeout: time.Minute}, To: peer.Server{Addr: to, Timeout: time.Minute},
		Existing: importer.Skip, Workers: 3, Batch: 50}
}

// TestImport: everything is copied, in whole or in pieces, and is verified; what is there
// already is treated as asked for.
func TestImport(t *testing.T) {
	source, node := process.Redis(t), process.Start(t, process.Options{})
	c, ctx := client(t, source, 0), context.Background()
	n := fill(t, c, 2000)
	client(t, source, 3).Set(ctx, "elsewhere", 1, 0)
	o := options(source, node.RESP)
	o.Verify = true
	sum, err := importer.Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Copied != n+1 || sum.Large < 5 || sum.Verified != n+1 || sum.Different != 0 || sum.Failed != 0 {
		t.Errorf("%d keys: %+v", n+1, sum)
	}
	there := client(t, node.RESP, 0)
	if ttl := there.TTL(ctx, "large:string").Val(); ttl < 58*time.Minute || ttl > time.Hour {
		t.Errorf("the time to live is %v", ttl)
	}
	if v := client(t, node.RESP, 3).Get(ctx, "elsewhere").Val(); v != "1" {
		t.Errorf("in database 3 there is %q", v)
	}
	// Differences are found, in small and in large values.
	there.Set(ctx, "key:0", "other", 0)
	there.HSet(ctx, "large:hash", there.HKeys(ctx, "large:hash").Val()[7], "other")
	there.Persist(ctx, "key:1")
	there.Del(ctx, "key:2")
	o.Verify, o.VerifyOnly = false, true
	sum, err = importer.Run(ctx, o)
	if err != nil || sum.Different != 4 || len(sum.Problems) != 4 {
		t.Errorf("%v %+v", err, sum)
	}
	o.VerifyOnly = false
	if sum, err = importer.Run(ctx, o); err != nil || sum.Skipped != n || sum.Copied != 1 {
		t.Errorf("skip: %v %+v", err, sum)
	}
	o.Existing = importer.Fail
	if _, err = importer.Run(ctx, o); !errors.Is(err, importer.ErrExists) {
		t.Errorf("fail: %v", err)
	}
	o.Existing, o.Verify = importer.Replace, true
	if sum, err = importer.Run(ctx, o); err != nil || sum.Copied != n+1 || sum.Different != 0 {
		t.Errorf("replace: %v %+v", err, sum)
	}
	o.Existing, o.Verify = importer.Fail, false
	if sum, err = importer.Run(ctx, o); err != nil || sum.Equal != n+1 {
		t.Errorf("equal: %v %+v", err, sum)
	}
}

// TestManyDatabases: what finds the keys goes from one database to the next while workers finish the
// pages of the one before.
func TestManyDatabases(t *testing.T) {
	source, node := process.Redis(t), process.Start(t, process.Options{})
	const databases, keys = 16, 20
	for db := range databases {
		p := client(t, source, db).Pipeline()
		for i := range keys {
			p.Set(context.Background(), fmt.Sprint("key:", i), db, 0)
		}
		if _, err := p.Exec(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	o := options(source, node.RESP)
	o.Batch, o.Verify = 3, true
	if sum, err := importer.Run(context.Background(), o); err != nil || sum.Copied != databases*keys || sum.Verified != databases*keys {
		t.Errorf("%v %+v", err, sum)
	}
}

// TestResume: an import that was broken off goes on, also within a large value.
func TestResume(t *testing.T) {
	source, node := process.Redis(t), process.Start(t, process.Options{})
	c := client(t, source, 0)
	n := fill(t, c, 5000)
	o := options(source, node.RESP)
	state := &memory{}
	o.State, o.Existing = state, importer.Skip
	copied, rounds := int64(0), 0
	for ; rounds < 50; rounds++ {
		ctx, cancel := context.WithCancel(context.Background())
		left := 700 + 500*rounds // large values take their time
		o.Progress = func(importer.Progress) {
			if left -= 50; left < 0 {
				cancel()
			}
		}
		sum, err := importer.Run(ctx, o)
		cancel()
		copied += sum.Copied
		if err == nil {
			break
		}
	}
	if rounds < 2 {
		t.Fatalf("only %d rounds", rounds)
	}
	o = options(source, node.RESP)
	o.VerifyOnly = true
	sum, err := importer.Run(context.Background(), o)
	if err != nil || sum.Verified != n || sum.Different != 0 {
		t.Errorf("after %d rounds: %v %+v", rounds, err, sum)
	}
	if copied < n*9/10 || copied > n+int64(rounds)*600 {
		t.Errorf("%d of %d keys were copied in %d rounds", copied, n, rounds)
	}
}

// TestPartOfLarge: what was left of a large value by an import that was broken off is not
// taken for the value.
func TestPartOfLarge(t *testing.T) {
	source, node := process.Redis(t), process.Start(t, process.Options{})
	ctx := context.Background()
	fill(t, client(t, source, 0), 0)
	client(t, node.RESP, 0).RPush(ctx, "large:list", "a part")
	o := options(source, node.RESP)
	o.State, o.Verify = &memory{b: []byte(`{"run_id":"another","large":["0 large:list"]}`)}, true
	if sum, err := importer.Run(ctx, o); err != nil || sum.Different != 0 || sum.Skipped != 0 {
		t.Errorf("%v %+v", err, sum)
	}
}

// TestFile: a file that Redis has saved is copied, with all types of values.
func TestFile(t *testing.T) {
	source, node := process.Redis(t), process.Start(t, process.Options{})
	c, ctx := client(t, source, 0), context.Background()
	n := fill(t, c, 3000)
	client(t, source, 5).Set(ctx, "elsewhere", 1, 0)
	c.Set(ctx, "over", 1, 200*time.Millisecond)
	for i := range 600 { // values in encodings of their own
		c.SAdd(ctx, "intset", i)
		c.RPush(ctx, "quicklist", strings.Repeat("q", i))
		c.ZAdd(ctx, "skiplist", redis.Z{Score: float64(i) * 1.5, Member: i})
		c.HSet(ctx, "table", fmt.Sprint(i), strings.Repeat("ab", i))
	}
	if err := c.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	dir := c.ConfigGet(ctx, "dir").Val()["dir"]
	file, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(250 * time.Millisecond)
	sum, err := importer.RunFile(ctx, file, options("", node.RESP))
	if err != nil || sum.Copied != n+5 || sum.Failed != 0 || sum.Large < 5 || sum.Expired > 1 {
		t.Errorf("%d keys: %v %+v", n+5, err, sum)
	}
	o := options(source, node.RESP)
	o.VerifyOnly = true
	if sum, err := importer.Run(ctx, o); err != nil || sum.Verified != n+5 || sum.Different != 0 {
		t.Errorf("verify: %v %+v", err, sum)
	}
	fails := options("", node.RESP)
	fails.Existing = importer.Fail
	if sum, err := importer.RunFile(ctx, file, fails); err != nil || sum.Equal != n+5 {
		t.Errorf("again: %v %+v", err, sum)
	}
	file[len(file)/2] ^= 1
	if _, err := importer.RunFile(ctx, file, options("", node.RESP)); err == nil {
		t.Error("a damaged file was taken")
	}
}
