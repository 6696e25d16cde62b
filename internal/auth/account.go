package auth

import "sync/atomic"

// Account is a user as its sessions hold it, from its making to its end (A4).
type Account struct {
	name   string
	made   uint64
	user   atomic.Pointer[User]
	limits atomic.Pointer[User]
	ended  atomic.Bool
}

// Name is the user's name.
func (a *Account) Name() string { return a.name }

// User is the user as it is now.
func (a *Account) User() *User { return a.user.Load() }

// Limits is the user if there is anything that it may not do; nil if there is not.
func (a *Account) Limits() *User { return a.limits.Load() }

// Ended reports whether the user was deleted.
func (a *Account) Ended() bool { return a.ended.Load() }

func (a *Account) become(u *User) {
	a.user.Store(u)
	if u.Unlimited() {
		u = nil
	}
	a.limits.Store(u)
}

// end takes everything from the user.
func (a *Account) end(c *Commands) {
	a.ended.Store(true)
	a.become(NewUser(c, a.name))
}
