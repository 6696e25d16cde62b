package kvgrpc

import (
	"context"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/proto"
)

// transactionalKV implements proto.TransactionalKV: single operations here,
// interactive transactions in interactive.go.
type transactionalKV struct {
	proto.UnimplementedTransactionalKVServer
	s *Server
}

// commit ends tx and waits until its outcome is known.
func commit(ctx context.Context, tx *kv.Tx) (kv.CommitInfo, error) {
	receipt, err := tx.Sequence()
	if base.Retryable(err) {
		return kv.CommitInfo{}, err
	}
	err = settle(ctx, receipt.Ticket, receipt.Version != nil, err)
	if err != nil || receipt.Version == nil {
		return kv.CommitInfo{}, err
	}
	return kv.CommitInfo{Stamp: receipt.Version.Stamp(), Versionstamp: *receipt.Version}, nil
}

// transact runs fn in a namespace's map until it does not conflict, and answers the
// version of what it wrote or, when it wrote nothing, of what it read. fn writes
// last: when it fails, it has written nothing.
func (k *transactionalKV) transact(ctx context.Context, namespace string, fn func(t kv.Txn, m zmap.Map) error) (uint64, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		version, err := k.once(ctx, namespace, fn)
		if !base.Retryable(err) {
			return uint64(version), err
		}
	}
}

func (k *transactionalKV) once(ctx context.Context, namespace string, fn func(t kv.Txn, m zmap.Map) error) (base.Stamp, error) {
	tx := k.s.db.Begin()
	defer tx.Rollback()
	m, err := open(tx, namespace)
	if err == nil {
		err = fn(tx, m)
	}
	if err != nil {
		receipt, _ := tx.Sequence() // whatever it says, err is the answer, once it may be told
		return 0, settle(ctx, receipt.Ticket, false, err)
	}
	at, err := tx.ReadVersion()
	if err != nil {
		return 0, err
	}
	info, err := commit(ctx, tx)
	return max(at, info.Stamp), err
}

// Put implements proto.TransactionalKVServer.
func (k *transactionalKV) Put(ctx context.Context, req *proto.PutRequest) (*proto.PutResponse, error) {
	version, err := k.transact(ctx, req.GetNamespace(), func(t kv.Txn, m zmap.Map) error {
		return zmap.Set(t, m, req.GetKey(), req.GetValue())
	})
	return &proto.PutResponse{Version: version}, err
}

// Delete implements proto.TransactionalKVServer.
func (k *transactionalKV) Delete(ctx context.Context, req *proto.DeleteRequest) (*proto.DeleteResponse, error) {
	version, err := k.transact(ctx, req.GetNamespace(), func(t kv.Txn, m zmap.Map) error {
		return zmap.Delete(t, m, req.GetKey())
	})
	return &proto.DeleteResponse{Version: version}, err
}

// Get implements proto.TransactionalKVServer.
func (k *transactionalKV) Get(ctx context.Context, req *proto.GetRequest) (*proto.GetResponse, error) {
	resp := &proto.GetResponse{}
	if ms := req.GetMaxStalenessMs(); ms > 0 {
		at, err := stale(ctx, k.s.db, ms, req.GetNamespace(), func(r kv.Reader, m zmap.Map) (err error) {
			resp.Value, resp.Exists, err = get(r, m, req.GetKey())
			return err
		})
		resp.Version = uint64(at)
		return resp, err
	}
	version, err := k.transact(ctx, req.GetNamespace(), func(t kv.Txn, m zmap.Map) (err error) {
		resp.Value, resp.Exists, err = get(t, m, req.GetKey())
		return err
	})
	resp.Version = version
	return resp, err
}

// Scan implements proto.TransactionalKVServer.
func (k *transactionalKV) Scan(ctx context.Context, req *proto.ScanRequest) (*proto.ScanResponse, error) {
	var p page
	if ms := req.GetMaxStalenessMs(); ms > 0 {
		at, err := stale(ctx, k.s.db, ms, req.GetNamespace(), func(r kv.Reader, m zmap.Map) (err error) {
			p, err = scan(r, m, req)
			return err
		})
		return &proto.ScanResponse{Pairs: p.pairs, More: p.more, Next: p.next, Version: uint64(at)}, err
	}
	version, err := k.transact(ctx, req.GetNamespace(), func(t kv.Txn, m zmap.Map) (err error) {
		p, err = scan(t, m, req)
		return err
	})
	return &proto.ScanResponse{Pairs: p.pairs, More: p.more, Next: p.next, Version: version}, err
}
