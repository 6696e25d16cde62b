package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/config"
)

// clusterTLS is how nodes prove to each other that they belong together, both for the
// side that is dialled and for the one that dials; nil without certificates. host is
// where others reach this node. What would fail at the first connection is said now.
func clusterTLS(c config.Config, host string) (server, client *tls.Config, err error) {
	if c.ClusterTLSCert == "" {
		return nil, nil, nil
	}
	ca, err := authorities(c.ClusterTLSCA)
	if err != nil {
		return nil, nil, errors.Wrap(err, "--cluster-tls-ca")
	}
	own, err := tls.LoadX509KeyPair(c.ClusterTLSCert, c.ClusterTLSKey)
	if err != nil {
		return nil, nil, errors.Wrap(err, "--cluster-tls-cert and --cluster-tls-key")
	}
	if err := accepted(&own, ca, host); err != nil {
		return nil, nil, errors.Wrapf(err, "--cluster-tls-cert: other nodes will not accept %s", c.ClusterTLSCert)
	}
	both := func() *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}}
	}
	server, client = both(), both()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, ca
	client.RootCAs = ca
	return server, client, nil
}

// authorities reads the certificates of a file.
func authorities(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.Newf("%s holds a block of type %q: only certificates belong there", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.Wrap(err, path)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.Newf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// accepted checks a certificate as other nodes will, when they dial and when they are
// dialled.
func accepted(own *tls.Certificate, ca *x509.CertPool, host string) error {
	between := x509.NewCertPool()
	for _, der := range own.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(cert)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := own.Leaf.Verify(x509.VerifyOptions{Roots: ca, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return err
		}
	}
	return own.Leaf.VerifyHostname(host)
}

// reachable is the address that other nodes are told: the host as it was set, which a
// certificate may name, and the port that the listener has got.
func reachable(set string, listener net.Addr) (host, address string, err error) {
	host, _, err = net.SplitHostPort(set)
	if err != nil {
		return "", "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "", "", errors.New("others cannot connect to a wildcard: name the address at which they reach this node")
	}
	_, port, err := net.SplitHostPort(listener.String())
	return host, net.JoinHostPort(host, port), err
}
