package node

import (
	"context"
	"encoding/hex"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/wire/resp"
)

// joined is the place that a cluster has given to a store.
type joined struct {
	cluster [16]byte
	node    base.NodeID
	nodes   []catalog.Node
}

// addresses are those of a list as --join takes it.
func addresses(list string) (addrs []string) {
	for addr := range strings.SplitSeq(list, ",") {
		if addr = strings.TrimSpace(addr); addr != "" {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

const joinTimeout = 10 * time.Second

// place is what a store asks for.
type place struct {
	store    base.StoreID
	address  string       // where other nodes reach it
	replaces base.StoreID // a store that is gone for good, if it is not zero
}

// join asks one of the addresses for a place in its cluster. Asking again gives the
// same place.
func join(ctx context.Context, addrs []string, password string, p place) (j joined, err error) {
	for _, addr := range addrs {
		var last error
		if j, last = joinAt(ctx, addr, password, p); last == nil {
			return j, nil
		}
		err = errors.CombineErrors(err, errors.Wrapf(last, "joining at %s", addr))
	}
	return j, err
}

func joinAt(ctx context.Context, addr, password string, p place) (j joined, err error) {
	c, err := (&net.Dialer{Timeout: joinTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return j, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(joinTimeout)); err != nil {
		return j, err
	}
	replies := resp.NewDecoder(c, resp.DecoderLimits{})
	ask := func(args ...string) (resp.Value, error) {
		if _, err := c.Write(resp.AppendCommand(nil, args...)); err != nil {
			return resp.Value{}, err
		}
		v, err := replies.Decode()
		if err == nil && v.Kind == resp.KindError {
			err = errors.Newf("%s", v.Str)
		}
		return v, err
	}
	if password != "" {
		if _, err := ask("AUTH", password); err != nil {
			return j, err
		}
	}
	command := []string{"KR.ADMIN", "JOIN", p.store.String(), p.address}
	if p.replaces != (base.StoreID{}) {
		command = append(command, "REPLACES", p.replaces.String())
	}
	v, err := ask(command...)
	if err != nil {
		return j, err
	}
	return decodeJoined(v)
}

// decodeJoined reads [cluster, node, [node, store, address] ...].
func decodeJoined(v resp.Value) (j joined, err error) {
	bad := errors.New("the answer to JOIN is not understood")
	if len(v.Array) < 2 { // a cluster and a node at least
		return j, bad
	}
	if n, err := hex.Decode(j.cluster[:], v.Array[0].Str); err != nil || n != len(j.cluster) {
		return j, bad
	}
	id, err := strconv.ParseUint(string(v.Array[1].Str), 10, 32)
	if err != nil || id == 0 {
		return j, bad
	}
	j.node = base.NodeID(id)
	for _, row := range v.Array[2:] {
		if len(row.Array) != 3 {
			return j, bad
		}
		id, err := strconv.ParseUint(string(row.Array[0].Str), 10, 32)
		if err != nil {
			return j, bad
		}
		j.nodes = append(j.nodes, catalog.Node{ID: base.NodeID(id), Store: string(row.Array[1].Str), Address: string(row.Array[2].Str)})
	}
	return j, nil
}
