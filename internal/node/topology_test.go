package node

import (
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"

	"github.com/stratadb/strata/internal/config"
)

// TestTopology asks a node where it is to be reached.
func TestTopology(t *testing.T) {
	for _, tc := range []struct {
		listen, host string
		port         int
		want         string // without a port: the one that is listened on
	}{
		{listen: "127.0.0.1:0", want: "127.0.0.1"},
		{listen: "0.0.0.0:0", want: "127.0.0.1"},
		{listen: ":0", host: "db.example.com", port: 7000, want: "db.example.com:7000"},
	} {
		t.Run(tc.listen+tc.host, func(t *testing.T) {
			flags := pflag.NewFlagSet("start", pflag.ContinueOnError)
			config.Flags(flags)
			if err := flags.Parse([]string{"--data", t.TempDir(), "--resp-addr", tc.listen, "--admin-addr", config.Off,
				"--redis-cluster", "--announce-host", tc.host, "--announce-port", fmt.Sprint(tc.port)}); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(flags, nil)
			if err != nil {
				t.Fatal(err)
			}
			n, err := Start(t.Context(), c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := n.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			port := fmt.Sprint(n.doors[0].listener.Addr().(*net.TCPAddr).Port)
			client := goredis.NewClient(&goredis.Options{Addr: net.JoinHostPort("127.0.0.1", port), ReadTimeout: time.Minute})
			defer client.Close()
			slots, err := client.ClusterSlots(t.Context()).Result()
			if err != nil {
				t.Fatal(err)
			}
			want := tc.want
			if tc.port == 0 {
				want = net.JoinHostPort(want, port)
			}
			if len(slots) != 1 || slots[0].Start != 0 || slots[0].End != 16383 || len(slots[0].Nodes) != 1 ||
				slots[0].Nodes[0].Addr != want || slots[0].Nodes[0].ID != n.memberID() {
				t.Fatalf("%+v, want %s", slots, want)
			}
			if tc.port != 0 {
				return
			}
			cluster := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{want}, ReadTimeout: time.Minute})
			defer cluster.Close()
			if err := cluster.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Error(err)
			}
		})
	}
}
