package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/model/redis"
)

func TestNextDatabase(t *testing.T) {
	db := kv.New(kvmem.New(func() base.Stamp { return base.Stamp(time.Now().UnixMicro()) }), time.Now)
	s := db.NewSession()
	run := func(fn func(t kv.Txn) error) {
		t.Helper()
		if _, err := s.Run(kv.Func(fn)); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, ns := range []keyspace.NamespaceID{1, 2, 300, 70_000} {
		for _, number := range []uint8{0, 3, 15} {
			d, err := redis.Open(ns, number, redis.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprint(ns, "/", number))
			run(func(t kv.Txn) error {
				_, err := redis.Set(t, d, []byte("k"), []byte("v"), redis.SetOptions{})
				return err
			})
		}
		run(func(t kv.Txn) error {
			t.Set(append(keyspace.AppendModel(nil, ns+1, keyspace.ModelZMap), 'k'), []byte("v"))
			return nil
		})
	}
	var got []string
	run(func(t kv.Txn) error {
		got = nil
		for d, err := redis.NextDatabase(t, nil, redis.Options{}); d != nil || err != nil; d, err = redis.NextDatabase(t, d, redis.Options{}) {
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprint(d.Namespace(), "/", d.Number()))
		}
		return nil
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}
