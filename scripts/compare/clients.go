package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// respClient speaks RESP; wait says that WAIT 1 0 follows each write.
type respClient struct {
	conn net.Conn
	r    *bufio.Reader
	wait bool
	buf  []byte
}

func dialRESP(addr string, wait bool) (*respClient, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &respClient{conn: c, r: bufio.NewReader(c), wait: wait}, nil
}

func (c *respClient) close() { _ = c.conn.Close() }

func (c *respClient) line() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	if line[0] == '-' {
		return "", fmt.Errorf("answered %q", line)
	}
	return strings.TrimSuffix(line, "\r\n"), nil
}

func (c *respClient) set(key, value string) error {
	c.buf = fmt.Appendf(c.buf[:0], "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
	if c.wait {
		c.buf = append(c.buf, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"...)
	}
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	if line, err := c.line(); err != nil || line != "+OK" {
		return fmt.Errorf("SET answered %q, %w", line, err)
	}
	if !c.wait {
		return nil
	}
	if line, err := c.line(); err != nil || line == ":0" {
		return fmt.Errorf("WAIT answered %q, %w", line, err)
	}
	return nil
}

// do sends any command whose reply is one line.
func (c *respClient) do(args ...string) (string, error) {
	c.buf = fmt.Appendf(c.buf[:0], "*%d\r\n", len(args))
	for _, arg := range args {
		c.buf = fmt.Appendf(c.buf, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := c.conn.Write(c.buf); err != nil {
		return "", err
	}
	return c.line()
}

func (c *respClient) get(key string) error {
	c.buf = fmt.Appendf(c.buf[:0], "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	line, err := c.line()
	if err != nil || line == "$-1" {
		return err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if err == nil {
		_, err = c.r.Discard(n + len("\r\n"))
	}
	return err
}

// number sends commands and reads the number that the first one answers in the end:
// it is sent last.
func (c *respClient) number(last, first string) (int, error) {
	if _, err := io.WriteString(c.conn, first+last); err != nil {
		return 0, err
	}
	if _, err := c.line(); err != nil {
		return 0, err
	}
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimPrefix(line, ":"))
}

// etcdClient calls etcd's KV service. Of its messages key and value are the first
// two fields, which is all that is needed here.
type etcdClient struct{ conn *grpc.ClientConn }

// wire passes encoded messages through.
type wire struct{}

func (wire) Name() string                    { return "proto" }
func (wire) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (wire) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte(nil), b...); return nil }
func field(b []byte, n int, value string) []byte {
	b = protowire.AppendTag(b, protowire.Number(n), protowire.BytesType)
	return protowire.AppendString(b, value)
}

func (c etcdClient) call(method string, request []byte) error {
	var answer []byte
	return c.conn.Invoke(context.Background(), "/etcdserverpb.KV/"+method, &request, &answer, grpc.ForceCodec(wire{}))
}

func (c etcdClient) set(key, value string) error {
	return c.call("Put", field(field(nil, 1, key), 2, value))
}
func (c etcdClient) get(key string) error { return c.call("Range", field(nil, 1, key)) }
func (c etcdClient) close()               {}

// etcdConnections is how many connections the clients of etcd share: one each costs
// it more.
const etcdConnections = 8

func etcdTrio(o *options, dir string) (*trio, error) {
	t := &trio{name: "etcd"}
	var peers, members []string
	for i := range 3 {
		peer, err := freeAddress()
		if err != nil {
			return t, err
		}
		peers = append(peers, peer)
		members = append(members, fmt.Sprintf("e%d=http://%s", i, peer))
	}
	for i := range 3 {
		addr, err := freeAddress()
		if err != nil {
			return t, err
		}
		s := &server{name: "etcd", addr: addr, dir: filepath.Join(dir, fmt.Sprintf("etcd-%d", i)), args: func(addr, dir string) []string {
			return []string{o.etcd, "--name", fmt.Sprintf("e%d", i), "--data-dir", dir, "--log-level", "error", "--logger", "zap",
				"--listen-client-urls", "http://" + addr, "--advertise-client-urls", "http://" + addr,
				"--listen-peer-urls", "http://" + peers[i], "--initial-advertise-peer-urls", "http://" + peers[i],
				"--initial-cluster", strings.Join(members, ","), "--quota-backend-bytes", strconv.Itoa(8 << 30)}
		}, ready: func(string) bool { return true }}
		t.servers = append(t.servers, s)
		if _, err := s.start(); err != nil {
			return t, err
		}
	}
	leader := ""
	err := await("a leader of etcd", func() bool {
		for _, s := range t.servers {
			if etcdLeads(s.addr) {
				leader = s.addr
				return true
			}
		}
		return false
	})
	if err != nil {
		return t, err
	}
	var conns [etcdConnections]*grpc.ClientConn
	for i := range conns {
		if conns[i], err = grpc.NewClient(leader, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			return t, err
		}
	}
	var turn atomic.Uint32
	t.dial = func() (client, error) { return etcdClient{conns[turn.Add(1)%etcdConnections]}, nil }
	return t, nil
}

// etcdLeads asks for a member's status: its own id is in the header, that of the
// leader is the fourth field.
func etcdLeads(addr string) bool {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	var request, answer []byte
	if conn.Invoke(context.Background(), "/etcdserverpb.Maintenance/Status", &request, &answer, grpc.ForceCodec(wire{})) != nil {
		return false
	}
	header, self, leader := []byte(nil), uint64(0), uint64(0)
	for b := answer; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.BytesType:
			header, n = protowire.ConsumeBytes(b)
		case number == 4 && kind == protowire.VarintType:
			leader, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return false
		}
		b = b[n:]
	}
	for b := header; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if number == 2 && kind == protowire.VarintType {
			self, _ = protowire.ConsumeVarint(b)
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return false
		}
		b = b[n:]
	}
	return leader != 0 && leader == self
}
