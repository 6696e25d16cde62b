package monitor

import "github.com/stratadb/strata/internal/api/redis/command"

// secret is what is shown of an argument that nobody may see.
var secret = []byte("(redacted)")

// Redacted are a command's arguments without passwords.
func Redacted(name string, args [][]byte) [][]byte {
	hide := func(from, to int) [][]byte {
		out := append([][]byte(nil), args...)
		for i := from; i < min(to, len(out)); i++ {
			out[i] = secret
		}
		return out
	}
	switch name {
	case "auth":
		return hide(1, len(args))
	case "acl|setuser":
		return hide(2, len(args))
	case "hello":
		for i := 2; i < len(args); i++ {
			switch {
			case command.Is(args[i], "auth"):
				return hide(i+1, i+3)
			case command.Is(args[i], "setname"):
				i++
			}
		}
	case "config|set":
		out := args
		for i := 2; i+1 < len(args); i += 2 {
			if command.Is(args[i], "requirepass") {
				args = out
				out = hide(i+1, i+2)
			}
		}
		return out
	}
	return args
}
