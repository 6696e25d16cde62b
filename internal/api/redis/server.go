package redis

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/acl"
	"github.com/stratadb/strata/internal/api/redis/blocking"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/eviction"
	"github.com/stratadb/strata/internal/api/redis/expirer"
	"github.com/stratadb/strata/internal/api/redis/info"
	"github.com/stratadb/strata/internal/api/redis/latency"
	"github.com/stratadb/strata/internal/api/redis/monitor"
	"github.com/stratadb/strata/internal/api/redis/outbox"
	"github.com/stratadb/strata/internal/api/redis/saver"
	"github.com/stratadb/strata/internal/api/redis/scripting"
	"github.com/stratadb/strata/internal/api/redis/slots"
	"github.com/stratadb/strata/internal/api/redis/slowlog"
	"github.com/stratadb/strata/internal/api/redis/tracking"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/netloop"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Namespace is where a session's keys live.
type Namespace struct {
	ID   keyspace.NamespaceID
	Path string
	// databases is where its databases are stored.
	databases catalog.Databases
	// term is when path and databases were resolved; nil means that they must be.
	term *catalog.Term
	// epoch is what the catalog's epoch was then.
	epoch uint64
	// ticket is what must be committed before anything that was found there may be
	// revealed.
	ticket base.Ticket
}

// Namespaces finds namespaces.
type Namespaces interface {
	// Default is the namespace of a new session.
	Default() Namespace
}

// globalNamespace is the namespace of a server without a catalog.
type globalNamespace struct{}

func (globalNamespace) Default() Namespace { return Namespace{ID: 1, Path: "global"} }

// Options configure a server. Zero values mean the defaults.
type Options struct {
	// DB is where the data is.
	DB *kv.DB
	// Log receives what an operator should know.
	Log *slog.Logger
	// Model says how values are laid out.
	Model model.Options
	// Namespaces finds a session's namespace; the default knows "global" only.
	Namespaces Namespaces
	// Catalog finds the others; the default is made over DB.
	Catalog *catalog.Catalog
	// Shards are the statuses of the hash slots that are enforced; nil means none.
	Shards *catalog.Shards
	// Topology tells clients in cluster mode who serves what; nil means that cluster
	// support is off.
	Topology slots.Topology
	// Broker delivers what is published; the default knows this server's clients alone.
	Broker *pubsub.Broker
	// Families are the commands; the default are those for clients.
	Families []func() []Command
	// Limits bounds what clients may send.
	Limits resp.Limits
	// OutputBytes is how much unsent reply a connection may hold; the default is
	// limits.ConnectionOutputBytes.
	OutputBytes int
	// Stall is how long a client with replies waiting may read nothing; the
	// default is limits.ConnectionStall.
	Stall time.Duration
	// Memory is that of the machine in bytes, for INFO; zero: not known.
	Memory uint64
	// Password is requirepass: the default user's password when the server starts; none means
	// no login. See ShareUsers for one whose users are stored.
	Password string
	// Unprotected turns protected mode off: without a password, other than
	// loopback clients are refused unless it is set.
	Unprotected bool
	// Rewrite stores settings in the configuration file, by their names there; nil: there is none.
	Rewrite func(values map[string]any) error
	// Executable and ConfigFile are the process's, for INFO.
	Executable, ConfigFile string
	// Stop ends the process in good order; nil: clients cannot ask for that.
	Stop func()
	// SaveDir is where SAVE puts files; without one there are none.
	SaveDir string
	// MaxClients bounds the connections; the default is limits.Connections.
	MaxClients int
	// IdleTimeout closes quiet connections; zero means never.
	IdleTimeout time.Duration
	// KeepAlive is the interval of TCP keep-alive probes; the default is 300 s.
	KeepAlive time.Duration
	// ReadonlyStaleness is how old a state clients that have said READONLY may be served
	// from; zero means the newest.
	ReadonlyStaleness time.Duration
	// ManualExpiry leaves the deletion of overdue keys to who steps an Expirer.
	ManualExpiry bool
	// Version is strata_version.
	Version string
	// Now is the wall clock; the default is time.Now.
	Now func() time.Time
}

// RedisVersion is the version of Redis whose commands and replies are offered.
const RedisVersion = "7.2.4"

// Server serves RESP clients. Make one with NewServer.
type Server struct {
	o           Options
	db          *kv.DB
	log         *slog.Logger
	table       *command.Table[*Call]
	settings    settings
	users       *auth.Users
	refusals    auth.Log
	began       time.Time           // as clock tells it
	times       []latency.Histogram // of commands, by their numbers
	slowLog     slowlog.Log
	events      latency.Events
	special     atomic.Uint32
	usage       eviction.Usage
	evictor     *eviction.Evictor
	passive     atomic.Bool            // expired keys are left until somebody looks at them
	replID      atomic.Pointer[string] // INFO's master_replid
	memory      *info.Memory
	monitors    monitor.Hub
	saver       *saver.Saver
	stats       serverStats
	outputBytes int
	now         func() time.Time
	started     time.Time
	runID       string
	namespaces  Namespaces
	catalog     *catalog.Catalog
	shards      *catalog.Shards
	tick        tickCache
	epochs      epochs
	lines       blocking.Lines             // of clients that block
	waiting     atomic.Int64               // clients that block
	handles     [model.Databases]*model.DB // of the default namespace
	executors   sync.Pool
	flushers    []*outbox.Flusher
	loops       loops
	broker      *pubsub.Broker
	lookups     model.Lookups
	samples     model.Samples
	scripts     *scripting.Store
	counting    sync.Mutex // for INFO: many that count keys at once would be in each other's way
	pause       pause
	tracking    *tracking.Table

	coarse   atomic.Int64 // unix milliseconds, advanced by housekeeping
	closing  atomic.Bool
	stopping chan struct{}  // closed when Shutdown begins
	stopped  chan struct{}  // closed when the connections are gone
	owned    sync.WaitGroup // flushers and housekeeping
	sessions sync.WaitGroup
	once     sync.Once

	mu struct {
		sync.Mutex
		byID      map[int64]*session
		nextID    int64
		listeners []net.Listener
	}
}

// NewServer makes a server and starts its background work, which ends with
// Shutdown.
func NewServer(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Namespaces == nil {
		o.Namespaces = globalNamespace{}
	}
	if o.Families == nil {
		o.Families = families()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Stall == 0 {
		o.Stall = limits.ConnectionStall
	}
	if o.OutputBytes == 0 {
		o.OutputBytes = limits.ConnectionOutputBytes
	}
	s := &Server{
		o: o, db: o.DB, log: o.Log, table: tableOf(o.Families), now: o.Now, started: o.Now(), outputBytes: o.OutputBytes,
		runID: newRunID(), namespaces: o.Namespaces, stopping: make(chan struct{}), stopped: make(chan struct{}),
		catalog: o.Catalog, shards: o.Shards, broker: o.Broker, scripts: scripting.NewStore(RedisVersion, o.Now),
	}
	if s.broker == nil {
		s.broker = pubsub.New(nil)
	}
	if s.catalog == nil {
		s.catalog = catalog.New(o.DB)
	}
	s.tracking = tracking.New(s.db, s.settings.trackingKeys.Load)
	s.lines.DB, s.lines.Stopping = s.db, s.stopping
	s.o.Model.Lookups, s.o.Model.Samples = &s.lookups, &s.samples
	s.mu.byID = map[int64]*session{}
	s.settings.init(&o)
	s.began, s.memory = time.Now(), info.NewMemory(o.Memory)
	s.monitors.Some = func(some bool) { s.setSpecial(specialMonitors, some) }
	s.pause.tell = func(on bool) { s.setSpecial(specialPause, on) }
	s.table.Each(func(cmd *Command) {
		if isBrief(cmd) {
			cmd.Flags |= command.FlagBrief
		}
		s.times = append(s.times, latency.Histogram{})
	})
	s.replID.Store(&s.runID)
	s.users = auth.Alone(acl.CommandsOf(s.table), o.Password)
	s.coarse.Store(s.now().UnixMilli())
	for i := range s.handles {
		s.handles[i] = s.open(o.Namespaces.Default(), uint8(i))
	}
	s.executors.New = func() any { return s.newExecutor() }
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		f := outbox.NewFlusher()
		s.flushers = append(s.flushers, f)
		s.own(func() { f.Run(s.stopped) })
	}
	s.startLoops()
	s.own(s.housekeep)
	if s.shards != nil {
		s.own(s.watchShards)
	}
	s.evictor = s.newEvictor()
	s.saver = saver.New(saver.Options{DB: s.db, Model: s.o.Model, Log: s.log, Now: s.now, Dir: o.SaveDir, Version: RedisVersion, Stopping: s.stopping})
	if !o.ManualExpiry {
		s.own(s.evictor.Run)
		expired := expirer.Options{DB: s.db, Model: s.o.Model, Broker: s.broker, Log: s.log, Now: s.now, Expired: &s.stats.expired, Stopping: s.stopping,
			Classes: s.eventClasses, Idle: s.idle}
		s.own(expired.Run)
	}
	return s
}

// open makes a database handle; number is known to be valid.
func (s *Server) open(ns Namespace, number uint8) *model.DB {
	db, err := model.Open(ns.ID, number, s.o.Model)
	if err != nil {
		panic(err) // SELECT checks the number
	}
	if physical := ns.databases.Physical(number); physical != number {
		db = db.StoredAs(physical)
	}
	return db
}

// handle is the handle of a database of a namespace.
func (s *Server) handle(ns Namespace, number uint8) *model.DB {
	if s.handles[number].Namespace() == ns.ID && ns.databases.Physical(number) == number {
		return s.handles[number]
	}
	return s.open(ns, number)
}

func (s *Server) own(fn func()) {
	s.owned.Add(1)
	go func() {
		defer s.owned.Done()
		fn()
	}()
}

func (s *Server) newExecutor() *executor {
	x := &executor{kvs: s.db.NewSession()}
	x.call.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	x.call.W, x.call.x, x.call.Used = &x.w, x, x.call.used
	x.call.ReadsAnyKey = x.call.readsAnyKey
	return x
}

func (s *Server) takeExecutor() *executor { return s.executors.Get().(*executor) }

// callKeptItems is how long the scratch slices of a pooled Call may be.
const callKeptItems = 1024

func (s *Server) giveExecutor(x *executor) {
	c := &x.call
	c.Args, c.Txn, c.DB, c.s, c.cmd = nil, nil, nil, nil, nil
	c.Bytes, c.Fields, c.Ints = kept(c.Bytes), kept(c.Fields), kept(c.Ints)
	c.Scored = kept(c.Scored)
	x.mark, x.queueAt, x.sole[0] = 0, 0, queued{}
	clear(x.overheard)
	x.overheard = x.overheard[:0]
	s.executors.Put(x)
}

// kept forgets the items and, if they were not too many, keeps their room.
func kept[T any](s []T) []T {
	if cap(s) > callKeptItems {
		return nil
	}
	clear(s)
	return s[:0]
}

// Serve accepts connections from l until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		return l.Close()
	}
	s.mu.listeners = append(s.mu.listeners, l)
	s.mu.Unlock()
	for {
		conn, err := l.Accept()
		if err == nil {
			s.accept(conn)
			continue
		}
		if s.closing.Load() {
			return nil
		}
		var ne net.Error
		if !errors.As(err, &ne) || errors.Is(err, net.ErrClosed) {
			return err
		}
		// Too many open files and the like: others go on, and so does accepting.
		s.log.Error("accept failed", slog.Any("error", err))
		select {
		case <-s.stopping:
			return nil
		case <-time.After(acceptPause):
		}
	}
}

const acceptPause = 50 * time.Millisecond

// accept starts a session or refuses the connection.
func (s *Server) accept(conn net.Conn) {
	s.stats.accepted.Add(1)
	if t, ok := conn.(*net.TCPConn); ok {
		if err := t.SetKeepAliveConfig(s.settings.keepAlive()); err != nil {
			s.log.Debug("keep-alive not set", slog.Any("error", err))
		}
	}
	if s.protects() && !netloop.Loopback(conn.RemoteAddr()) {
		s.refuse(conn, "-"+denied+"\r\n")
		return
	}
	sess := s.newSession(conn)
	if !s.register(sess) {
		s.refuse(conn, "-"+string(errMaxClients)+"\r\n")
	}
}

// register makes the session known and starts it, unless the server is full or
// ends. Others see a session only when it is whole: they poke and list it.
func (s *Server) register(sess *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() || int64(len(s.mu.byID)) >= s.settings.maxClients.Load() {
		return false
	}
	s.mu.nextID++
	sess.id = s.mu.nextID
	sess.adopt()
	sess.out.Init(sess.conn, outbox.Options{Flusher: s.flushers[int(sess.id)%len(s.flushers)], Stall: s.o.Stall, Sent: &s.stats.sent,
		Lost: []byte("-" + unknownOutcome + "\r\n")})
	s.mu.byID[sess.id] = sess
	s.sessions.Add(1)
	if sess.loop == nil {
		go sess.serve()
	} else if err := sess.loop.Start(sess); err != nil {
		s.log.Error("connection not served", slog.Any("error", err))
		go sess.end()
	}
	return true
}

// refuse answers without a session. A fresh socket takes a few bytes at once.
func (s *Server) refuse(conn net.Conn, text string) {
	s.stats.refused.Add(1)
	_ = conn.SetWriteDeadline(s.now().Add(time.Second)) // best effort: the client is sent away in any case
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

func (s *Server) newSession(conn net.Conn) *session {
	sess := &session{srv: s, conn: conn, parser: resp.NewParser(s.o.Limits), created: s.now()}
	ns := s.namespaces.Default()
	sess.choice = choice{proto: 2, ns: ns, handle: s.handle(ns, 0)}
	sess.begin()
	sess.info.proto = 2
	sess.multiLen.Store(-1)
	sess.active.Store(s.coarse.Load())
	return sess
}

func (s *Server) forget(sess *session) {
	s.mu.Lock()
	delete(s.mu.byID, sess.id)
	s.mu.Unlock()
	s.sessions.Done()
}

// port is that of the first listener, 0 if it has none.
func (s *Server) port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.listeners) > 0 {
		if a, ok := s.mu.listeners[0].Addr().(*net.TCPAddr); ok {
			return a.Port
		}
	}
	return 0
}

// clients is a snapshot of the sessions.
func (s *Server) clients() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.mu.byID))
	for _, c := range s.mu.byID {
		all = append(all, c)
	}
	return all
}

// Shutdown stops accepting, lets the commands that have begun finish and their
// replies go out, and ends all connections; those that are left when ctx ends are
// cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closing.Store(true)
		for _, l := range s.mu.listeners {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				s.log.Warn("closing a listener", slog.Any("error", err))
			}
		}
		s.mu.Unlock()
		close(s.stopping)
		for _, c := range s.clients() {
			c.poke()
		}
		go func() { // ends with the last session
			s.sessions.Wait()
			for _, l := range s.loops {
				l.Close()
			}
			close(s.stopped)
		}()
	})
	var err error
	select {
	case <-s.stopped:
	case <-ctx.Done():
		err = ctx.Err()
		for _, c := range s.clients() {
			c.kill()
		}
		<-s.stopped
	}
	s.owned.Wait()
	s.tracking.Close()
	for _, l := range s.loops {
		if rerr := l.Release(); rerr != nil {
			s.log.Warn("releasing a connection loop", slog.Any("error", rerr))
		}
	}
	s.loops = nil
	if s.o.Catalog == nil {
		s.catalog.Close()
	}
	return err
}

// housekeepEvery is how often the coarse clock advances.
const housekeepEvery = 100 * time.Millisecond

// idleAfter is how long a connection is quiet before it gives its buffers back.
const idleAfter = 2 * time.Second

// housekeep advances the coarse clock and pokes connections that have been quiet.
func (s *Server) housekeep() {
	tick := time.NewTicker(housekeepEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-s.stopped:
			return
		case <-tick.C:
		}
		s.coarse.Store(s.now().UnixMilli())
		if n%10 == 0 {
			s.sampleRate(s.now())
			s.memory.Sample()
			s.pokeIdle()
		}
	}
}

func (s *Server) pokeIdle() {
	timeout := time.Duration(s.settings.timeout.Load()) * time.Second
	for _, c := range s.clients() {
		idle := c.idleFor()
		if idle < idleAfter || c.executing.Load() {
			continue
		}
		if c.inSize.Load() > 0 || timeout > 0 && idle >= timeout {
			c.poke()
		}
	}
}
