package lua

func (s *State) openTable() {
	s.library("table", map[string]Native{
		"concat": tableConcat, "insert": tableInsert, "remove": tableRemove, "sort": tableSort, "maxn": tableMaxn,
		"foreach": tableForeach, "foreachi": tableForeachi,
		"getn": func(c *Call) { c.Push(Int(c.Table(0).Len())) },
		"setn": func(c *Call) {
			c.Table(0)
			c.Raise("'setn' is obsolete")
		},
	})
}

func tableConcat(c *Call) {
	t := c.Table(0)
	separator := ""
	if !c.Arg(1).IsNil() {
		separator = c.Text(1)
	}
	from := c.IntOr(2, 1)
	to := 0
	if c.Arg(3).IsNil() {
		to = t.Len()
	} else {
		to = c.Int(3)
	}
	b := c.State().NewBuffer()
	for i := from; i <= to; i++ {
		c.State().Spend(1)
		s, ok := t.GetInt(i).text()
		if !ok {
			c.Raise("invalid value (%s) at index %d in table for 'concat'", t.GetInt(i).Kind(), i)
		}
		b.WriteString(s)
		if i < to {
			b.WriteString(separator)
		}
	}
	c.Push(b.Value())
}

func tableInsert(c *Call) {
	t := c.Table(0)
	end := t.Len() + 1
	switch c.n {
	case 2:
		c.t.rawSet(t, Int(end), c.Arg(1))
	case 3:
		at := c.Int(1)
		end = max(end, at)
		for i := end; i > at; i-- {
			c.t.rawSet(t, Int(i), t.GetInt(i-1))
			c.moved(i)
		}
		c.t.rawSet(t, Int(at), c.Arg(2))
	default:
		c.Raise("wrong number of arguments to 'insert'")
	}
}

// moved counts the work of moving element i.
func (c *Call) moved(i int) {
	if i%8 == 0 {
		c.State().Spend(1)
	}
}

func tableRemove(c *Call) {
	t := c.Table(0)
	end := t.Len()
	at := c.IntOr(1, end)
	if at < 1 || at > end {
		return
	}
	c.Push(t.GetInt(at))
	for ; at < end; at++ {
		c.t.rawSet(t, Int(at), t.GetInt(at+1))
		c.moved(at)
	}
	c.t.rawSet(t, Int(end), Nil)
}

func tableMaxn(c *Call) {
	most := 0.0
	c.Table(0).Each(func(k, _ Value) bool {
		if f, ok := k.AsNumber(); ok && f > most {
			most = f
		}
		return true
	})
	c.Push(Number(most))
}

func tableForeach(c *Call) {
	t, fn := c.Table(0), c.Function(1)
	for key := Nil; ; {
		k, v, ok := t.Next(key)
		if !ok {
			c.t.raise("invalid key to 'next'")
		}
		if k.IsNil() {
			return
		}
		if out := c.t.call1(fn, k, v); !out.IsNil() {
			c.Push(out)
			return
		}
		key = k
	}
}

func tableForeachi(c *Call) {
	t, fn := c.Table(0), c.Function(1)
	n := t.Len()
	for i := 1; i <= n; i++ {
		if out := c.t.call1(fn, Int(i), t.GetInt(i)); !out.IsNil() {
			c.Push(out)
			return
		}
	}
}

// sorter sorts a table as Lua does: what is equal comes in the same order as there.
type sorter struct {
	c    *Call
	t    *Table
	less Value
}

func tableSort(c *Call) {
	s := sorter{c: c, t: c.Table(0)}
	n := s.t.Len()
	if !c.Arg(1).IsNil() {
		s.less = c.Function(1)
	}
	s.sort(1, n)
}

func (s *sorter) get(i int) Value    { return s.t.GetInt(i) }
func (s *sorter) set(i int, v Value) { s.c.t.rawSet(s.t, Int(i), v) }

func (s *sorter) before(a, b Value) bool {
	s.c.State().Spend(1)
	if s.less.IsNil() {
		return s.c.t.less(a, b)
	}
	return s.c.t.call1(s.less, a, b).Truth()
}

// order exchanges the elements at i and j, i below j, if they are in the wrong order.
func (s *sorter) order(i, j int) bool {
	a, b := s.get(i), s.get(j)
	if !s.before(b, a) {
		return false
	}
	s.set(i, b)
	s.set(j, a)
	return true
}

// sort sorts from low to up: the median of three splits, the smaller part goes first.
func (s *sorter) sort(low, up int) {
	for low < up {
		s.order(low, up)
		if up-low == 1 {
			return
		}
		mid := (low + up) / 2
		if !s.order(low, mid) {
			s.order(mid, up)
		}
		if up-low == 2 {
			return
		}
		pivot := s.get(mid)
		last := s.get(up - 1)
		s.set(mid, last)
		s.set(up-1, pivot)
		i, j := low, up-1
		for {
			for i++; s.before(s.get(i), pivot); i++ {
				if i > up {
					s.c.Raise("invalid order function for sorting")
				}
			}
			for j--; s.before(pivot, s.get(j)); j-- {
				if j < low {
					s.c.Raise("invalid order function for sorting")
				}
			}
			if j < i {
				break
			}
			a, b := s.get(i), s.get(j)
			s.set(i, b)
			s.set(j, a)
		}
		a, b := s.get(up-1), s.get(i)
		s.set(up-1, b)
		s.set(i, a)
		if i-low < up-i {
			s.sort(low, i-1)
			low = i + 1
		} else {
			s.sort(i+1, up)
			up = i - 1
		}
	}
}
