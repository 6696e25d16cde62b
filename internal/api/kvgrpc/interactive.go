package kvgrpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/proto"
)

// Begin implements proto.TransactionalKVServer.
func (k *transactionalKV) Begin(context.Context, *proto.BeginRequest) (*proto.BeginResponse, error) {
	id, err := k.s.transactions.begin()
	return &proto.BeginResponse{TransactionId: id, MaxAge: durationpb.New(limits.TransactionMaxAge)}, err
}

// Read implements proto.TransactionalKVServer.
func (k *transactionalKV) Read(ctx context.Context, req *proto.ReadRequest) (*proto.ReadResponse, error) {
	resp := &proto.ReadResponse{}
	err := k.s.transactions.use(ctx, req.GetTransactionId(), func(tx *kv.Tx) error {
		m, err := open(tx, req.GetNamespace())
		if err != nil {
			return err
		}
		r := zmap.View(tx, req.GetSnapshot())
		switch op := req.GetOperation().(type) {
		case *proto.ReadRequest_Get:
			value, exists, err := get(r, m, op.Get.GetKey())
			resp.Result = &proto.ReadResponse_Get{Get: &proto.GetResult{Value: value, Exists: exists}}
			return err
		case *proto.ReadRequest_Scan:
			p, err := scan(r, m, op.Scan)
			resp.Result = &proto.ReadResponse_Scan{Scan: &proto.ScanResult{Pairs: p.pairs, More: p.more, Next: p.next}}
			return err
		}
		return errNoOperation
	})
	return resp, err
}

// Write implements proto.TransactionalKVServer.
func (k *transactionalKV) Write(ctx context.Context, req *proto.WriteRequest) (*proto.WriteResponse, error) {
	resp := &proto.WriteResponse{}
	ts := k.s.transactions
	err := ts.use(ctx, req.GetTransactionId(), func(tx *kv.Tx) error {
		if ts.held.Load() > limits.GRPCTransactionsBytes {
			return errHeld
		}
		m, err := open(tx, req.GetNamespace())
		if err != nil {
			return err
		}
		for _, mutation := range req.GetMutations() {
			if err := apply(tx, m, mutation); err != nil {
				return err
			}
		}
		if resp.ApproximateBytes = tx.ApproximateSize(); resp.ApproximateBytes > limits.TransactionBytes {
			return base.ErrTransactionTooLarge
		}
		return nil
	})
	return resp, err
}

// atomicTable is the atomic operations of the protocol.
var atomicTable = map[proto.AtomicOperation_Kind]base.MutationOp{
	proto.AtomicOperation_KIND_ADD:                      base.OpAdd,
	proto.AtomicOperation_KIND_BIT_AND:                  base.OpBitAnd,
	proto.AtomicOperation_KIND_BIT_OR:                   base.OpBitOr,
	proto.AtomicOperation_KIND_BIT_XOR:                  base.OpBitXor,
	proto.AtomicOperation_KIND_APPEND_IF_FITS:           base.OpAppendIfFits,
	proto.AtomicOperation_KIND_MAX:                      base.OpMax,
	proto.AtomicOperation_KIND_MIN:                      base.OpMin,
	proto.AtomicOperation_KIND_BYTE_MIN:                 base.OpByteMin,
	proto.AtomicOperation_KIND_BYTE_MAX:                 base.OpByteMax,
	proto.AtomicOperation_KIND_COMPARE_AND_CLEAR:        base.OpCompareAndClear,
	proto.AtomicOperation_KIND_SET_VERSIONSTAMPED_KEY:   base.OpSetVersionstampedKey,
	proto.AtomicOperation_KIND_SET_VERSIONSTAMPED_VALUE: base.OpSetVersionstampedValue,
}

func apply(t kv.Txn, m zmap.Map, mutation *proto.Mutation) error {
	switch op := mutation.GetOperation().(type) {
	case *proto.Mutation_Put:
		return zmap.Set(t, m, op.Put.GetKey(), op.Put.GetValue())
	case *proto.Mutation_Delete:
		return zmap.Delete(t, m, op.Delete)
	case *proto.Mutation_DeleteRange:
		return zmap.DeleteRange(t, m, bound(op.DeleteRange.GetStart()), bound(op.DeleteRange.GetEnd()))
	case *proto.Mutation_Atomic:
		if kind, known := atomicTable[op.Atomic.GetKind()]; known {
			return zmap.Mutate(t, m, kind, op.Atomic.GetKey(), op.Atomic.GetOperand())
		}
	}
	return errNoOperation
}

// Commit implements proto.TransactionalKVServer.
func (k *transactionalKV) Commit(ctx context.Context, req *proto.CommitRequest) (*proto.CommitResponse, error) {
	tx, err := k.s.transactions.take(ctx, req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	info, err := commit(ctx, tx)
	if err != nil || info.Stamp == 0 {
		return &proto.CommitResponse{}, err
	}
	return &proto.CommitResponse{Version: uint64(info.Stamp), Versionstamp: info.Versionstamp[:]}, nil
}

// Rollback implements proto.TransactionalKVServer.
func (k *transactionalKV) Rollback(ctx context.Context, req *proto.RollbackRequest) (*proto.RollbackResponse, error) {
	tx, err := k.s.transactions.take(ctx, req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	tx.Rollback()
	return &proto.RollbackResponse{}, nil
}
