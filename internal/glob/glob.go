// Package glob matches names against patterns as KEYS, SCAN, PSUBSCRIBE and ACL
// rules do:
//
//   - any bytes, also none
//     ?        one byte
//     [abc]    one of these bytes; [a-z] a range, in either order; [^…] none of them
//     \x       the byte x, also inside brackets
//
// It follows Redis 7.2 in its corners: an unclosed bracket ends with the
// pattern, a backslash at the end stands for itself, the empty name is matched
// only by the empty pattern (not by "*"), and a pattern in which more than 1000
// stars take part matches nothing. Where Redis recurses per star, this matcher
// goes back to the last star only; both decide alike, and the time is at most
// the product of the two lengths.
package glob

// maxStars bounds the stars, runs counted once, that a match may use.
const maxStars = 1000

// Match reports whether pattern matches all of s. With nocase, ASCII letters
// match either case.
func Match(pattern, s []byte, nocase bool) bool {
	p, i := 0, 0
	star, resume, stars := -1, 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			for p < len(pattern) && pattern[p] == '*' {
				p++
			}
			if p == len(pattern) {
				return true
			}
			if stars++; stars > maxStars {
				return false
			}
			star, resume = p, i
			continue
		}
		if p < len(pattern) {
			if next, ok := matchByte(pattern, p, s[i], nocase); ok {
				p, i = next, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		resume++
		p, i = star, resume
	}
	if len(s) == 0 {
		return len(pattern) == 0 // Redis strips stars only behind a matched byte
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchByte matches c against the element of the pattern at p, which is not a
// star, and returns the offset behind the element.
func matchByte(pattern []byte, p int, c byte, nocase bool) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, c, nocase)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, same(pattern[p], c, nocase)
}

// matchClass matches c against the class whose first byte behind the bracket is
// at p. It reads the class to its end whatever matches.
func matchClass(pattern []byte, p int, c byte, nocase bool) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			ok = ok || pattern[p] == c // in exact case, as Redis has it
		case p+2 < len(pattern) && pattern[p+1] == '-':
			low, high, c := pattern[p], pattern[p+2], c
			if low > high {
				low, high = high, low
			}
			if nocase {
				low, high, c = lower(low), lower(high), lower(c)
			}
			ok = ok || low <= c && c <= high
			p += 2
		default:
			ok = ok || same(pattern[p], c, nocase)
		}
	}
	return min(p+1, len(pattern)), ok != not
}

func same(a, b byte, nocase bool) bool {
	return a == b || nocase && lower(a) == lower(b)
}

func lower(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}

// LiteralPrefix is the longest string with which every match of pattern begins,
// so that a scan can be confined to it, and whether the pattern is that string
// and nothing else. It is only meaningful for matching in exact case. The result
// may alias pattern.
func LiteralPrefix(pattern []byte) (prefix []byte, whole bool) {
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*', '?', '[':
			return pattern[:i:i], false
		case '\\':
			return escapedPrefix(pattern, i)
		}
	}
	return pattern, true
}

// escapedPrefix is LiteralPrefix for a pattern with its first escape at from.
func escapedPrefix(pattern []byte, from int) (prefix []byte, whole bool) {
	prefix = append([]byte(nil), pattern[:from]...)
	for i := from; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*', '?', '[':
			return prefix, false
		case '\\':
			if i+1 < len(pattern) {
				i++
			}
		}
		prefix = append(prefix, pattern[i])
	}
	return prefix, true
}
