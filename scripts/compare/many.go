package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/stratadb/strata/proto"
)

const (
	// calm is how long background work gets, and idle how long nothing is done then.
	calm  = 15 * time.Second
	idle  = 20 * time.Second
	slots = 16384
)

// many cuts the keyspace of one node or several into many ranges, and prints what they cost.
func many(o *options, dir string) error {
	if o.ranges < 2 || o.ranges > slots {
		return fmt.Errorf("-ranges must lie between 2 and %d", slots)
	}
	var all []*server
	door, err := freeAddress() // of the first node, for gRPC
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range all {
			s.kill()
		}
	}()
	first := []string{"--grpc-addr", door, "--admin-addr", "off"}
	joins := []string(nil)
	if o.nodes > 1 {
		admin, err := freeAddress()
		if err != nil {
			return err
		}
		first[3], joins = admin, []string{"--grpc-addr", "off", "--admin-addr", "off", "--join", admin}
	}
	for i := range o.nodes {
		more := first
		if i > 0 {
			more = joins
		}
		if o.nodes > 1 {
			peers, err := freeAddress()
			if err != nil {
				return err
			}
			more = append(more[:len(more):len(more)], "--cluster-addr", peers)
		}
		s := &server{name: "strata", dir: filepath.Join(dir, fmt.Sprintf("strata-%d", i)), args: func(addr, dir string) []string {
			return append([]string{o.strata, "start", "--data", dir, "--resp-addr", addr, "--log-level", "warn"}, more...)
		}}
		all = append(all, s)
		if _, err := s.start(); err != nil {
			return err
		}
	}
	if err := report(all, "1 range"); err != nil { // by then all nodes hold a copy
		return err
	}
	began := time.Now()
	if err := split(door, o.ranges-1); err != nil {
		return err
	}
	fmt.Printf("%d splits: %.1f ms each\n", o.ranges-1, time.Since(began).Seconds()*1000/float64(o.ranges-1))
	if err := report(all, fmt.Sprintf("%d ranges", o.ranges)); err != nil || o.nodes > 1 {
		return err
	}
	for _, how := range []struct {
		name string
		sig  syscall.Signal
	}{{"stop", syscall.SIGTERM}, {"kill -9", syscall.SIGKILL}} {
		began := time.Now()
		if err := all[0].stop(how.sig); err != nil {
			return err
		}
		stopped := time.Since(began)
		took, err := all[0].start()
		if err != nil {
			return err
		}
		fmt.Printf("%s %.2f s, start %.2f s\n", how.name, stopped.Seconds(), took.Seconds())
	}
	return report(all, fmt.Sprintf("%d ranges, started again", o.ranges))
}

// split cuts the default database's slots.
func split(addr string, times int) error {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	d, ctx := proto.NewDistributionClient(c), context.Background()
	list, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
	if err != nil {
		return err
	}
	version, id := list.CatalogVersion, list.Routes[len(list.Routes)-1].RouteId
	for i := range times {
		// Data, the default namespace, Redis, database 0, and a slot.
		key := binary.BigEndian.AppendUint16([]byte{4, 1, 1, 1, 0}, uint16((i+1)*slots/(times+1)))
		done, err := d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: version, RouteId: id, SplitKey: key})
		for try := 0; err != nil && status.Code(err) == codes.Unavailable && try < 100; try++ {
			time.Sleep(100 * time.Millisecond) // it may have been done
			if list, err = d.ListRoutes(ctx, &proto.ListRoutesRequest{}); err == nil {
				version, id = list.CatalogVersion, list.Routes[len(list.Routes)-1].RouteId
				done, err = d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: version, RouteId: id, SplitKey: key})
			}
		}
		if err != nil {
			return fmt.Errorf("split %d: %w", i, err)
		}
		version, id = done.CatalogVersion, done.Right.RouteId
	}
	return nil
}

// report prints what the nodes hold and do when nobody asks them for anything. How many
// system calls have written something is, in a cluster, what messages come to.
func report(all []*server, what string) error {
	time.Sleep(calm)
	type used struct {
		seconds float64
		writes  int64
	}
	look := func(s *server) (u used, err error) {
		if u.seconds, err = s.cpu(); err == nil {
			u.writes, err = s.field("io", "syscw")
		}
		return u, err
	}
	before := make([]used, len(all))
	for i, s := range all {
		var err error
		if before[i], err = look(s); err != nil {
			return err
		}
	}
	time.Sleep(idle)
	for i, s := range all {
		after, err := look(s)
		if err != nil {
			return err
		}
		mb, err := s.residentMB()
		if err != nil {
			return err
		}
		fmt.Printf("node %d, %s: %.2f %% of a processor and %.0f writes a second while idle, %.0f MB of memory\n", i+1, what,
			100*(after.seconds-before[i].seconds)/idle.Seconds(), float64(after.writes-before[i].writes)/idle.Seconds(), mb)
	}
	return nil
}
