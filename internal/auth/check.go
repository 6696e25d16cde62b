package auth

// Denial is why a call is not allowed. The numbers are in the order in which the reasons
// matter when each selector has another one.
type Denial uint8

// Denials.
const (
	Allowed Denial = iota
	DeniedCommand
	DeniedKey
	DeniedChannel
	// DeniedLogin is a wrong password, which no Check answers.
	DeniedLogin
)

// String names the reason as ACL LOG does.
func (d Denial) String() string {
	return [...]string{"", "command", "key", "channel", "auth"}[d]
}

// Use is an argument that is a key, and what becomes of the key.
type Use struct {
	At          int
	Read, Write bool
}

// Call is what somebody wants to do.
type Call struct {
	// Command is its number. Free ones need no permission, but their keys do.
	Command int
	Free    bool
	Args    [][]byte
	// First is the argument that may allow a command; nil for none.
	First []byte
	Keys  []Use
	// Whole says that the call uses keys that are none of its arguments, as Keys[0] is used.
	Whole bool
	// Channels are arguments that are channels, or patterns of channels.
	Channels []int
	Patterns bool
}

// check is the selector's verdict, and the argument that it is about.
func (s *selector) check(call *Call) (Denial, int) {
	if !s.allowsCommand(call) {
		return DeniedCommand, 0
	}
	for _, k := range call.Keys {
		if call.Whole && !s.allowsAny(k.Read, k.Write) || !call.Whole && !s.allowsKey(call.Args[k.At], k.Read, k.Write) {
			return DeniedKey, k.At
		}
	}
	for _, at := range call.Channels {
		if !s.allowsChannel(call.Args[at], call.Patterns) {
			return DeniedChannel, at
		}
	}
	return Allowed, 0
}

// Check is what the user may not do of a call, and the argument that it is about. If every
// selector refuses it, the reason that came furthest counts.
func (u *User) Check(call *Call) (worst Denial, at int) {
	worst = DeniedCommand
	for i := range u.selectors {
		denial, where := u.selectors[i].check(call)
		if denial == Allowed {
			return Allowed, 0
		}
		if denial > worst || denial == worst && where > at {
			worst, at = denial, where
		}
	}
	return worst, at
}

// ReadsAnyKey reports whether a selector that allows the call lets the user read all keys, too.
func (u *User) ReadsAnyKey(call *Call) bool {
	for i := range u.selectors {
		s := &u.selectors[i]
		if denial, _ := s.check(call); denial == Allowed && s.allowsAny(true, false) {
			return true
		}
	}
	return false
}

// AllowsChannel reports whether the user may use a channel, or subscribe to a pattern.
func (u *User) AllowsChannel(name []byte, pattern bool) bool {
	for i := range u.selectors {
		if u.selectors[i].allowsChannel(name, pattern) {
			return true
		}
	}
	return false
}

// AllKeys reports whether the keys of calls do not matter.
func (u *User) AllKeys() bool {
	for i := range u.selectors {
		if !u.selectors[i].allKeys {
			return false
		}
	}
	return true
}

// Unlimited reports whether the user may do everything.
func (u *User) Unlimited() bool {
	for i := range u.selectors {
		if s := &u.selectors[i]; s.everything && s.allKeys && s.allChannels {
			return true
		}
	}
	return false
}
