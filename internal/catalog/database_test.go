package catalog

import (
	"errors"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

func (f *fixture) swap(ns keyspace.NamespaceID, a, b uint8) (d Databases, err error) {
	err = f.run(func(t kv.Txn) error { d, err = SwapDatabases(t, ns, a, b); return err })
	return d, err
}

// rows are those of the table of databases.
func (f *fixture) rows() (rows [][2][]byte) {
	span := base.PrefixSpan([]byte{keyspace.Sys, keyspace.SysRedisDatabase})
	if err := f.run(func(t kv.Txn) error {
		rows = nil
		return t.Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
			rows = append(rows, [2][]byte{append([]byte{}, key...), append([]byte{}, value...)})
			return true
		})
	}); err != nil {
		f.t.Fatal(err)
	}
	return rows
}

func TestSwapDatabases(t *testing.T) {
	for name, f := range map[string]*fixture{"memory": overMemory(t), "range": overRange(t)} {
		t.Run(name, func(t *testing.T) {
			term := f.c.Renew()
			first, third := f.db.Watch(slotKey(7, 1, 5)), f.db.Watch(slotKey(7, 3, 5))
			defer first.Close()
			defer third.Close()
			for _, pair := range [][2]uint8{{0, 1}, {1, 15}, {4, 4}} {
				if _, err := f.swap(7, pair[0], pair[1]); err != nil {
					t.Fatal(err)
				}
			}
			var d Databases
			if err := f.run(func(t kv.Txn) (err error) { d, err = ReadDatabases(t, 7); return err }); err != nil {
				t.Fatal(err)
			}
			for number, physical := range map[uint8]uint8{0: 1, 1: 15, 15: 0, 4: 4} {
				if d.Physical(number) != physical || d.Number(physical) != number {
					t.Errorf("database %d is stored under %d", number, d.Physical(number))
				}
			}
			if over, _ := term.Over(); !over {
				t.Error("the term goes on")
			}
			if touched, _ := first.Dirty(); !touched {
				t.Error("a watch in a swapped database is clean")
			}
			if touched, _ := third.Dirty(); touched {
				t.Error("a watch in another database is dirty")
			}
			rows := f.rows()
			if len(rows) != 1 {
				t.Fatalf("rows %q", rows)
			}
			if got := keyspace.Pretty(rows[0][0]); got != "/sys/redis-db/physical/7" {
				t.Error(got)
			}
			if ns, same, err := DecodeDatabases(rows[0][0], rows[0][1]); ns != 7 || same != d || err != nil {
				t.Errorf("decoded %d, %x, %v", ns, same, err)
			}
			for _, pair := range [][2]uint8{{1, 15}, {0, 1}} {
				if _, err := f.swap(7, pair[0], pair[1]); err != nil {
					t.Fatal(err)
				}
			}
			if rows := f.rows(); len(rows) > 0 {
				t.Errorf("rows %q", rows)
			}
		})
	}
}

func TestPurgeForgetsSwaps(t *testing.T) {
	f := overMemory(t)
	if err := f.create("a.b"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"a", "a.b"} {
		ns, err := f.resolve(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.swap(ns, 2, 3); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.rows()); n != 2 {
		t.Fatalf("%d rows", n)
	}
	if err := errors.Join(f.remove("a"), f.purge("a")); err != nil {
		t.Fatal(err)
	}
	if rows := f.rows(); len(rows) > 0 {
		t.Errorf("rows %q", rows)
	}
}

func TestDecodeDatabases(t *testing.T) {
	sound := Databases("").swapped(3, 9)
	for name, row := range map[string]struct {
		key   []byte
		value string
	}{
		"other":     {[]byte{keyspace.Sys, keyspace.SysRedisDatabase, 0x02, 1, 7, 1}, ""},
		"longer":    {append(databasesKey(7), 0), string(sound)},
		"no number": {databasesKey(7)[:3], string(sound)},
		"too few":   {databasesKey(7), string(sound[:15])},
		"too many":  {databasesKey(7), string(sound) + "\x10"},
		"twice":     {databasesKey(7), string(sound[:15]) + "\x00"},
		"too high":  {databasesKey(7), "\xff" + string(sound[1:])},
	} {
		if _, _, err := DecodeDatabases(row.key, []byte(row.value)); !errors.Is(err, base.ErrCorruption) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
