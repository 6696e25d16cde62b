package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/test/certs"
)

// TestClusterTLS: certificates of one authority shake hands in both directions, and
// nobody else's do.
func TestClusterTLS(t *testing.T) {
	ours, theirs := certs.New(t), certs.New(t)
	load := func(p certs.Pair, ca string) (server, client *tls.Config) {
		t.Helper()
		server, client, err := clusterTLS(config.Config{ClusterTLSCert: p.Cert, ClusterTLSKey: p.Key, ClusterTLSCA: ca}, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		client.ServerName = "127.0.0.1" // the transport takes it from the address
		return server, client
	}
	server, client := load(ours.Issue(certs.Options{Hosts: []string{"127.0.0.1"}}), ours.CA)
	_, second := load(ours.Issue(certs.Options{Hosts: []string{"127.0.0.1"}}), ours.CA)
	foreignServer, foreign := load(theirs.Issue(certs.Options{Hosts: []string{"127.0.0.1"}}), theirs.CA)
	nobody := client.Clone()
	nobody.Certificates = nil
	for _, c := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"the same", server, client, true},
		{"another node", server, second, true},
		{"a client of another authority", server, foreign, false},
		{"a server of another authority", foreignServer, client, false},
		{"no certificate", server, nobody, false},
	} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", c.server)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, err = conn.Write([]byte{1})
				err = errors.Join(err, conn.Close())
			}
			served <- err
		}()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = tls.Client(conn, c.client).Read(make([]byte, 1)) // the server decides last
		_ = conn.Close()
		if there := <-served; (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", c.name, err, there)
		}
		_ = l.Close()
	}
}

// TestClusterTLSRefused: what would fail later is said at the start.
func TestClusterTLSRefused(t *testing.T) {
	ours, theirs := certs.New(t), certs.New(t)
	here := certs.Options{Hosts: []string{"127.0.0.1"}}
	good := ours.Issue(here)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		cert, key, ca string
		want          string
	}{
		{"no file", good.Cert, good.Key, good.Cert + "x", "--cluster-tls-ca: open"},
		{"no certificate in it", good.Cert, good.Key, empty, "holds no certificate"},
		{"a key instead", good.Cert, good.Key, good.Key, "only certificates belong there"},
		{"another's key", good.Cert, ours.Issue(here).Key, ours.CA, "private key does not match"},
		{"another authority", good.Cert, good.Key, theirs.CA, "unknown authority"},
		{"another host", ours.Issue(certs.Options{Hosts: []string{"db1.example"}}).Cert, "", ours.CA, "doesn't contain any IP SANs"},
		{"for servers only", ours.Issue(certs.Options{Hosts: here.Hosts, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).Cert,
			"", ours.CA, "incompatible key usage"},
		{"expired", ours.Issue(certs.Options{Hosts: here.Hosts, Expired: true}).Cert, "", ours.CA, "expired"},
	} {
		if c.key == "" {
			c.key = strings.TrimSuffix(c.cert, ".crt") + ".key"
		}
		_, _, err := clusterTLS(config.Config{ClusterTLSCert: c.cert, ClusterTLSKey: c.key, ClusterTLSCA: c.ca}, "127.0.0.1")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestReachable(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7000}
	for set, want := range map[string]string{"10.0.0.1:0": "10.0.0.1:7000", "db1.example:7000": "db1.example:7000", "[::1]:0": "[::1]:7000",
		":7000": "", "0.0.0.0:7000": "", "[::]:0": ""} {
		if _, got, err := reachable(set, at); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", set, got, err, want)
		}
	}
}
