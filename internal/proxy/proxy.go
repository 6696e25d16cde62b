package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/compare"
	"github.com/stratadb/strata/internal/migrate/peer"
)

// Config is what a proxy is told.
type Config struct {
	// Listen is where clients connect, Admin where the report, the metrics and the switch are; an
	// empty Admin leaves that out.
	Listen, Admin string
	// Servers are the two sides.
	Servers [2]peer.Server
	Mode    Mode
	// Password, if set, is what clients must know; User is the name that they may give.
	User, Password string
	// Clients bounds the connections of clients, Idle the unused connections that are kept to a side.
	Clients, Idle int
	// QueueBytes and QueueItems bound what waits for the side that follows.
	QueueBytes, QueueItems int
	// Wait is how long a client's write waits for room in that queue.
	Wait time.Duration
	// Switch bounds how long clients are held while the mode changes.
	Switch time.Duration
	// Shadow compares reads in strata-primary mode, too.
	Shadow bool
	// ShadowEvery compares one of so many reads.
	ShadowEvery int
	// Tolerance is by how much times to live may differ.
	Tolerance time.Duration
	// Look is how often clients that wait look for what was written past the proxy; a second
	// by default.
	Look time.Duration
	// GlobalScripts makes every script wait until nothing else is written.
	GlobalScripts bool
	// State keeps what must outlive the process; it may be nil.
	State Store
}

// Store keeps a small document.
type Store interface {
	// Load answers nil if there is none.
	Load() ([]byte, error)
	Save(b []byte) error
}

// Proxy is a running one.
type Proxy struct {
	cfg      Config
	log      *slog.Logger
	commands *commands
	rules    compare.Rules
	report   *report
	scripts  *scripts
	locks    locks
	ledger   *ledger
	line     *line
	pools    [2]*pool
	held     atomic.Int64 // bytes of replies that wait for locks

	// gate is held shared by who executes commands, alone by who changes the mode or what
	// belongs to all keys. The fields below it change with it held alone.
	gate     sync.RWMutex
	mode     Mode
	follower *follower // nil in a mode of one side
	epoch    uint64    // counts the changes of mode

	truth struct {
		sync.Mutex
		complete bool
		why      string // it is not
	}
	switching sync.Mutex // one change of mode at a time
	touched   atomic.Pointer[bitmap]
	syncing   *progress

	natives  natives
	rechecks chan recheck
	sample   atomic.Uint64
	listener net.Listener
	admin    net.Listener
	http     *http.Server
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup // the proxy's own goroutines
	served   sync.WaitGroup // sessions

	clients struct {
		sync.Mutex
		sessions map[*session]struct{}
	}
}

// Start listens and serves.
func Start(cfg Config, log *slog.Logger) (*Proxy, error) {
	p := &Proxy{cfg: cfg, log: log, commands: newCommands(), rules: compare.Rules{Tolerance: cfg.Tolerance}, report: newReport(),
		scripts: newScripts(), ledger: newLedger(), line: newLine(), rechecks: make(chan recheck, limits.ProxyRechecks), syncing: &progress{}}
	if p.cfg.Look == 0 {
		p.cfg.Look = lookEvery
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.clients.sessions = map[*session]struct{}{}
	for i := range p.pools {
		p.pools[i] = newPool(&p.cfg.Servers[i], cfg.Idle)
	}
	p.mode = cfg.Mode
	if err := p.restore(); err != nil {
		return nil, err
	}
	var err error
	if p.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, err
	}
	if cfg.Admin != "" {
		if p.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			_ = p.listener.Close()
			return nil, err
		}
	}
	if p.mode.follows() {
		p.follower = newFollower(p, p.mode.decider().other())
	}
	if err := p.save(true); err != nil {
		p.closeListeners()
		return nil, err
	}
	p.background(p.accept)
	p.background(p.repair)
	p.background(p.recheckAll)
	p.background(p.sweep)
	if p.admin != nil {
		p.serveAdmin()
	}
	return p, nil
}

func (p *Proxy) background(f func()) {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		f()
	}()
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// AdminAddr is where the report is; "" if nowhere.
func (p *Proxy) AdminAddr() string {
	if p.admin == nil {
		return ""
	}
	return p.admin.Addr().String()
}

func (p *Proxy) closeListeners() {
	_ = p.listener.Close()
	if p.admin != nil {
		_ = p.admin.Close()
	}
}

// Close ends the clients' connections and brings what is in the queue to the side that
// follows, as long as ctx allows. What is left is in the state as diverged.
func (p *Proxy) Close(ctx context.Context) error {
	p.cancel()
	p.closeListeners()
	p.clients.Lock()
	for s := range p.clients.sessions {
		_ = s.conn.Close()
	}
	p.clients.Unlock()
	p.served.Wait()
	if p.http != nil {
		_ = p.http.Close()
	}
	p.wg.Wait()
	p.gate.Lock()
	defer p.gate.Unlock()
	var left error
	if f := p.follower; f != nil {
		within := 10 * time.Second
		if d, ok := ctx.Deadline(); ok {
			within = time.Until(d)
		}
		if f.up.Load() && !f.q.drained(within) || !f.up.Load() && !f.q.drained(0) {
			left = errors.New("the side that follows has not taken everything")
		}
		f.stop()
		p.abandon(f)
		p.follower = nil
	}
	for _, pool := range p.pools {
		pool.close()
	}
	return errors.CombineErrors(left, p.save(false))
}

// abandon marks what a follower that was stopped has not sent.
func (p *Proxy) abandon(f *follower) {
	for _, it := range f.q.take(nil, f.q.maxItems) {
		p.lost(&it, errors.New("the proxy was stopped"))
	}
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if p.ctx.Err() != nil {
				return
			}
			p.log.Warn("accepting a client", "error", err)
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		p.clients.Lock()
		full := len(p.clients.sessions) >= p.cfg.Clients
		var s *session
		if !full && p.ctx.Err() == nil {
			s = newSession(p, conn)
			p.clients.sessions[s] = struct{}{}
			p.served.Add(1)
		}
		p.clients.Unlock()
		if s == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write([]byte("-ERR max number of clients reached\r\n"))
			_ = conn.Close()
			continue
		}
		go func() {
			defer p.served.Done()
			s.serve()
			p.clients.Lock()
			delete(p.clients.sessions, s)
			p.clients.Unlock()
		}()
	}
}

// incomplete says that the side that follows is not known to have everything.
func (p *Proxy) incomplete(why string) {
	p.truth.Lock()
	defer p.truth.Unlock()
	if p.truth.complete || p.truth.why == "" {
		p.log.Warn("the side that follows is incomplete until it is synced", "reason", why)
		p.truth.complete, p.truth.why = false, why
	}
}

// completeness is whether the side that follows has everything that is not in the queue or
// the ledger, and why not.
func (p *Proxy) completeness() (bool, string) {
	p.truth.Lock()
	defer p.truth.Unlock()
	return p.truth.complete, p.truth.why
}

func (p *Proxy) setComplete() {
	p.truth.Lock()
	defer p.truth.Unlock()
	p.truth.complete, p.truth.why = true, ""
}

// pool keeps idle connections to a side.
type pool struct {
	server *peer.Server
	most   int

	mu     sync.Mutex
	idle   []*peer.Conn
	closed bool
	open   atomic.Int64
}

func newPool(s *peer.Server, most int) *pool { return &pool{server: s, most: most} }

// get is a connection at a database in a version of the protocol.
func (l *pool) get(ctx context.Context, db, proto int) (*peer.Conn, error) {
	for {
		c := l.pop()
		if c == nil {
			var err error
			if c, err = peer.Dial(ctx, l.server); err != nil {
				return nil, err
			}
			l.open.Add(1)
			if err := enter(c, db, proto); err != nil {
				l.drop(c)
				return nil, err
			}
			return c, nil
		}
		if c.Alive() && enter(c, db, proto) == nil {
			return c, nil
		}
		l.drop(c)
	}
}

func enter(c *peer.Conn, db, proto int) error {
	if err := c.Hello(proto); err != nil {
		return err
	}
	return c.Select(db)
}

func (l *pool) pop() *peer.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.idle)
	if n == 0 {
		return nil
	}
	c := l.idle[n-1]
	l.idle = slices.Delete(l.idle, n-1, n)
	return c
}

// put takes a connection back in which nothing is open.
func (l *pool) put(c *peer.Conn) {
	l.mu.Lock()
	keep := !l.closed && len(l.idle) < l.most && c.Replies.Buffered() == 0
	if keep {
		c.Replies.Release()
		l.idle = append(l.idle, c)
	}
	l.mu.Unlock()
	if !keep {
		l.drop(c)
	}
}

func (l *pool) drop(c *peer.Conn) {
	l.open.Add(-1)
	_ = c.Close()
}

func (l *pool) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.idle {
		l.drop(c)
	}
	l.idle = nil
}
