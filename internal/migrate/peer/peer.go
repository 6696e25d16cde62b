// Package peer is a connection to a server that speaks Redis's protocol, be it Redis or
// Strata, as those need it who move data between two of them: it logs in, knows which
// database and which version of the protocol it is at, sends pipelines, and reads replies
// or passes them on.
package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/wire/resp"
)

// Server says where a server is and who one is there.
type Server struct {
	Addr           string
	User, Password string
	// DB is the database that stands for the clients' database 0; the others follow it.
	DB int
	// TLS, if set, encrypts.
	TLS *tls.Config
	// Timeout bounds the connecting and the wait for a reply.
	Timeout time.Duration
}

// Conn is a connection. It is for one goroutine, but for Close.
type Conn struct {
	net.Conn
	Server  *Server
	Replies *resp.Passer
	// DB is the clients' number of the database; Proto is 2 or 3.
	DB, Proto int

	armed   time.Time
	decoder *resp.Decoder
	raw     collector
	out     []byte
}

type collector struct{ b []byte }

func (c *collector) Piece(b []byte) { c.b = append(c.b, b...) }

// Dial connects and logs in.
func Dial(ctx context.Context, s *Server) (*Conn, error) {
	d := net.Dialer{Timeout: s.Timeout}
	var raw net.Conn
	var err error
	if s.TLS != nil {
		raw, err = (&tls.Dialer{NetDialer: &d, Config: s.TLS}).DialContext(ctx, "tcp", s.Addr)
	} else {
		raw, err = d.DialContext(ctx, "tcp", s.Addr)
	}
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, Server: s, Replies: resp.NewPasser(raw), Proto: 2, decoder: resp.NewDecoder(nil, resp.DecoderLimits{})}
	if err := c.login(); err != nil {
		_ = raw.Close()
		return nil, errors.Wrap(err, s.Addr)
	}
	return c, nil
}

func (c *Conn) login() error {
	auth := []string{"AUTH"}
	if c.Server.User != "" {
		auth = append(auth, c.Server.User)
	}
	if c.Server.Password != "" || c.Server.User != "" {
		if err := c.Expect(append(auth, c.Server.Password)...); err != nil {
			return err
		}
	}
	if c.Server.DB == 0 {
		return nil
	}
	return c.Expect("SELECT", strconv.Itoa(c.Server.DB))
}

// Select chooses a database, by the clients' number.
func (c *Conn) Select(db int) error {
	if db == c.DB {
		return nil
	}
	if err := c.Expect("SELECT", strconv.Itoa(c.Server.DB+db)); err != nil {
		return err
	}
	c.DB = db
	return nil
}

// databasesMost bounds how many databases a server is asked about.
const databasesMost = 1024

// Databases are those of wanted that hold keys, by the clients' numbers, and how many keys
// these are. With nil the server says how many databases it has.
func (c *Conn) Databases(wanted []int) (all []int, keys int64, err error) {
	if wanted == nil {
		most := 16
		if v, err := c.Do("CONFIG", "GET", "databases"); err != nil {
			return nil, 0, err
		} else if n, ok := v.Get("databases"); ok {
			if i, err := strconv.Atoi(n.Text()); err == nil && i > 0 {
				most = min(i, databasesMost)
			}
		}
		for db := range most - c.Server.DB {
			wanted = append(wanted, db)
		}
	}
	for _, db := range wanted {
		if err := c.Select(db); err != nil {
			if errors.HasType(err, resp.ReplyError("")) {
				continue
			}
			return nil, 0, err
		}
		n, err := c.Do("DBSIZE")
		if err != nil {
			return nil, 0, err
		}
		if n.Int > 0 {
			all, keys = append(all, db), keys+n.Int
		}
	}
	return all, keys, nil
}

// Hello chooses a version of the protocol. Version 2 is asked for only where 3 was.
func (c *Conn) Hello(proto int) error {
	if proto == c.Proto {
		return nil
	}
	if err := c.Expect("HELLO", strconv.Itoa(proto)); err != nil {
		return err
	}
	c.Proto = proto
	return nil
}

// Expect sends a command and returns the error that is its reply, if it is one.
func (c *Conn) Expect(args ...string) error {
	v, err := c.Do(args...)
	if err == nil && v.Err() != nil {
		err = errors.Wrap(v.Err(), args[0])
	}
	return err
}

// Do sends a command and returns its reply.
func (c *Conn) Do(args ...string) (resp.Value, error) {
	c.out = resp.AppendCommand(c.out[:0], args...)
	if err := c.Send(c.out); err != nil {
		return resp.Value{}, err
	}
	return c.Read()
}

// Send writes commands.
func (c *Conn) Send(b []byte) error {
	c.Arm()
	_, err := c.Write(b)
	return err
}

// Arm begins the time within which the next reply must have come. It may be an eighth
// shorter than the server's timeout: setting it each time would cost more than a command.
func (c *Conn) Arm() {
	now := time.Now()
	if now.Sub(c.armed) < c.Server.Timeout/8 {
		return
	}
	c.armed = now
	_ = c.SetDeadline(now.Add(c.Server.Timeout))
}

// Disarm lets reading and writing take as long as they do, until Arm.
func (c *Conn) Disarm() {
	c.armed = time.Time{}
	_ = c.SetDeadline(time.Time{})
}

// keptBytes is the largest scratch that a connection keeps.
const keptBytes = 1 << 20

// Read reads a reply; pushes are skipped.
func (c *Conn) Read() (resp.Value, error) {
	for {
		if cap(c.raw.b) > keptBytes {
			c.raw.b = nil
		}
		c.raw.b = c.raw.b[:0]
		kind, err := c.Replies.Next(&c.raw)
		if err != nil {
			return resp.Value{}, err
		}
		if kind != resp.KindPush {
			c.decoder.Reset(bytes.NewReader(c.raw.b))
			return c.decoder.Decode()
		}
	}
}

// Pipeline sends commands, at least one, and returns their replies.
func (c *Conn) Pipeline(commands [][]string) ([]resp.Value, error) {
	out := c.out[:0]
	for _, args := range commands {
		out = resp.AppendCommand(out, args...)
	}
	if c.out = out; cap(out) > keptBytes {
		c.out = nil
	}
	replies := make([]resp.Value, 0, len(commands))
	err := c.Exchange(out, len(commands), func(v resp.Value) { replies = append(replies, v) })
	return replies, err
}

// Exchange sends so many commands and visits their replies. After an error the connection
// is closed.
func (c *Conn) Exchange(commands []byte, n int, visit func(v resp.Value)) error {
	c.Arm()
	sent := make(chan error, 1)
	send := func() {
		_, err := c.Write(commands)
		sent <- err
	}
	if len(commands) > keptBytes/4 { // more than sockets hold: replies are read meanwhile
		go send()
	} else {
		send()
	}
	var err error
	for range n {
		c.Arm()
		var v resp.Value
		if v, err = c.Read(); err != nil {
			break
		}
		visit(v)
	}
	if err != nil {
		_ = c.Close() // which ends the sending, too
	}
	if sending := <-sent; err == nil {
		err = sending
	}
	return err
}

// Decode reads a reply from its bytes.
func Decode(raw []byte) (resp.Value, error) {
	return resp.NewDecoder(bytes.NewReader(raw), resp.DecoderLimits{}).Decode()
}
