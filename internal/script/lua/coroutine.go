package lua

// status is what a coroutine does.
type status uint8

const (
	statusFresh status = iota
	statusSuspended
	statusRunning
	statusDead
)

func (s *State) openCoroutine() {
	s.library("coroutine", map[string]Native{
		"create":  func(c *Call) { c.Push(threadValue(c.coroutine())) },
		"resume":  coroutineResume,
		"running": coroutineRunning,
		"status":  coroutineStatus,
		"wrap":    coroutineWrap,
		"yield":   coroutineYield,
	})
}

// coroutine makes a thread that begins with the first argument.
func (c *Call) coroutine() *Thread {
	fn := c.Function(0)
	s := c.State()
	s.Ask(threadBytes + stackFirst*valueBytes)
	t := s.newThread()
	t.stack[0], t.free = fn, 1
	return t
}

func (c *Call) thread(i int) *Thread {
	t := c.Arg(i).asThread()
	if t == nil {
		c.BadArgument(i, "coroutine expected")
	}
	return t
}

func (t *Thread) statusName() string {
	switch {
	case t.status == statusDead:
		return "dead"
	case t.status != statusRunning:
		return "suspended"
	case t.s.running == t:
		return "running"
	}
	return "normal"
}

func coroutineStatus(c *Call) { c.Push(String(c.thread(0).statusName())) }

func coroutineRunning(c *Call) {
	if c.t == c.State().main {
		c.Push(Nil)
		return
	}
	c.Push(threadValue(c.t))
}

// resume lets a coroutine go on with arguments of the native, from argument first on. What it
// gives or returns lives until it is resumed again.
func (c *Call) resume(t *Thread, first int) ([]Value, *Error) {
	s := t.s
	if t.status == statusRunning || t.status == statusDead || t == s.main {
		name := t.statusName()
		if t == s.main {
			name = "running"
		}
		return nil, &Error{Value: String("cannot resume " + name + " coroutine")}
	}
	if t.status == statusDead {
		return nil, &Error{Value: String("cannot resume dead coroutine")}
	}
	if s.depth >= nativesMax {
		c.Raise("C stack overflow")
	}
	args := c.t.stack[c.base+min(first, c.n) : c.base+c.n]
	fresh := t.status == statusFresh
	t.status, t.resumer, s.running = statusRunning, c.t, t
	s.depth++
	err := t.protect(func() { t.goOn(fresh, args) })
	s.depth--
	t.resumer, s.running = nil, c.t
	switch {
	case err != nil:
		t.status = statusDead
		t.closeUpvalues(0)
		return nil, err
	case t.yielding:
		t.yielding, t.status = false, statusSuspended
		return t.given, nil
	}
	t.status = statusDead
	return t.given, nil
}

// goOn runs the coroutine until it yields or ends.
func (t *Thread) goOn(fresh bool, args []Value) {
	if !fresh {
		t.place(args, t.resumeAt, t.resumeWant)
		t.run()
		if !t.yielding {
			t.given = append(t.given[:0], t.stack[0:t.top]...)
		}
		return
	}
	t.grow(1 + len(args))
	copy(t.stack[1:], args)
	t.free = 1 + len(args)
	t.high = max(t.high, t.free)
	fn := t.stack[0].AsFunction()
	if fn.native != nil {
		t.given = append(t.given[:0], t.callNative(fn, 1, len(args), true)...)
		return
	}
	t.enter(fn, 0, len(args), -1, true)
	t.run()
	if !t.yielding {
		t.given = append(t.given[:0], t.stack[0:t.top]...)
	}
}

func coroutineYield(c *Call) {
	t := c.t
	if t == t.s.main || t.runs != 1 || t.native != 1 || c.byNative {
		c.t.throw(String("attempt to yield across metamethod/C-call boundary"))
	}
	t.s.Ask(c.n * valueBytes)
	t.given = append(t.given[:0], t.stack[c.base:c.base+c.n]...)
	t.yielding = true
}

func coroutineResume(c *Call) {
	out, err := c.resume(c.thread(0), 1)
	if err != nil {
		c.Push(False)
		c.Push(err.Value)
		return
	}
	c.Push(True)
	c.out = append(c.out, out...)
}

func coroutineWrap(c *Call) {
	t := c.coroutine()
	c.Push(NewNative(func(c *Call) {
		out, err := c.resume(t, 0)
		if err != nil {
			v := err.Value
			if s, ok := v.AsString(); ok {
				v = String(c.where(1) + s)
			}
			c.Throw(v)
		}
		c.out = append(c.out, out...)
	}))
}
