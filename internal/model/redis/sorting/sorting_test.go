package sorting

import (
	"bytes"
	"slices"
	"strconv"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/test/redistest"
)

// TestLayouts: the order is the same however things are laid out, and what is stored is a
// list as it should be.
func TestLayouts(t *testing.T) {
	lists := redistest.ValueType{Kind: redis.TypeList, Check: list.Check}
	sets := redistest.ValueType{Kind: redis.TypeZSet, Check: zset.Check}
	for name, layout := range redistest.Layouts {
		t.Run(name, func(t *testing.T) {
			w := redistest.NewWorld(t, layout).With(lists, sets)
			var elements, by [][]byte
			var members []zset.Scored
			for i := range 100 {
				n := []byte(strconv.Itoa(i * 37 % 100))
				elements, members = append(elements, n), append(members, zset.Scored{Member: n, Score: 1})
				by = append(by, slices.Concat([]byte("by"), n), []byte(strconv.Itoa(-i)))
			}
			w.Must(func(t kv.Txn) error {
				if _, err := list.Push(t, w.At, []byte("list"), elements, list.Right, false); err != nil {
					return err
				}
				if _, err := zset.Add(t, w.At, []byte("zset"), members, zset.AddOptions{}); err != nil {
					return err
				}
				if _, err := redis.SAdd(t, w.At, []byte("set"), elements); err != nil {
					return err
				}
				return redis.MSet(t, w.At, by)
			})
			ascending := slices.Clone(elements)
			slices.SortFunc(ascending, func(a, b []byte) int { return int(redistest.Number(string(a)) - redistest.Number(string(b))) })
			backward := slices.Clone(elements)
			slices.Reverse(backward)
			for _, key := range []string{"list", "set", "zset"} {
				for _, c := range []struct {
					o    Options
					want [][]byte
				}{{Options{Count: -1}, ascending}, {Options{By: []byte("by*"), Count: -1}, backward}, {Options{By: []byte("by*"), Offset: 5, Count: 10}, backward[5:15]}} {
					var got, stored [][]byte
					w.Must(func(txn kv.Txn) (err error) {
						if got, err = Sort(txn, w.At, []byte(key), c.o); err != nil {
							return err
						}
						if _, err = Store(txn, w.At, []byte("stored"), []byte(key), c.o); err != nil {
							return err
						}
						stored, err = list.Range(txn, w.At, []byte("stored"), 0, -1, nil)
						if !slices.EqualFunc(got, c.want, bytes.Equal) || !slices.EqualFunc(stored, c.want, bytes.Equal) {
							t.Errorf("%s %+v: %s, stored %s", key, c.o, got, stored)
						}
						return err
					})
					w.Check()
				}
			}
		})
	}
}
