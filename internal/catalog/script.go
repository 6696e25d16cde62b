package catalog

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Rows of a namespace's scripts.
const (
	scriptCount   byte = 0x00
	scriptBody    byte = 0x01
	scriptLibrary byte = 0x02
)

// Library is the code of functions, under its name.
type Library struct{ Name, Code string }

func scriptsKey(ns keyspace.NamespaceID) []byte {
	return keyspace.AppendOrdered([]byte{keyspace.Sys, keyspace.SysScript}, uint64(ns))
}

func scriptKey(ns keyspace.NamespaceID, row byte, name []byte) []byte {
	return append(append(scriptsKey(ns), row), name...)
}

// ReadScript is the script of a digest in hexadecimal; nil if there is none.
func ReadScript(t kv.Reader, ns keyspace.NamespaceID, digest [40]byte) ([]byte, error) {
	var raw [20]byte
	if _, err := hex.Decode(raw[:], digest[:]); err != nil {
		return nil, nil
	}
	return t.Get(scriptKey(ns, scriptBody, raw[:]))
}

// WriteScript keeps a script under its digest, and answers how many there are then.
func WriteScript(t kv.Txn, ns keyspace.NamespaceID, digest [40]byte, body []byte) (n uint64, err error) {
	n, err = CountScripts(t, ns)
	if err != nil {
		return 0, err
	}
	old, err := ReadScript(t, ns, digest)
	if err != nil || old != nil {
		return n, err
	}
	var raw [20]byte
	if _, err := hex.Decode(raw[:], digest[:]); err != nil {
		return n, err
	}
	t.Set(scriptKey(ns, scriptCount, nil), binary.BigEndian.AppendUint64(nil, n+1))
	t.Set(scriptKey(ns, scriptBody, raw[:]), body)
	return n + 1, nil
}

// CountScripts is how many scripts are kept.
func CountScripts(t kv.Reader, ns keyspace.NamespaceID) (uint64, error) {
	value, err := t.Get(scriptKey(ns, scriptCount, nil))
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, corrupt("number of scripts %x", value)
	}
	return binary.BigEndian.Uint64(value), nil
}

// FlushScripts forgets all scripts.
func FlushScripts(t kv.Txn, ns keyspace.NamespaceID) {
	t.Clear(scriptKey(ns, scriptCount, nil))
	t.ClearRange(base.PrefixSpan(scriptKey(ns, scriptBody, nil)))
}

// ReadLibraries are the libraries of a namespace, by name.
func ReadLibraries(t kv.Reader, ns keyspace.NamespaceID) (all []Library, err error) {
	prefix := scriptKey(ns, scriptLibrary, nil)
	err = t.Scan(base.PrefixSpan(prefix), kv.ScanOptions{}, func(key, value []byte) bool {
		all = append(all, Library{string(key[len(prefix):]), string(value)})
		return true
	})
	return all, err
}

// WriteLibrary keeps a library; without code it is removed.
func WriteLibrary(t kv.Txn, ns keyspace.NamespaceID, l Library) {
	if key := scriptKey(ns, scriptLibrary, []byte(l.Name)); l.Code == "" {
		t.Clear(key)
	} else {
		t.Set(key, []byte(l.Code))
	}
	librariesChanged(t, ns)
}

// FlushLibraries removes all libraries.
func FlushLibraries(t kv.Txn, ns keyspace.NamespaceID) {
	t.ClearRange(base.PrefixSpan(scriptKey(ns, scriptLibrary, nil)))
	librariesChanged(t, ns)
}

// librariesChanged makes everybody read them again (P1).
func librariesChanged(t kv.Txn, ns keyspace.NamespaceID) {
	bumpEpoch(t, base.PrefixSpan(keyspace.AppendNamespace(nil, ns)))
}

// CheckScriptRow reads a row below keyspace.SysScript.
func CheckScriptRow(key, value []byte) error {
	if len(key) > 2 {
		_, rest, ok := keyspace.DecodeOrdered(key[2:])
		switch {
		case !ok || len(rest) == 0:
		case rest[0] == scriptCount && len(rest) == 1 && len(value) == 8,
			rest[0] == scriptBody && len(rest) == 21, rest[0] == scriptLibrary && len(rest) > 1:
			return nil
		}
	}
	return corrupt("row %s", keyspace.Pretty(key))
}
