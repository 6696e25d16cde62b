// Package client speaks to a Strata node over gRPC: an ordered map of bytes to
// bytes per namespace, with single operations and strictly serializable transactions.
//
//	c, err := client.Dial("127.0.0.1:50051", client.Options{})
//	...
//	_, err = c.Transact(ctx, func(t *client.Txn) error {
//		stock, err := t.Get([]byte("keyboards"))
//		...
//		return t.Put([]byte("keyboards"), fewer)
//	})
//
// Every write ends in one of three ways: it is committed; it is not, and the error
// says why; or its outcome is unknown (ErrUnknownOutcome), because the connection or
// the node's place in its cluster was lost after it was sent. The client repeats a
// transaction only when nothing of it was written. An unknown outcome is the
// caller's to resolve, unless the transaction is marked as Idempotent.
package client
