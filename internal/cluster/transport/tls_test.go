package transport

import (
	"crypto/tls"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/test/certs"
)

func certificate(t testing.TB, a *certs.Authority) tls.Certificate {
	t.Helper()
	p := a.Issue(certs.Options{Hosts: []string{"127.0.0.1"}})
	c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLS(t *testing.T) {
	ours, theirs := certs.New(t), certs.New(t)
	server := &tls.Config{Certificates: []tls.Certificate{certificate(t, ours)}}
	mutual := server.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ours.Pool
	client := &tls.Config{RootCAs: ours.Pool}
	known, unknown := client.Clone(), client.Clone()
	known.Certificates = []tls.Certificate{certificate(t, ours)}
	unknown.Certificates = []tls.Certificate{certificate(t, theirs)}
	for _, c := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"server only", server, client, true},
		{"mutual", mutual, known, true},
		{"client without certificate", mutual, client, false},
		{"client of another authority", mutual, unknown, false},
		{"server of another authority", server, &tls.Config{RootCAs: theirs.Pool}, false},
		{"plain client", server, nil, false},
		{"plain server", nil, client, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCluster(t)
			a := cl.start(1, nil, func(o *Options) { o.ClientTLS = c.client })
			var h streams
			b := cl.start(2, func(r Registrar) { withEcho(r); h.register(r) }, func(o *Options) { o.ServerTLS = c.server })
			response, err := a.Call(contextFor(t, patience), 2, kindEcho, make([]byte, 1<<20))
			if !c.ok {
				if !errors.Is(err, base.ErrUnavailable) {
					t.Errorf("call: %v", err)
				}
				eventually(t, "the refusal is counted", func() bool { return b.Metrics().Refused > 0 })
				return
			}
			if err != nil || len(response) != 1<<20 {
				t.Fatalf("call: %d bytes, %v", len(response), err)
			}
			s := open(t, a, kindDown, down(30, 100_000))
			for range 30 {
				if _, err := s.Recv(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
