package client

import (
	"context"
	"crypto/tls"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stratadb/strata/proto"
)

// Options say how to connect. The zero value is for a node without TLS and password.
type Options struct {
	// Password is the node's, if it has one.
	Password string
	// TLS is for a node behind a proxy that ends TLS; nil: none.
	TLS *tls.Config
	// Dial are further options of gRPC.
	Dial []grpc.DialOption
}

// Client is a connection to a node, seen from one namespace. It is safe for
// concurrent use.
type Client struct {
	conn      *grpc.ClientConn
	kv        proto.TransactionalKVClient
	namespace string
	staleness uint32 // of reads, in milliseconds
}

// Dial makes a client of the node at addr, host:port, in the default namespace. The
// connection is made when it is needed.
func Dial(addr string, o Options) (*Client, error) {
	transport := insecure.NewCredentials()
	if o.TLS != nil {
		transport = credentials.NewTLS(o.TLS)
	}
	// Retries are decided here, not by a service configuration.
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig()}
	if o.Password != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(o.Password)))
	}
	conn, err := grpc.NewClient(addr, append(options, o.Dial...)...)
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, kv: proto.NewTransactionalKVClient(conn)}, nil
}

// Close ends the connection, for the clients of all namespaces.
func (c *Client) Close() error { return c.conn.Close() }

// Namespace is the client of another namespace, "shop.stock", over the same connection.
func (c *Client) Namespace(path string) *Client {
	other := *c
	other.namespace = path
	return &other
}

// Stale is a client whose Get and Scan may miss what was committed in the last so long,
// and nothing older. They are answered near the node that is asked, and also while
// nobody leads. Less than a millisecond is none.
func (c *Client) Stale(staleness time.Duration) *Client {
	other := *c
	other.staleness = uint32(min(max(staleness.Milliseconds(), 0), math.MaxUint32))
	return &other
}

// bearer is a password in every call's metadata.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

// Get returns the value of key, nil when there is none; the value of a key that
// exists is never nil.
func (c *Client) Get(ctx context.Context, key []byte) ([]byte, error) {
	resp, err := c.kv.Get(ctx, &proto.GetRequest{Key: key, Namespace: c.namespace, MaxStalenessMs: c.staleness})
	if err != nil {
		return nil, failed(err)
	}
	return valueOf(resp.GetValue(), resp.GetExists()), nil
}

func valueOf(value []byte, exists bool) []byte {
	if exists && value == nil {
		return []byte{}
	}
	return value
}

// Put stores value under key.
func (c *Client) Put(ctx context.Context, key, value []byte) error {
	_, err := c.kv.Put(ctx, &proto.PutRequest{Key: key, Value: value, Namespace: c.namespace})
	return outcome(err)
}

// Delete removes key.
func (c *Client) Delete(ctx context.Context, key []byte) error {
	_, err := c.kv.Delete(ctx, &proto.DeleteRequest{Key: key, Namespace: c.namespace})
	return outcome(err)
}

// Scan visits the pairs of a range until visit returns false. It reads page by
// page, and each page is a transaction of its own; Txn.Scan sees one state.
func (c *Client) Scan(ctx context.Context, r Range, visit func(key, value []byte) bool) error {
	return r.pages(visit, func(r Range) (page, error) {
		resp, err := c.kv.Scan(ctx, &proto.ScanRequest{Start: r.Start, End: r.End, Limit: r.pageLimit(), Reverse: r.Reverse, Namespace: c.namespace,
			MaxStalenessMs: c.staleness})
		return resp, failed(err)
	})
}
