// Package redis is Redis's data model: one function per command over kv.Txn. It
// knows no sockets, no RESP and no clock but the transaction's.
package redis
