package catalog

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Databases says where a namespace's numbered Redis databases are stored: byte n is
// the physical number of database n. When it is empty, each is stored under its own.
// It is the row's value.
type Databases string

// Physical is the number under which a database is stored.
func (d Databases) Physical(number uint8) uint8 {
	if d == "" {
		return number
	}
	return d[number]
}

// Number is the database that is stored under a physical number.
func (d Databases) Number(physical uint8) uint8 {
	for n := range len(d) {
		if d[n] == physical {
			return uint8(n)
		}
	}
	return physical
}

// area is where the data of a database of ns lies.
func (d Databases) area(ns keyspace.NamespaceID, number uint8) base.Span {
	return base.PrefixSpan(keyspace.AppendRedisDB(nil, ns, d.Physical(number)))
}

// swapped is d with two databases exchanged.
func (d Databases) swapped(a, b uint8) Databases {
	var row [keyspace.RedisDatabases]byte
	for n := range row {
		row[n] = d.Physical(uint8(n))
	}
	row[a], row[b] = row[b], row[a]
	for n := range row {
		if row[n] != byte(n) {
			return Databases(row[:])
		}
	}
	return ""
}

// valid reports whether every database is stored somewhere and no two together.
func (d Databases) valid() bool {
	var used [keyspace.RedisDatabases]bool
	for n := range len(d) {
		if int(d[n]) >= len(used) || used[d[n]] {
			return false
		}
		used[d[n]] = true
	}
	return len(d) == len(used)
}

func databasesKey(ns keyspace.NamespaceID) []byte {
	return keyspace.AppendOrdered([]byte{keyspace.Sys, keyspace.SysRedisDatabase, keyspace.DatabasePhysical}, uint64(ns))
}

// ReadDatabases reads where the databases of a namespace are stored.
func ReadDatabases(t kv.Reader, ns keyspace.NamespaceID) (Databases, error) {
	value, err := t.Get(databasesKey(ns))
	if err != nil || value == nil {
		return "", err
	}
	if d := Databases(value); d.valid() {
		return d, nil
	}
	return "", corrupt("databases of namespace %d: %x", ns, value)
}

// SwapDatabases exchanges two databases of a namespace, and returns where they all
// are from then on. No data moves.
func SwapDatabases(t kv.Txn, ns keyspace.NamespaceID, a, b uint8) (Databases, error) {
	d, err := ReadDatabases(t, ns)
	if err != nil || a == b {
		return d, err
	}
	first, second := d.area(ns, a), d.area(ns, b)
	if d = d.swapped(a, b); d == "" {
		t.Clear(databasesKey(ns))
	} else {
		t.Set(databasesKey(ns), []byte(d))
	}
	bumpEpoch(t, first, second)
	return d, nil
}

// DecodeDatabases reads a row below keyspace.SysRedisDatabase.
func DecodeDatabases(key, value []byte) (keyspace.NamespaceID, Databases, error) {
	if len(key) > 3 && key[2] == keyspace.DatabasePhysical {
		ns, rest, ok := keyspace.DecodeOrdered(key[3:])
		if d := Databases(value); ok && len(rest) == 0 && d.valid() {
			return keyspace.NamespaceID(ns), d, nil
		}
	}
	return 0, "", corrupt("row %s: %x", keyspace.Pretty(key), value)
}
