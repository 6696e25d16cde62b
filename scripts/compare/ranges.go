package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stratadb/strata/proto"
)

// twoRanges is the most that a transaction over two ranges may take, in those over one.
const twoRanges = 2.5

// onlyRanges is the name of the comparison of one range with two, which needs no other system.
const onlyRanges = "MSET"

// ranges cuts the slots in two, and measures what a transaction over both ranges costs, when
// the same node leads both and when two do, and what a stamp does.
func ranges(o *options, t *trio, grpcAddr string) error {
	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	d := proto.NewDistributionClient(conn)
	right, err := cutSlots(d)
	if err != nil {
		return err
	}
	leader, err := dialRESP(t.servers[0].addr, false)
	if err != nil {
		return err
	}
	defer leader.close()
	other, err := dialRESP(t.servers[1].addr, false)
	if err != nil {
		return err
	}
	defer other.close()
	// {b} has the slot 3300, {c} 7365 and {a} 15495. Other keys each time: a key's locks
	// outlive the reply.
	one := latency{"MSET in one range", leader, func(i int) []string { return []string{"MSET", fmt.Sprint("{b}", i), "v", fmt.Sprint("{c}", i), "v"} }}
	two := latency{"MSET over two ranges", leader, func(i int) []string { return []string{"MSET", fmt.Sprint("{b}", i), "v", fmt.Sprint("{a}", i), "v"} }}
	tick := func(int) []string { return []string{"TICK", "FRESH"} }
	for _, phase := range []struct {
		title string
		node  uint64 // that leads the right range
		cases []latency
	}{
		{"one node leads both ranges", 1, []latency{one, two, {"a stamp, at its leader", leader, tick}, {"a stamp, from another node", other, tick}}},
		{"two nodes lead them", 2, []latency{one, two}},
	} {
		if err := await("a leader of the right range", func() bool {
			_, err := d.TransferLeader(context.Background(), &proto.TransferLeaderRequest{RouteId: right, NodeId: phase.node})
			return err == nil
		}); err != nil {
			return err
		}
		fmt.Printf("\none client, one request after another, medians of %d alternating rounds, %s\n\n", o.rounds, phase.title)
		took, err := latencies(o, phase.cases)
		if err != nil {
			return err
		}
		verdict := ""
		if took[1] > twoRanges*took[0] {
			verdict = "  ABOVE TARGET"
		}
		fmt.Printf("two ranges to one %22.2f (%.1f)%s\n", took[1]/took[0], twoRanges, verdict)
	}
	return nil
}

// latency is a request whose latency is measured.
type latency struct {
	name string
	at   *respClient
	args func(i int) []string
}

// latencies measures requests in turns, and prints their medians, in microseconds.
func latencies(o *options, cases []latency) (took []float64, err error) {
	all := make([][]float64, len(cases))
	for range o.rounds {
		for i, c := range cases {
			const requests = 400
			began := time.Now()
			for i := range requests {
				if _, err := c.at.do(c.args(i)...); err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
			}
			all[i] = append(all[i], time.Since(began).Seconds()*1e6/requests)
		}
	}
	for i, c := range cases {
		took = append(took, median(all[i]))
		fmt.Printf("%-28s %8.0f µs\n", c.name, took[i])
	}
	return took, nil
}

// cutSlots cuts the slots in two and answers the right side.
func cutSlots(d proto.DistributionClient) (right uint64, err error) {
	known, err := d.ListRoutes(context.Background(), &proto.ListRoutesRequest{})
	if err != nil {
		return 0, err
	}
	// Data, the default namespace, Redis, database 0, slot 8192.
	cut, err := d.SplitRange(context.Background(), &proto.SplitRangeRequest{ExpectedCatalogVersion: known.CatalogVersion,
		RouteId: known.Routes[len(known.Routes)-1].RouteId, SplitKey: []byte{4, 1, 1, 1, 0, 0x20, 0}})
	if err != nil {
		return 0, err
	}
	return cut.GetRight().GetRouteId(), await("two ranges", func() bool {
		known, err := d.ListRoutes(context.Background(), &proto.ListRoutesRequest{})
		return err == nil && len(known.Routes) == 2
	})
}
