// Package sorting is Redis's SORT over a kv.Txn: the elements of a list, a set or a sorted
// set in another order, or what other keys say of them.
package sorting
