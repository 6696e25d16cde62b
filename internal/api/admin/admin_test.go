package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

const self = "0123456789abcdef0123456789abcdef01234567"

// node is a database with both doors.
type node struct {
	told          told
	t             testing.TB
	admin         *Admin
	client, admAt string
	db            *kv.DB
	ahead         atomic.Int64 // of the clock, a time.Duration
}

func start(t testing.TB) *node {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &node{t: t, db: kv.New(kvrange.New(s), time.Now)}
	shards, err := catalog.OpenShards(n.db, catalog.ShardCounts{Redis: 4, Bucket: 2})
	if err != nil {
		t.Fatal(err)
	}
	n.admin, err = New(Options{
		Cluster: "c1",
		DB:      n.db, Shards: shards, MemberID: self, Nodes: &n.told, Now: func() time.Time { return time.Now().Add(time.Duration(n.ahead.Load())) },
		External: catalog.Address{Host: "db1", Port: 5484}, Internal: catalog.Address{Host: "db1", Port: 3320},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.client = n.serve(redis.Options{DB: n.db, Shards: shards})
	n.admAt = n.serve(redis.Options{DB: n.db, Families: n.admin.Families(), ManualExpiry: true})
	return n
}

func (n *node) serve(o redis.Options) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	s := redis.NewServer(o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	n.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			n.t.Error(err)
		}
	})
	return l.Addr().String()
}

// line is a connection that speaks in lines.
type line struct {
	t testing.TB
	c *goredis.Conn
}

func (n *node) line(addr string) *line {
	c := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 3, MaxRetries: -1, ReadTimeout: time.Minute})
	l := &line{n.t, c.Conn()}
	n.t.Cleanup(func() { _ = errors.Join(l.c.Close(), c.Close()) })
	return l
}

func (l *line) do(command string) string {
	var args []any
	for _, w := range strings.Fields(command) {
		args = append(args, w)
	}
	v, err := l.c.Do(context.Background(), args...).Result()
	switch {
	case errors.Is(err, goredis.Nil):
		return "nil"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprint(v)
}

// script runs lines of the form "command => reply"; without a reply it is OK.
func (l *line) script(text string) {
	l.t.Helper()
	for _, row := range strings.Split(strings.TrimSpace(text), "\n") {
		command, want, found := strings.Cut(row, "=>")
		if want = strings.TrimSpace(want); !found {
			want = "OK"
		}
		got := l.do(command)
		if prefix, open := strings.CutSuffix(want, "…"); got != want && !(open && strings.HasPrefix(got, prefix)) {
			l.t.Errorf("%s: got %q, want %q", strings.TrimSpace(command), got, want)
		}
	}
}

func TestCommands(t *testing.T) {
	n := start(t)
	if err := n.run(func(t kv.Txn) error {
		return catalog.WriteMember(t, catalog.Member{ID: strings.Repeat("ab", 20), Status: catalog.MemberRunning})
	}); err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("ab", 20)
	n.line(n.admAt).script(strings.NewReplacer("SELF", self, "OTHER", other).Replace(`
		PING                                         => PONG
		GET k                                        => ERR unknown command 'GET'…
		KR.ADMIN                                     => ERR wrong number of arguments for 'kr.admin' command
		KR.ADMIN FROB                                => ERR unknown subcommand: 'FROB'
		KR.ADMIN INITIALIZE-CLUSTER
		kr.admin initialize-cluster                  => ERR cluster has already been initialized
		KR.ADMIN DESCRIBE-MEMBER x                   => ERR invalid number of parameters
		KR.ADMIN DESCRIBE-MEMBER                     => map[external_host:db1 external_port:5484 internal_host:db1 internal_port:3320 latest_heartbeat:1 member_id:SELF process_id:…
		KR.ADMIN LIST-SILENT-MEMBERS                 => [OTHER]
		KR.ADMIN FIND-MEMBER                         => ERR member id is required
		KR.ADMIN FIND-MEMBER nope-nope               => ERR Invalid memberId: nope-nope
		KR.ADMIN FIND-MEMBER 0124                    => ERR no member found with prefix: 0124
		KR.ADMIN FIND-MEMBER 0123                    => map[external_host:db1…
		KR.ADMIN SET-MEMBER-STATUS SELF              => ERR Invalid number of parameters
		KR.ADMIN SET-MEMBER-STATUS SELF asleep       => ERR Invalid member status asleep
		KR.ADMIN REMOVE-MEMBER OTHER                 => ERR Member in RUNNING status cannot be removed
		KR.ADMIN ROUTE SET STANDBY BUCKET 0 OTHER    => ERR no primary member assigned yet
		KR.ADMIN ROUTE SET BOSS BUCKET 0 OTHER       => ERR Invalid route kind: BOSS
		KR.ADMIN ROUTE PUT PRIMARY BUCKET 0 OTHER    => ERR Invalid operation kind: PUT
		KR.ADMIN ROUTE SET PRIMARY BOX 0 OTHER       => ERR invalid shard kind
		KR.ADMIN ROUTE SET PRIMARY BUCKET 2 OTHER    => ERR invalid shard id
		KR.ADMIN ROUTE SET PRIMARY BUCKET 0          => ERR invalid number of parameters
		KR.ADMIN ROUTE SET PRIMARY BUCKET 0 a3f18b2e74d9c5601f82e4a7b390d612c8f7e149 => ERR member not found
		KR.ADMIN ROUTE SET PRIMARY BUCKET * SELF
		KR.ADMIN ROUTE SET STANDBY BUCKET 0 SELF     => ERR primary cannot be assigned as a standby
		KR.ADMIN ROUTE SET STANDBY BUCKET 0 abab
		KR.ADMIN ROUTE SET STANDBY BUCKET * abab     => ERR already assigned as a standby
		KR.ADMIN DESCRIBE-SHARD BUCKET 1             => map[linked_volumes:[bucket-shard-1] primary:SELF standbys:[] status:INOPERABLE]
		KR.ADMIN SET-SHARD-STATUS BUCKET 0 readwrite
		KR.ADMIN SET-SHARD-STATUS BUCKET 0           => ERR invalid number of parameters
		KR.ADMIN SET-SHARD-STATUS BUCKET 0 DISABLED  => ERR Invalid shard status DISABLED
		KR.ADMIN SET-SHARD-STATUS BUCKET -1 READONLY => ERR invalid shard id
		KR.ADMIN ROUTE SET PRIMARY BUCKET 0 OTHER    => ERR Shard status must not be READWRITE
		KR.ADMIN SET-SHARD-STATUS BUCKET 0 READONLY
		KR.ADMIN ROUTE SET PRIMARY BUCKET 0 OTHER
		KR.ADMIN DESCRIBE-SHARD bucket 0             => map[linked_volumes:[bucket-shard-0] primary:OTHER standbys:[] status:READONLY]
		KR.ADMIN ROUTE SET PRIMARY BUCKET 1 OTHER    => ERR Member id: OTHER is not a standby
		KR.ADMIN ROUTE UNSET STANDBY BUCKET 0 SELF   => ERR member is not a standby
		KR.ADMIN ROUTE UNSET PRIMARY BUCKET 0 OTHER  => ERR UNSET PRIMARY is not supported
		KR.ADMIN ROUTE SET PRIMARY REDIS * SELF
		KR.ADMIN SET-SHARD-STATUS REDIS * READWRITE
		KR.ADMIN DESCRIBE-SHARD REDIS 3              => map[linked_volumes:[redis-shard-3] primary:SELF standbys:[] status:READWRITE]
		KR.ADMIN DESCRIBE-SHARD REDIS 4              => ERR invalid shard id
		KR.ADMIN DESCRIBE-SHARD REDIS                => ERR invalid number of parameters
		KR.ADMIN DESCRIBE-CLUSTER                    => map[bucket:map[0:map[linked_volumes:…
		KR.ADMIN SET-MEMBER-STATUS OTHER stopped
		KR.ADMIN REMOVE-MEMBER abab
		KR.ADMIN FIND-MEMBER OTHER                   => ERR Member: OTHER not registered
		KR.ADMIN LIST-MEMBERS                        => map[SELF:map[…
		KR.ADMIN LIST-SILENT-MEMBERS                 => []`))
	n.line(n.client).script("KR.ADMIN DESCRIBE-CLUSTER => ERR unknown command 'KR.ADMIN'…")
}

func (n *node) run(fn kv.Func) error {
	return n.db.NewSession().RunAndWait(fn)
}

func TestDropCluster(t *testing.T) {
	n := start(t)
	l := n.line(n.admAt)
	l.script(`
		KR.ADMIN INITIALIZE-CLUSTER
		KR.ADMIN SET-SHARD-STATUS REDIS * READONLY
		KR.ADMIN DROP-CLUSTER                        => ERR cluster name is required
		KR.ADMIN DROP-CLUSTER other                  => ERR cluster name does not match
		KR.ADMIN DROP-CLUSTER strata x               => ERR no pending drop-cluster token for this cluster`)
	token := l.do("KR.ADMIN DROP-CLUSTER strata")
	l.script("KR.ADMIN DROP-CLUSTER strata 00000000-0000-0000-0000-000000000000 => ERR invalid drop-cluster token")
	l.script("KR.ADMIN DROP-CLUSTER strata " + token + " => ERR no pending drop-cluster token for this cluster")
	token = l.do("KR.ADMIN DROP-CLUSTER strata")
	n.ahead.Add(int64(2 * dropTokenAge))
	l.script("KR.ADMIN DROP-CLUSTER strata " + token + " => ERR drop-cluster token has expired")
	client := n.line(n.client)
	client.script("SET k v => REJECT …")
	l.script("KR.ADMIN DROP-CLUSTER strata " + l.do("KR.ADMIN DROP-CLUSTER strata"))
	client.script("SET k v")
	l.script("KR.ADMIN INITIALIZE-CLUSTER")
}

// TestShardStatus: "foo" is in the slot 12182, of shard 2 of 4; "bar" in 5061, of
// shard 1.
func TestShardStatus(t *testing.T) {
	n := start(t)
	operator, c := n.line(n.admAt), n.line(n.client)
	c.script("SET foo 1\nSET bar 1")
	const readonly = "REJECT shard REDIS 2 is READONLY: its keys cannot be written"
	operator.script("KR.ADMIN SET-SHARD-STATUS REDIS 2 READONLY")
	c.script(`
		SET foo 2          => ` + readonly + `
		MSET bar 2 foo 2   => ` + readonly + `
		DEL foo            => ` + readonly + `
		FLUSHALL           => ` + readonly + `
		GET foo            => 1
		MGET foo bar       => [1 1]
		DBSIZE             => 2
		SET bar 3
		ZSET foo 2
		MULTI
		SET bar 4          => QUEUED
		SET foo 4          => QUEUED
		EXEC               => ` + readonly + `
		GET bar            => 3
		BEGIN
		SET foo 5          => ` + readonly + `
		SET bar 5
		COMMIT
		GET bar            => 5`)
	operator.script("KR.ADMIN SET-SHARD-STATUS REDIS 2 INOPERABLE")
	const inoperable = "REJECT shard REDIS 2 is INOPERABLE: its keys cannot be accessed"
	c.script("GET foo => " + inoperable + "\nSET foo 2 => " + inoperable + "\nKEYS * => " + inoperable + "\nGET bar => 5\nPING => PONG")
	c.script("SADD {bar}2 1 => 1\nSORT {bar}2 => [1]\nSORT {bar}2 BY f*o => " + inoperable + "\nSORT_RO {bar}2 GET f* => " + inoperable)
	operator.script("KR.ADMIN SET-SHARD-STATUS REDIS * READWRITE")
	c.script("GET foo => 1\nBEGIN\nSET foo 7")
	operator.script("KR.ADMIN SET-SHARD-STATUS REDIS * READONLY")
	c.script("COMMIT => NOT_COMMITTED …\nGET foo => 1")
}

// TestShardStatusRace: what was acknowledged before READONLY was is all that is
// ever there.
func TestShardStatusRace(t *testing.T) {
	n := start(t)
	operator, reader := n.line(n.admAt), n.line(n.client)
	for round := range 20 {
		var wg sync.WaitGroup
		for w := range 8 {
			l := n.line(n.client)
			wg.Go(func() {
				for {
					command := "INCR foo"
					if w%4 == 3 {
						l.script("MULTI\nINCR foo => QUEUED")
						command = "EXEC"
					}
					if strings.HasPrefix(l.do(command), "REJECT") {
						return
					}
				}
			})
		}
		for range 5 * round { // lets the writers get to different places
			reader.do("GET foo")
		}
		operator.script("KR.ADMIN SET-SHARD-STATUS REDIS 2 READONLY")
		before := reader.do("GET foo")
		wg.Wait()
		if after := reader.do("GET foo"); after != before {
			t.Fatalf("round %d: %s when READONLY was acknowledged, %s later", round, before, after)
		}
		operator.script("KR.ADMIN SET-SHARD-STATUS REDIS 2 READWRITE")
	}
}
