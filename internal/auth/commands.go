package auth

import (
	"slices"
	"strings"
)

// Command is what rules know of a command.
type Command struct {
	// Name is in lower case, with that of its container: "config|get".
	Name       string
	Categories []string
	// Container is the number of the command's container; -1 if it has none.
	Container int
}

// Commands is the table that rules are about. A command's number is its place in the table.
type Commands struct {
	list       []Command
	byName     map[string]int
	inside     map[int][]int // the subcommands of a container
	categories []string
	of         map[string][]int
}

// NewCommands makes a table; categories are in the order in which they are listed.
func NewCommands(list []Command, categories []string) *Commands {
	c := &Commands{list: list, byName: map[string]int{}, inside: map[int][]int{}, categories: categories, of: map[string][]int{}}
	for _, name := range categories {
		c.of[name] = []int{}
	}
	for i, cmd := range list {
		c.byName[cmd.Name] = i
		if cmd.Container >= 0 {
			c.inside[cmd.Container] = append(c.inside[cmd.Container], i)
		}
		for _, category := range cmd.Categories {
			c.of[category] = append(c.of[category], i)
		}
	}
	return c
}

// Categories are the names of all categories.
func (c *Commands) Categories() []string { return c.categories }

// Category lists the commands of a category, in any case; ok is false if there is no such category.
func (c *Commands) Category(name string) (names []string, ok bool) {
	members, ok := c.of[strings.ToLower(name)]
	for _, i := range members {
		names = append(names, c.list[i].Name)
	}
	return names, ok
}

func (c *Commands) find(name string) (number int, ok bool) {
	number, ok = c.byName[strings.ToLower(name)]
	return number, ok
}

// bits is a set of commands.
type bits []uint64

func (c *Commands) none() bits { return make(bits, (len(c.list)+63)/64) }

func (c *Commands) every() bits {
	b := c.none()
	for i := range b {
		b[i] = ^uint64(0)
	}
	return b
}

func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bits) set(i int, on bool) {
	if on {
		b[i/64] |= 1 << (i % 64)
	} else {
		b[i/64] &^= 1 << (i % 64)
	}
}

// setAll sets a command and, of a container, its subcommands.
func (c *Commands) setAll(b bits, number int, on bool) {
	b.set(number, on)
	for _, i := range c.inside[number] {
		b.set(i, on)
	}
}

// spaces reports whether a word has characters that end words.
func spaces(word string) bool { return strings.ContainsAny(word, " \t\n\v\f\r\x00") }

// words splits at blanks.
func words(text string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }),
		func(w string) bool { return w == "" })
}
