package keyspace

import (
	"bytes"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

func TestCut(t *testing.T) {
	db := AppendRedisDB(nil, 1, 0)
	slot := func(n uint16) []byte { return AppendRedisSlot(nil, db, n) }
	key := func(n uint16, name string) []byte {
		return AppendEscaped(append(slot(n), SlotKeys, 1, 2, 3, 4, 5), []byte(name))
	}
	element := func(n uint16, name, part string) []byte { return append(key(n, name), part...) }
	zmap := append(AppendModel(nil, 1, ModelZMap), "abc"...)
	span := func(a, b []byte) base.Span { return base.Span{Start: a, End: b} }
	for name, c := range map[string]struct {
		span  base.Span
		key   []byte
		whole Together
		want  []byte
	}{
		"a slot's begin":                        {All(), element(7, "k", "f"), Slots, slot(7)},
		"its end, where the range begins in it": {span(key(7, "a"), All().End), element(7, "k", "f"), Slots, slot(8)},
		"nothing inside of a slot":              {span(slot(7), slot(8)), element(7, "k", "f"), Slots, nil},
		"a key's begin":                         {span(slot(7), slot(8)), element(7, "k", "f"), Keys, key(7, "k")},
		"a key's end":                           {span(element(7, "k", "a"), slot(8)), element(7, "k", "f"), Keys, base.PrefixEnd(key(7, "k"))},
		"nothing inside of a key":               {span(element(7, "k", "a"), element(7, "k", "x")), element(7, "k", "f"), Keys, nil},
		"a row":                                 {span(element(7, "k", "a"), element(7, "k", "x")), element(7, "k", "f"), Rows, element(7, "k", "f")},
		"a counter belongs to its slot":         {All(), append(slot(7), SlotCounters, 1), Slots, slot(7)},
		"and is a row of its own":               {span(slot(7), slot(8)), append(slot(7), SlotCounters, 1), Keys, append(slot(7), SlotCounters, 1)},
		"a key of an ordered map":               {All(), zmap, Slots, zmap},
		"not where the range begins":            {span(zmap, All().End), zmap, Rows, nil},
		"not where it ends":                     {span(slot(7), zmap), zmap, Rows, nil},
		"not below the namespaces":              {All(), []byte{Sys, 1}, Rows, nil},
	} {
		if got := Cut(c.span, c.key, c.whole); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %s, want %s", name, Pretty(got), Pretty(c.want))
		}
	}
}

func TestPrettySlot(t *testing.T) {
	if got := Pretty(AppendRedisSlot(nil, AppendRedisDB(nil, 1, 0), 777)); got != "/data/1/redis/0/slot 777" {
		t.Error(got)
	}
}
