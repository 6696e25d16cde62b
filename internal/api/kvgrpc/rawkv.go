package kvgrpc

import (
	"context"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/proto"
)

// rawKV implements proto.RawKV.
type rawKV struct {
	proto.UnimplementedRawKVServer
	s *Server
}

// run is one transaction of its own on the newest state, in a namespace's map.
func (r *rawKV) run(ctx context.Context, namespace string, writes bool, fn func(t kv.Txn, m zmap.Map) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ticket, err := r.s.db.NewSession().Run(kv.Func(func(t kv.Txn) error {
		m, err := open(t, namespace)
		if err != nil {
			return err
		}
		return fn(t, m)
	}))
	return settle(ctx, ticket, writes, err)
}

// RawPut implements proto.RawKVServer.
func (r *rawKV) RawPut(ctx context.Context, req *proto.RawPutRequest) (*proto.RawPutResponse, error) {
	err := r.run(ctx, req.GetNamespace(), true, func(t kv.Txn, m zmap.Map) error {
		return zmap.Set(t, m, req.GetKey(), req.GetValue())
	})
	return &proto.RawPutResponse{}, err
}

// RawGet implements proto.RawKVServer.
func (r *rawKV) RawGet(ctx context.Context, req *proto.RawGetRequest) (*proto.RawGetResponse, error) {
	resp := &proto.RawGetResponse{}
	if ms := req.GetMaxStalenessMs(); ms > 0 {
		_, err := stale(ctx, r.s.db, ms, req.GetNamespace(), func(t kv.Reader, m zmap.Map) (err error) {
			resp.Value, resp.Exists, err = get(t, m, req.GetKey())
			return err
		})
		return resp, err
	}
	err := r.run(ctx, req.GetNamespace(), false, func(t kv.Txn, m zmap.Map) (err error) {
		resp.Value, resp.Exists, err = get(t, m, req.GetKey())
		return err
	})
	return resp, err
}

// RawDelete implements proto.RawKVServer.
func (r *rawKV) RawDelete(ctx context.Context, req *proto.RawDeleteRequest) (*proto.RawDeleteResponse, error) {
	err := r.run(ctx, req.GetNamespace(), true, func(t kv.Txn, m zmap.Map) error {
		return zmap.Delete(t, m, req.GetKey())
	})
	return &proto.RawDeleteResponse{}, err
}

// RawScan implements proto.RawKVServer.
func (r *rawKV) RawScan(ctx context.Context, req *proto.RawScanRequest) (*proto.RawScanResponse, error) {
	var p page
	var err error
	if ms := req.GetMaxStalenessMs(); ms > 0 {
		_, err = stale(ctx, r.s.db, ms, req.GetNamespace(), func(t kv.Reader, m zmap.Map) (err error) {
			p, err = scan(t, m, req)
			return err
		})
	} else {
		err = r.run(ctx, req.GetNamespace(), false, func(t kv.Txn, m zmap.Map) (err error) {
			p, err = scan(t, m, req)
			return err
		})
	}
	return &proto.RawScanResponse{Pairs: p.pairs, More: p.more, Next: p.next}, err
}
