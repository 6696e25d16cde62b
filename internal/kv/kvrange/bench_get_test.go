package kvrange_test

import (
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// BenchmarkGet is a transaction that reads a key from memory: what finding its range
// costs shows here.
func BenchmarkGet(b *testing.B) {
	s := openBench(b)
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	session := kv.New(kvrange.New(s), time.Now).NewSession()
	key := []byte("\x04key")
	run := func(c kv.Closure) {
		t, err := session.Run(c)
		if err == nil {
			err = t.Wait()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	run(kv.Func(func(t kv.Txn) error {
		t.Set(key, []byte("value"))
		return nil
	}))
	get := kv.Func(func(t kv.Txn) error {
		_, err := t.Get(key)
		return err
	})
	b.ReportAllocs()
	for b.Loop() {
		run(get)
	}
}
