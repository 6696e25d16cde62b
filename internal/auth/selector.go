package auth

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/stratadb/strata/internal/glob"
)

// RuleError is why a rule was refused, in Redis's words.
type RuleError string

func (e RuleError) Error() string { return string(e) }

// The reasons.
const (
	errUnknown     RuleError = "Unknown command or category name in ACL"
	errSyntax      RuleError = "Syntax error"
	errAllKeys     RuleError = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
	errAllChannels RuleError = "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
	errNoPassword  RuleError = "The password you are trying to remove from the user does not exist"
	errHash        RuleError = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
	errFirstArg    RuleError = "Allowing first-arg of a subcommand is not supported"
)

// keyPattern allows keys to be read, written, or both.
type keyPattern struct {
	text        string
	read, write bool
}

func (p keyPattern) String() string {
	switch {
	case p.read && p.write:
		return "~" + p.text
	case p.write:
		return "%W~" + p.text
	}
	return "%R~" + p.text
}

// selector allows some commands on some keys and channels.
type selector struct {
	// everything says that no command was ever taken away since +@all; future that commands which
	// this process does not know are allowed.
	everything, future bool
	commands           bits
	// first are arguments with which a command is allowed that is not otherwise.
	first map[int][]string
	// rules are what was said about commands since +@all or -@all.
	rules                []string
	allKeys, allChannels bool
	keys                 []keyPattern
	channels             []string
}

func (s *selector) clone() selector {
	c := *s
	c.commands, c.rules, c.keys, c.channels = slices.Clone(s.commands), slices.Clone(s.rules), slices.Clone(s.keys), slices.Clone(s.channels)
	c.first = maps.Clone(s.first)
	for i := range c.first {
		c.first[i] = slices.Clone(c.first[i])
	}
	return c
}

// apply changes the selector by a rule.
func (s *selector) apply(c *Commands, rule string) error {
	switch strings.ToLower(rule) {
	case "allkeys", "~*":
		s.allKeys, s.keys = true, nil
	case "resetkeys":
		s.allKeys, s.keys = false, nil
	case "allchannels", "&*":
		s.allChannels, s.channels = true, nil
	case "resetchannels":
		s.allChannels, s.channels = false, nil
	case "allcommands", "+@all":
		s.everything, s.future, s.commands, s.first, s.rules = true, true, c.every(), nil, nil
	case "nocommands", "-@all":
		s.everything, s.future, s.commands, s.first, s.rules = false, false, c.none(), nil, nil
	default:
		return s.applyPattern(c, rule)
	}
	return nil
}

func (s *selector) applyPattern(c *Commands, rule string) error {
	if rule == "" || spaces(rule) {
		return errSyntax
	}
	switch rule[0] {
	case '~', '%':
		return s.allowKeys(rule)
	case '&':
		if s.allChannels {
			return errAllChannels
		}
		if !slices.Contains(s.channels, rule[1:]) {
			s.channels = append(s.channels, rule[1:])
		}
		return nil
	case '+', '-':
		on, name := rule[0] == '+', rule[1:]
		if category, ok := strings.CutPrefix(name, "@"); ok {
			return s.setCategory(c, category, on)
		}
		return s.setCommand(c, name, on)
	}
	return errSyntax
}

func (s *selector) allowKeys(rule string) error {
	if s.allKeys {
		return errAllKeys
	}
	p := keyPattern{text: rule[1:], read: true, write: true}
	if rule[0] == '%' {
		kinds, text, _ := strings.Cut(rule[1:], "~")
		p = keyPattern{text: text}
		for _, kind := range strings.ToUpper(kinds) {
			switch {
			case kind == 'R' && !p.read:
				p.read = true
			case kind == 'W' && !p.write:
				p.write = true
			default:
				return errSyntax
			}
		}
		if !p.read && !p.write {
			return errSyntax
		}
	}
	i := slices.IndexFunc(s.keys, func(o keyPattern) bool { return o.text == p.text })
	if i < 0 {
		s.keys = append(s.keys, p)
		return nil
	}
	s.keys[i].read, s.keys[i].write = s.keys[i].read || p.read, s.keys[i].write || p.write
	return nil
}

func (s *selector) setCategory(c *Commands, name string, on bool) error {
	members, ok := c.of[strings.ToLower(name)]
	if !ok {
		return errUnknown
	}
	for _, i := range members {
		s.set(c, i, on)
	}
	s.note("@"+name, on)
	return nil
}

func (s *selector) set(c *Commands, number int, on bool) {
	c.setAll(s.commands, number, on)
	delete(s.first, number)
	if !on {
		s.everything = false
	}
}

func (s *selector) setCommand(c *Commands, name string, on bool) error {
	number, known := c.find(name)
	bar := strings.LastIndexByte(name, '|')
	if !on || bar < 0 {
		if !known {
			return errUnknown
		}
		s.set(c, number, on)
		s.note(c.list[number].Name, on)
		return nil
	}
	container, ok := c.find(name[:bar])
	switch {
	case !ok:
		return errUnknown
	case c.list[container].Container >= 0:
		return errFirstArg
	case name[bar+1:] == "":
		return errSyntax
	case known:
		s.set(c, number, true)
		s.note(c.list[number].Name, true)
		return nil
	case len(c.inside[container]) > 0:
		return errUnknown
	}
	arg := name[bar+1:]
	if !slices.ContainsFunc(s.first[container], func(o string) bool { return strings.EqualFold(o, arg) }) {
		if s.first == nil {
			s.first = map[int][]string{}
		}
		s.first[container] = append(s.first[container], arg)
	}
	s.note(name, true)
	return nil
}

// note keeps what was said about commands, without what no longer matters: the same rule
// earlier, or rules about subcommands of what the rule is about.
func (s *selector) note(name string, on bool) {
	name = strings.ToLower(name)
	s.rules = slices.DeleteFunc(s.rules, func(r string) bool { return r[1:] == name || strings.HasPrefix(r[1:], name+"|") })
	sign := "-"
	if on {
		sign = "+"
	}
	s.rules = append(s.rules, sign+name)
}

// keep notes a rule that is not understood.
func (s *selector) keep(rule string) { s.note(rule[1:], rule[0] == '+') }

// commandRules are the rules about commands.
func (s *selector) commandRules() []string {
	first := "-@all"
	if s.future {
		first = "+@all"
	}
	return append([]string{first}, s.rules...)
}

func (s *selector) keyRules() (list []string) {
	if s.allKeys {
		return []string{"~*"}
	}
	for _, p := range s.keys {
		list = append(list, p.String())
	}
	return list
}

func (s *selector) channelRules() (list []string) {
	if s.allChannels {
		return []string{"&*"}
	}
	for _, p := range s.channels {
		list = append(list, "&"+p)
	}
	return list
}

// describe are rules that make a new selector like this one. In those that are stored a pattern
// for all keys is not what is printed for it: that would read as allkeys, behind which no pattern
// can stand.
func (s *selector) describe(stored bool) []string {
	list := s.keyRules()
	if i := slices.Index(list, "~*"); stored && i >= 0 && !s.allKeys {
		list[i] = "%RW~*"
	}
	if !s.allChannels {
		list = append(list, "resetchannels")
	}
	return slices.Concat(list, s.channelRules(), s.commandRules())
}

// allowsKey reports whether a key may be used so. One of which nothing is read and to which
// nothing is written needs any pattern that it matches.
func (s *selector) allowsKey(key []byte, read, write bool) bool {
	return s.allKeys || slices.ContainsFunc(s.keys, func(p keyPattern) bool {
		return (p.read || !read) && (p.write || !write) && glob.Match([]byte(p.text), key, false)
	})
}

// allowsAny reports whether any key may be used so.
func (s *selector) allowsAny(read, write bool) bool {
	return s.allKeys || slices.ContainsFunc(s.keys, func(p keyPattern) bool {
		return (p.read || !read) && (p.write || !write) && p.text != "" && strings.Trim(p.text, "*") == ""
	})
}

// allowsChannel reports whether a channel may be used; a pattern has to be one of the selector's.
func (s *selector) allowsChannel(name []byte, pattern bool) bool {
	return s.allChannels || slices.ContainsFunc(s.channels, func(p string) bool {
		if pattern {
			return p == string(name)
		}
		return glob.Match([]byte(p), name, false)
	})
}

func (s *selector) allowsCommand(call *Call) bool {
	if s.everything || call.Free || s.commands.has(call.Command) {
		return true
	}
	return call.First != nil && slices.ContainsFunc(s.first[call.Command], func(arg string) bool {
		return bytes.EqualFold([]byte(arg), call.First)
	})
}
