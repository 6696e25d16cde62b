package client

import (
	"context"
	"encoding/binary"

	"github.com/stratadb/strata/proto"
)

// flushBytes is how much a transaction's writes gather before they are sent.
const flushBytes = 256 << 10

// Txn is a transaction in progress: it reads a snapshot with its own writes over it.
// Writes are gathered and sent with the next read, or before the commit; an error of
// a write may come then. Its methods are used by one goroutine. After an error the
// transaction cannot be committed.
type Txn struct {
	ctx       context.Context
	kv        proto.TransactionalKVClient
	id        string
	namespace string
	writes    []*proto.Mutation
	bytes     int
	err       error
}

// Use makes another namespace the one of the operations that follow.
func (t *Txn) Use(namespace string) error {
	err := t.flush()
	t.namespace = namespace
	return err
}

// Get returns the value of key, nil when there is none.
func (t *Txn) Get(key []byte) ([]byte, error) {
	resp, err := t.read(&proto.ReadRequest{Operation: &proto.ReadRequest_Get{Get: &proto.GetOperation{Key: key}}})
	return valueOf(resp.GetGet().GetValue(), resp.GetGet().GetExists()), err
}

// Scan visits the pairs of a range until visit returns false.
func (t *Txn) Scan(r Range, visit func(key, value []byte) bool) error {
	return r.pages(visit, func(r Range) (page, error) {
		resp, err := t.read(&proto.ReadRequest{Operation: &proto.ReadRequest_Scan{
			Scan: &proto.ScanOperation{Start: r.Start, End: r.End, Limit: r.pageLimit(), Reverse: r.Reverse},
		}})
		return resp.GetScan(), err
	})
}

func (t *Txn) read(req *proto.ReadRequest) (*proto.ReadResponse, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	req.TransactionId, req.Namespace = t.id, t.namespace
	resp, err := t.kv.Read(t.ctx, req)
	return resp, t.fail(err)
}

// Put stores value under key. Key and value must not be changed before the
// transaction ends; nor those of the other writes.
func (t *Txn) Put(key, value []byte) error {
	return t.write(len(key)+len(value), &proto.Mutation{Operation: &proto.Mutation_Put{Put: &proto.KeyValue{Key: key, Value: value}}})
}

// Delete removes key.
func (t *Txn) Delete(key []byte) error {
	return t.write(len(key), &proto.Mutation{Operation: &proto.Mutation_Delete{Delete: key}})
}

// DeleteRange removes the keys from start up to, but without, end. An empty end is open.
func (t *Txn) DeleteRange(start, end []byte) error {
	return t.write(len(start)+len(end), &proto.Mutation{Operation: &proto.Mutation_DeleteRange{
		DeleteRange: &proto.KeyRange{Start: start, End: end},
	}})
}

// Add adds to a number of eight bytes, little-endian, and does not conflict with
// others who do. An absent one is 0.
func (t *Txn) Add(key []byte, delta int64) error {
	return t.Atomic(proto.AtomicOperation_KIND_ADD, key, binary.LittleEndian.AppendUint64(nil, uint64(delta)))
}

// Atomic does an atomic operation, which leaves no read conflict.
func (t *Txn) Atomic(kind proto.AtomicOperation_Kind, key, operand []byte) error {
	return t.write(len(key)+len(operand), &proto.Mutation{Operation: &proto.Mutation_Atomic{
		Atomic: &proto.AtomicOperation{Kind: kind, Key: key, Operand: operand},
	}})
}

// mutationOverhead is what a mutation costs in a message beyond its key and value, in bytes.
const mutationOverhead = 16

func (t *Txn) write(bytes int, m *proto.Mutation) error {
	if t.err != nil {
		return t.err
	}
	t.writes = append(t.writes, m)
	if t.bytes += bytes + mutationOverhead; t.bytes < flushBytes {
		return nil
	}
	return t.flush()
}

// flush sends the writes that have gathered.
func (t *Txn) flush() error {
	if t.err != nil || len(t.writes) == 0 {
		return t.err
	}
	_, err := t.kv.Write(t.ctx, &proto.WriteRequest{TransactionId: t.id, Namespace: t.namespace, Mutations: t.writes})
	t.writes, t.bytes = nil, 0
	return t.fail(err)
}

func (t *Txn) fail(err error) error {
	if err == nil {
		return nil
	}
	if t.err == nil {
		t.err = failed(err)
	}
	return t.err
}
