package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	var der []byte
	der, a.key = sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	a.pool.AddCert(cert)
	return a
}

// sign makes a key and its certificate, signed by a, or by itself.
func sign(t testing.TB, template *x509.Certificate, a *authority) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func (a *authority) certificate(t testing.TB) tls.Certificate {
	t.Helper()
	der, key := sign(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{ours.certificate(t)}}
	mutual := server.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ours.pool
	client := &tls.Config{RootCAs: ours.pool}
	known, unknown := client.Clone(), client.Clone()
	known.Certificates = []tls.Certificate{ours.certificate(t)}
	unknown.Certificates = []tls.Certificate{theirs.certificate(t)}
	for _, c := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"server only", server, client, true},
		{"mutual", mutual, known, true},
		{"client without certificate", mutual, client, false},
		{"client of another authority", mutual, unknown, false},
		{"server of another authority", server, &tls.Config{RootCAs: theirs.pool}, false},
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
