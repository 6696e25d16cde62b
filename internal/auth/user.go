package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/cockroachdb/errors"
)

// Default is the name of the user that is always there.
const Default = "default"

// User is what one user may do. It does not change: rules make another one.
type User struct {
	name      string
	on        bool
	noPass    bool
	trusted   bool     // skip-sanitize-payload
	passwords []string // digests
	selectors []selector
}

// NewUser is a user that may do nothing.
func NewUser(c *Commands, name string) *User {
	return &User{name: name, selectors: []selector{{commands: c.none()}}}
}

// DefaultUser may do everything without a password.
func DefaultUser(c *Commands) *User {
	u, err := NewUser(c, Default).With(c, "+@all", "~*", "&*", "on", "nopass")
	if err != nil {
		panic(err)
	}
	return u
}

// ValidName reports whether a user may be called so.
func ValidName(name string) bool { return !spaces(name) }

// Digest is how a password is kept.
func Digest(password []byte) string {
	sum := sha256.Sum256(password)
	return hex.EncodeToString(sum[:])
}

// RefusedError is the rule that was refused, and why.
type RefusedError struct {
	Rule string
	Why  error
}

func (e *RefusedError) Error() string { return "rule '" + e.Rule + "': " + e.Why.Error() }

// With is the user with more rules, or a RefusedError (A1).
func (u *User) With(c *Commands, rules ...string) (*User, error) {
	next := u.clone()
	for _, rule := range rules {
		if err := next.apply(c, rule, false); err != nil {
			return nil, &RefusedError{Rule: rule, Why: err}
		}
	}
	return next, nil
}

func (u *User) clone() *User {
	c := *u
	c.passwords = slices.Clone(u.passwords)
	c.selectors = make([]selector, len(u.selectors))
	for i := range u.selectors {
		c.selectors[i] = u.selectors[i].clone()
	}
	return &c
}

// apply changes the user by a rule. With lenient, rules about unknown commands are kept and have
// no effect.
func (u *User) apply(c *Commands, rule string, lenient bool) error {
	switch strings.ToLower(rule) {
	case "":
	case "on", "off":
		u.on = strings.EqualFold(rule, "on")
	case "skip-sanitize-payload", "sanitize-payload":
		u.trusted = strings.EqualFold(rule, "skip-sanitize-payload")
	case "nopass", "resetpass":
		u.noPass, u.passwords = strings.EqualFold(rule, "nopass"), nil
	case "clearselectors":
		u.selectors = u.selectors[:1]
	case "reset":
		*u = *NewUser(c, u.name)
	default:
		switch {
		case strings.IndexByte("><#!", rule[0]) >= 0:
			return u.applyPassword(rule)
		case rule[0] == '(' && rule[len(rule)-1] == ')':
			return u.addSelector(c, rule[1:len(rule)-1], lenient)
		}
		return u.selectors[0].applyAs(c, rule, lenient)
	}
	return nil
}

func (s *selector) applyAs(c *Commands, rule string, lenient bool) error {
	err := s.apply(c, rule)
	if lenient && errors.Is(err, errUnknown) {
		s.keep(rule)
		return nil
	}
	return err
}

func (u *User) addSelector(c *Commands, rules string, lenient bool) error {
	s := selector{commands: c.none()}
	for _, rule := range words(rules) {
		if err := s.applyAs(c, rule, lenient); err != nil {
			return err
		}
	}
	u.selectors = append(u.selectors, s)
	return nil
}

func isDigest(text string) bool {
	return len(text) == 2*sha256.Size && strings.Trim(text, "0123456789abcdef") == ""
}

func (u *User) applyPassword(rule string) error {
	digest := rule[1:]
	if rule[0] == '>' || rule[0] == '<' {
		digest = Digest([]byte(digest))
	} else if !isDigest(digest) {
		return errHash
	}
	i := slices.Index(u.passwords, digest)
	if rule[0] == '<' || rule[0] == '!' {
		if i < 0 {
			return errNoPassword
		}
		u.passwords = slices.Delete(u.passwords, i, i+1)
		return nil
	}
	if i < 0 {
		u.passwords = append(u.passwords, digest)
	}
	u.noPass = false
	return nil
}

// Name is the user's name.
func (u *User) Name() string { return u.name }

// Open reports whether no password is asked for.
func (u *User) Open() bool { return u.on && u.noPass }

// Accepts reports whether one may log in as the user with a password.
func (u *User) Accepts(password []byte) bool {
	if !u.on {
		return false
	}
	if u.noPass {
		return true
	}
	digest, fits := []byte(Digest(password)), 0
	for _, p := range u.passwords {
		fits |= subtle.ConstantTimeCompare([]byte(p), digest)
	}
	return fits == 1
}

// Flags are the user's, as ACL GETUSER lists them.
func (u *User) Flags() []string {
	flags := []string{"off"}
	if u.on {
		flags[0] = "on"
	}
	if u.noPass {
		flags = append(flags, "nopass")
	}
	if u.trusted {
		return append(flags, "skip-sanitize-payload")
	}
	return append(flags, "sanitize-payload")
}

// Passwords are the digests of the passwords.
func (u *User) Passwords() []string { return u.passwords }

// Selector is a selector in words.
type Selector struct{ Commands, Keys, Channels string }

// Selectors are the user's; the first one is the user itself.
func (u *User) Selectors() (list []Selector) {
	for i := range u.selectors {
		s := &u.selectors[i]
		list = append(list, Selector{
			Commands: strings.Join(s.commandRules(), " "), Keys: strings.Join(s.keyRules(), " "), Channels: strings.Join(s.channelRules(), " "),
		})
	}
	return list
}

// Rules make the user out of a new one (A2).
func (u *User) Rules() []string { return u.rules(true) }

func (u *User) rules(stored bool) []string {
	list := u.Flags()
	for _, p := range u.passwords {
		list = append(list, "#"+p)
	}
	for i := range u.selectors {
		rules := u.selectors[i].describe(stored)
		if i > 0 {
			rules = []string{"(" + strings.Join(rules, " ") + ")"}
		}
		list = append(list, rules...)
	}
	return list
}

// String is the user as ACL LIST shows it.
func (u *User) String() string {
	return "user " + u.name + " " + strings.Join(u.rules(false), " ")
}

// Merge joins the words of a selector that is spread over several of them. If a parenthesis is
// not closed, unmatched is the word that opens it.
func Merge(rules []string) (merged []string, unmatched int, ok bool) {
	open := -1
	for i, rule := range rules {
		ends := strings.HasSuffix(rule, ")")
		switch {
		case strings.HasPrefix(rule, "(") && !ends:
			if open >= 0 {
				return nil, open, false
			}
			open = i
			merged = append(merged, rule)
		case open >= 0:
			merged[len(merged)-1] += " " + rule
			if ends {
				open = -1
			}
		default:
			merged = append(merged, rule)
		}
	}
	return merged, open, open < 0
}
