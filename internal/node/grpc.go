package node

import (
	"github.com/stratadb/strata/internal/api/kvgrpc"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/kv"
)

// newGRPC makes the door for gRPC clients.
func (n *Node) newGRPC(c config.Config, db *kv.DB) door {
	return kvgrpc.New(kvgrpc.Options{
		DB: db, Routes: routes{n.care}, Log: n.log, Password: c.RequirePass, Unprotected: !c.ProtectedMode,
	})
}
