package redis

import (
	"slices"
	"strings"
)

// families are the functions that return the rows of the table. A new family is
// a line here.
func families() []func() []Command {
	return []func() []Command{
		stringCommands, hashCommands, hashTTLCommands, listCommands, listBlockCommands, keyCommands, expireCommands, scanCommands, objectCommands,
		transactionCommands, connectionCommands, clientCommands, commandCommands, serverCommands,
		clusterCommands, interactiveCommands, zmapCommands, zmapTypedCommands, namespaceCommands, sessionCommands,
	}
}

func newTable() *table { return tableOf(families()) }

func tableOf(families []func() []Command) *table {
	t := &table{byName: map[string]*Command{}, nobody: &Command{Name: "unknown", full: "unknown"}}
	for _, rows := range families {
		t.add(rows())
	}
	slices.SortFunc(t.sorted, func(a, b *Command) int { return strings.Compare(a.Name, b.Name) })
	return t
}
