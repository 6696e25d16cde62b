package data

import (
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
)

// Help is the HELP subcommand of a container.
func Help(container, since string, group command.Group, lines ...string) Command {
	upper := strings.ToUpper(container)
	text := append([]string{upper + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}, lines...)
	text = append(text, "HELP", "    Print this help.")
	return Command{
		Name: "help", Summary: "Returns helpful text about the different subcommands.", Since: since, Group: group, Arity: 2,
		Flags: command.FlagLoading | command.FlagStale, Kind: command.KindConnection,
		Handler: func(c *Call) error {
			c.W.Array(len(text))
			for _, line := range text {
				c.W.SimpleString(line)
			}
			return nil
		},
	}
}
