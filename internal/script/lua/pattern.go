package lua

import "strings"

const (
	capturesMax = 32
	// patternDepthMax bounds how deep a match goes back and forth.
	patternDepthMax = 200

	captureOpen     = -1
	capturePosition = -2
)

// matcher matches a pattern at a place of a string.
type matcher struct {
	c        *Call
	src, pat string
	level    int
	captures [capturesMax]struct{ from, n int }
	depth    int
}

// match is the end of what matches pat[p:] at s, -1 if nothing does.
func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > patternDepthMax {
		m.c.Raise("pattern too complex")
	}
	defer func() { m.depth-- }()
	for {
		m.c.State().Spend(1)
		if p == len(m.pat) {
			return s
		}
		switch m.pat[p] {
		case '(':
			if p+1 < len(m.pat) && m.pat[p+1] == ')' {
				return m.begin(s, p+2, capturePosition)
			}
			return m.begin(s, p+1, captureOpen)
		case ')':
			return m.end(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		case '%':
			if p+1 < len(m.pat) {
				switch next := m.pat[p+1]; {
				case next == 'b':
					if s = m.balanced(s, p+2); s < 0 {
						return -1
					}
					p += 4
					continue
				case next == 'f':
					p += 2
					if p >= len(m.pat) || m.pat[p] != '[' {
						m.c.Raise("missing '[' after '%%f' in pattern")
					}
					end := m.classEnd(p)
					before, after := byte(0), byte(0)
					if s > 0 {
						before = m.src[s-1]
					}
					if s < len(m.src) {
						after = m.src[s]
					}
					if m.inSet(before, p, end-1) || !m.inSet(after, p, end-1) {
						return -1
					}
					p = end
					continue
				case digit(next):
					if s = m.again(s, next); s < 0 {
						return -1
					}
					p += 2
					continue
				}
			}
		}
		end := m.classEnd(p)
		one := s < len(m.src) && m.single(m.src[s], p, end)
		suffix := byte(0)
		if end < len(m.pat) {
			suffix = m.pat[end]
		}
		switch suffix {
		case '?':
			if one {
				if to := m.match(s+1, end+1); to >= 0 {
					return to
				}
			}
			p = end + 1
		case '*':
			return m.longest(s, p, end)
		case '+':
			if !one {
				return -1
			}
			return m.longest(s+1, p, end)
		case '-':
			for {
				if to := m.match(s, end+1); to >= 0 {
					return to
				}
				if s >= len(m.src) || !m.single(m.src[s], p, end) {
					return -1
				}
				s++
			}
		default:
			if !one {
				return -1
			}
			s++
			p = end
		}
	}
}

// longest matches as many as it can, and goes back.
func (m *matcher) longest(s, p, end int) int {
	n := 0
	for s+n < len(m.src) && m.single(m.src[s+n], p, end) {
		n++
	}
	m.c.State().Spend(n / 8)
	for ; n >= 0; n-- {
		if to := m.match(s+n, end+1); to >= 0 {
			return to
		}
	}
	return -1
}

func (m *matcher) begin(s, p, what int) int {
	if m.level >= capturesMax {
		m.c.Raise("too many captures")
	}
	m.captures[m.level].from, m.captures[m.level].n = s, what
	m.level++
	to := m.match(s, p)
	if to < 0 {
		m.level--
	}
	return to
}

func (m *matcher) end(s, p int) int {
	i := m.level - 1
	for i >= 0 && m.captures[i].n != captureOpen {
		i--
	}
	if i < 0 {
		m.c.Raise("invalid pattern capture")
	}
	m.captures[i].n = s - m.captures[i].from
	to := m.match(s, p)
	if to < 0 {
		m.captures[i].n = captureOpen
	}
	return to
}

// again matches what a capture has matched.
func (m *matcher) again(s int, which byte) int {
	i := int(which) - '1'
	if i < 0 || i >= m.level || m.captures[i].n == captureOpen {
		m.c.Raise("invalid capture index")
	}
	c := m.captures[i]
	if c.n == capturePosition {
		return -1
	}
	if text := m.src[c.from : c.from+c.n]; strings.HasPrefix(m.src[s:], text) {
		return s + len(text)
	}
	return -1
}

func (m *matcher) balanced(s, p int) int {
	if p+1 >= len(m.pat) {
		m.c.Raise("unbalanced pattern")
	}
	if s >= len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	opening, closing, depth := m.pat[p], m.pat[p+1], 1
	for i := s + 1; i < len(m.src); i++ {
		switch m.src[i] {
		case closing:
			if depth--; depth == 0 {
				m.c.State().Spend((i - s) / 16)
				return i + 1
			}
		case opening:
			depth++
		}
	}
	m.c.State().Spend((len(m.src) - s) / 16)
	return -1
}

// classEnd is where the class that begins at p ends.
func (m *matcher) classEnd(p int) int {
	c := m.pat[p]
	p++
	switch c {
	case '%':
		if p == len(m.pat) {
			m.c.Raise("malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		if p < len(m.pat) && m.pat[p] == '^' {
			p++
		}
		for first := true; first || p >= len(m.pat) || m.pat[p] != ']'; first = false {
			if p >= len(m.pat) {
				m.c.Raise("malformed pattern (missing ']')")
			}
			p++
			if m.pat[p-1] == '%' && p < len(m.pat) {
				p++
			}
		}
		return p + 1
	}
	return p
}

// single reports whether a byte is in the class pat[p:end].
func (m *matcher) single(c byte, p, end int) bool {
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.pat[p+1])
	case '[':
		return m.inSet(c, p, end-1)
	}
	return m.pat[p] == c
}

// inSet reports whether a byte is in the set that begins at p and whose bracket closes at end.
func (m *matcher) inSet(c byte, p, end int) bool {
	in := true
	p++
	if m.pat[p] == '^' {
		in = false
		p++
	}
	for ; p < end; p++ {
		switch {
		case m.pat[p] == '%':
			p++
			if inClass(c, m.pat[p]) {
				return in
			}
		case p+2 < end && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return in
			}
			p += 2
		case m.pat[p] == c:
			return in
		}
	}
	return !in
}

// inClass reports whether a byte is in the class of a letter; a capital means the others.
func inClass(c, class byte) bool {
	var in bool
	switch class | 32 {
	case 'a':
		in = c|32 >= 'a' && c|32 <= 'z'
	case 'c':
		in = c < 32 || c == 127
	case 'd':
		in = digit(c)
	case 'l':
		in = c >= 'a' && c <= 'z'
	case 'p':
		in = c > 32 && c < 127 && !(c|32 >= 'a' && c|32 <= 'z') && !digit(c)
	case 's':
		in = c == ' ' || c >= '\t' && c <= '\r'
	case 'u':
		in = c >= 'A' && c <= 'Z'
	case 'w':
		in = c|32 >= 'a' && c|32 <= 'z' || digit(c)
	case 'x':
		in = digit(c) || c|32 >= 'a' && c|32 <= 'f'
	case 'z':
		in = c == 0
	default:
		return class == c
	}
	if !(class >= 'a' && class <= 'z' || class >= 'A' && class <= 'Z') {
		return class == c
	}
	return in == (class >= 'a')
}

// capture is what capture i has matched: without captures, all.
func (m *matcher) capture(i, from, to int) Value {
	if i >= m.level {
		if i != 0 {
			m.c.Raise("invalid capture index")
		}
		return m.c.State().NewString(strings.Clone(m.src[from:to]))
	}
	c := m.captures[i]
	switch c.n {
	case captureOpen:
		m.c.Raise("unfinished capture")
	case capturePosition:
		return Int(c.from + 1)
	}
	return m.c.State().NewString(strings.Clone(m.src[c.from : c.from+c.n]))
}

// push answers the captures; without any, all of the match unless from is negative.
func (m *matcher) push(from, to int) {
	n := m.level
	if n == 0 && from >= 0 {
		n = 1
	}
	for i := range n {
		m.c.Push(m.capture(i, from, to))
	}
}
