// Package command is what the tables of commands are made of: names, arities, flags,
// keys and categories, as COMMAND tells them, and what most handlers need to read
// arguments.
package command
