package node

import (
	"bytes"
	"context"
	"slices"

	"github.com/stratadb/strata/internal/api/kvgrpc"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/kv"
)

// newGRPC makes the door for gRPC clients.
func (n *Node) newGRPC(c config.Config, db *kv.DB) door {
	return kvgrpc.New(kvgrpc.Options{
		DB: db, Routes: routes{n.store}, Log: n.log, Password: c.RequirePass, Unprotected: !c.ProtectedMode,
	})
}

// routes tells the ranges of a store that holds all there are.
type routes struct{ store *store.Store }

// Routes implements kvgrpc.Routes. Each change of a range raises its epoch, so the
// epochs together are a version.
func (r routes) Routes(context.Context) (c kvgrpc.Catalog, _ error) {
	for _, replica := range r.store.Replicas() {
		d := replica.Descriptor()
		c.Version += uint64(d.Epoch)
		c.Routes = append(c.Routes, kvgrpc.Route{ID: d.ID, Span: d.Span})
	}
	slices.SortFunc(c.Routes, func(a, b kvgrpc.Route) int { return bytes.Compare(a.Span.Start, b.Span.Start) })
	return c, nil
}
