// Package certs makes certificates for tests: an authority, and pairs of files that it
// has issued.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	// CA is the file with its own certificate, Pool the same in memory.
	CA   string
	Pool *x509.CertPool

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

// Pair is a certificate and its key: files in PEM that differ in their ending, .crt and
// .key.
type Pair struct{ Cert, Key string }

// Options of a certificate.
type Options struct {
	// Hosts are names and addresses.
	Hosts []string
	// Usage is for servers and clients by default.
	Usage   []x509.ExtKeyUsage
	Expired bool
}

// New makes an authority.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir(), Pool: x509.NewCertPool()}
	der, key := a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, false)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = cert, key
	a.Pool.AddCert(cert)
	a.CA = a.write("ca.crt", "CERTIFICATE", der)
	return a
}

// Issue makes a certificate.
func (a *Authority) Issue(o Options) Pair {
	a.t.Helper()
	template := &x509.Certificate{ExtKeyUsage: o.Usage}
	if o.Usage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	for _, h := range o.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, key := a.sign(template, o.Expired)
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	name := fmt.Sprint(a.last)
	return Pair{Cert: a.write(name+".crt", "CERTIFICATE", der), Key: a.write(name+".key", "EC PRIVATE KEY", private)}
}

// sign makes a key and its certificate; the first one is the authority's own.
func (a *Authority) sign(template *x509.Certificate, expired bool) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	template.SerialNumber, template.Subject = big.NewInt(a.last), pkix.Name{CommonName: fmt.Sprint("test ", a.last)}
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(24*time.Hour)
	if expired {
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *Authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}
