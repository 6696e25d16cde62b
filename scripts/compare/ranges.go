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

// ranges cuts the slots in two, and measures what a transaction over both ranges costs and
// what a stamp does.
func ranges(o *options, t *trio, grpcAddr string) error {
	if err := cutSlots(grpcAddr); err != nil {
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
	// {b} has the slot 3300, {c} 7365 and {a} 15495.
	cases := []struct {
		name string
		at   *respClient
		args func(i int) []string // other keys each time: a key's locks outlive the reply
	}{
		{"MSET in one range", leader, func(i int) []string { return []string{"MSET", fmt.Sprint("{b}", i), "v", fmt.Sprint("{c}", i), "v"} }},
		{"MSET over two ranges", leader, func(i int) []string { return []string{"MSET", fmt.Sprint("{b}", i), "v", fmt.Sprint("{a}", i), "v"} }},
		{"a stamp, at its leader", leader, func(int) []string { return []string{"TICK", "FRESH"} }},
		{"a stamp, from another node", other, func(int) []string { return []string{"TICK", "FRESH"} }},
	}
	took := make([]float64, len(cases))
	fmt.Printf("\none client, one request after another, medians of %d alternating rounds\n\n", o.rounds)
	all := make([][]float64, len(cases))
	for range o.rounds {
		for i, c := range cases {
			const requests = 400
			began := time.Now()
			for i := range requests {
				if _, err := c.at.do(c.args(i)...); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			all[i] = append(all[i], time.Since(began).Seconds()*1e6/requests)
		}
	}
	for i, c := range cases {
		took[i] = median(all[i])
		fmt.Printf("%-28s %8.0f µs\n", c.name, took[i])
	}
	verdict := ""
	if took[1] > twoRanges*took[0] {
		verdict = "  ABOVE TARGET"
	}
	fmt.Printf("two ranges to one %22.2f (%.1f)%s\n", took[1]/took[0], twoRanges, verdict)
	return nil
}

func cutSlots(addr string) error {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	d := proto.NewDistributionClient(c)
	known, err := d.ListRoutes(context.Background(), &proto.ListRoutesRequest{})
	if err != nil {
		return err
	}
	// Data, the default namespace, Redis, database 0, slot 8192.
	_, err = d.SplitRange(context.Background(), &proto.SplitRangeRequest{ExpectedCatalogVersion: known.CatalogVersion,
		RouteId: known.Routes[len(known.Routes)-1].RouteId, SplitKey: []byte{4, 1, 1, 1, 0, 0x20, 0}})
	if err != nil {
		return err
	}
	return await("two ranges", func() bool {
		known, err := d.ListRoutes(context.Background(), &proto.ListRoutesRequest{})
		return err == nil && len(known.Routes) == 2
	})
}
