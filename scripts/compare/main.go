// Command compare measures a Strata node and a redis-server with appendfsync
// always on the same machine and disk, in turns, with redis-benchmark as the load.
//
//	go run ./scripts/compare -strata bin/strata
//	go run ./scripts/compare -strata bin/strata -cluster
//	go run ./scripts/compare -strata bin/strata -ranges 10000
//
// The second form compares three nodes with three of etcd's, and with a redis-server
// that has two replicas, whose clients send WAIT 1 behind each write. The third one compares
// a node, or with -nodes a cluster, with itself: with one range and with many. It prints the
// time of a split, memory, the processor while nothing is done, and the time of a start.
//
// Both servers run all the time; a test is run on one and then on the other,
// several times, and the medians are compared. Both are left alone between two tests until
// they have worked off what the one before has left to do; a set from which a test takes is filled
// up before a round that would empty it. Next to the throughput stands the
// processor time that each server took per operation (/proc/<pid>/stat), which is
// what to trust on a machine whose processors the load generator shares.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

type options struct {
	strata, redis, benchmark string
	dir                      string
	rounds, clients          int
	requests                 int
	only                     string
	cluster                  bool
	etcd                     string
	skipMillion              bool
	ranges, nodes            int
}

func main() {
	var o options
	flag.StringVar(&o.strata, "strata", "bin/strata", "the binary")
	flag.StringVar(&o.redis, "redis-server", "redis-server", "the server to compare with")
	flag.StringVar(&o.benchmark, "redis-benchmark", "redis-benchmark", "the load generator")
	flag.StringVar(&o.dir, "dir", ".", "where the data directories are made; choose a real disk")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each test is run on each server")
	flag.IntVar(&o.clients, "clients", 50, "connections")
	flag.IntVar(&o.requests, "requests", 200_000, "requests per run without a pipeline; five times as many with one, an eighth of LRANGE and MSET")
	flag.StringVar(&o.only, "only", "", "run the throughput tests of these names only, for example SET,GET; with -cluster one of SET, GET, and MSET for transactions over two ranges")
	flag.BoolVar(&o.skipMillion, "skip-million", false, "leave out what needs a million keys")
	flag.BoolVar(&o.cluster, "cluster", false, "compare three nodes, with etcd and with redis-server and two replicas")
	flag.StringVar(&o.etcd, "etcd", "etcd", "the server to compare three nodes with")
	flag.IntVar(&o.ranges, "ranges", 0, "compare one range with so many, without another server")
	flag.IntVar(&o.nodes, "nodes", 1, "how many nodes have them; three hold three copies")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(o *options) (err error) {
	needed := []string{o.strata, o.redis, o.benchmark}
	switch {
	case o.ranges > 0:
		needed = needed[:1]
	case o.cluster:
		needed = []string{o.strata, o.redis, o.etcd}
		if o.only == onlyRanges {
			needed = needed[:1]
		}
	}
	for _, name := range needed {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w (they are in Debian's packages redis-server, redis-tools and etcd-server)", err)
		}
	}
	dir, err := os.MkdirTemp(o.dir, "bench-data-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	switch {
	case o.ranges > 0:
		return many(o, dir)
	case o.cluster:
		return clusters(o, dir)
	}
	pair := []*server{newStrata(o, dir), newRedis(o, dir)}
	defer func() {
		for _, s := range pair {
			s.kill()
		}
	}()
	for _, s := range pair {
		if _, err := s.start(); err != nil {
			return err
		}
	}
	if err := rest(pair); err != nil {
		return err
	}
	if err := throughput(o, pair); err != nil {
		return err
	}
	if o.only != "" || o.skipMillion {
		return nil
	}
	return million(pair)
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
