package redis

const errClientName replyError = "ERR Client names cannot contain spaces, newlines or special characters."

func clientCommands() []Command { return nil }

// validName reports whether a client or library may be called so.
func validName(name []byte) bool {
	for _, c := range name {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}

func (s *session) setName(name []byte) {
	s.info.Lock()
	s.info.name = string(name)
	s.info.Unlock()
}
