package tracking

import (
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
)

// Options are those of CLIENT TRACKING.
type Options struct {
	// Redirect is the client that is told; zero: the one itself.
	Redirect                         int64
	Broadcast, OptIn, OptOut, NoLoop bool
	Prefixes                         []string
}

const (
	errRedirects command.Error = "ERR A client can only redirect to a single other client"
	errRedirect  command.Error = "ERR The client ID you want redirect to does not exist"
	errPrefix    command.Error = "ERR PREFIX option requires BCAST mode to be enabled"
	errBroadcast command.Error = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
	errOptions   command.Error = "ERR OPTIN and OPTOUT are not compatible with BCAST"
	errBoth      command.Error = "ERR You can't specify both OPTIN mode and OPTOUT mode"
	errSwitch    command.Error = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
	errPrefixes  command.Error = "ERR too many prefixes"
)

// Parse reads CLIENT TRACKING's arguments, from ON or OFF on.
func Parse(args [][]byte, exists func(id int64) bool) (on bool, o Options, err error) {
	for i := 1; i < len(args); i++ {
		more := i+1 < len(args)
		switch arg := args[i]; {
		case command.Is(arg, "redirect") && more:
			i++
			if o.Redirect != 0 {
				return false, o, errRedirects
			}
			if o.Redirect, err = command.ParseInt(args[i]); err != nil {
				return false, o, err
			}
			if !exists(o.Redirect) {
				return false, o, errRedirect
			}
		case command.Is(arg, "bcast"):
			o.Broadcast = true
		case command.Is(arg, "optin"):
			o.OptIn = true
		case command.Is(arg, "optout"):
			o.OptOut = true
		case command.Is(arg, "noloop"):
			o.NoLoop = true
		case command.Is(arg, "prefix") && more:
			i++
			o.Prefixes = append(o.Prefixes, string(args[i]))
		default:
			return false, o, command.ErrSyntax
		}
	}
	switch {
	case command.Is(args[0], "on"):
		return true, o, nil
	case command.Is(args[0], "off"):
		return false, o, nil
	}
	return false, o, command.ErrSyntax
}

// fits is nil if a client whose tracking is before may have o in its place.
func (o *Options) fits(before *Options, on bool) error {
	switch {
	case !o.Broadcast && len(o.Prefixes) > 0:
		return errPrefix
	case on && before.Broadcast != o.Broadcast:
		return errBroadcast
	case o.Broadcast && (o.OptIn || o.OptOut):
		return errOptions
	case o.OptIn && o.OptOut:
		return errBoth
	case on && (o.OptIn && before.OptOut || o.OptOut && before.OptIn):
		return errSwitch
	}
	for i, p := range o.Prefixes {
		for _, q := range before.Prefixes {
			if overlap(p, q) {
				return overlapError(p, "an existing", q)
			}
		}
		for _, q := range o.Prefixes[i+1:] {
			if overlap(p, q) {
				return overlapError(p, "another provided", q)
			}
		}
	}
	return nil
}

func overlap(p, q string) bool { return strings.HasPrefix(p, q) || strings.HasPrefix(q, p) }

func overlapError(p, which, q string) error {
	return command.Error("ERR Prefix '" + p + "' overlaps with " + which + " prefix '" + q + "'. Prefixes for a single client must not overlap.")
}
