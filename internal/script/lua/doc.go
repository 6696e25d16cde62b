// Package lua is the language that Redis's scripts are written in, Lua 5.1, for
// scripts that nobody trusts: everything that a program can make the process do is
// counted, and ends with the program.
//
//	text ─► lexer ─► parser ─► tree ─► compiler ─► Proto (shared, immutable)
//	                                                 │
//	State (globals, budgets) ── Thread (stack, frames) ── run ── natives
//
// A Proto may be run by many states at once. A State is used by one goroutine.
//
// What holds:
//
//	L1  Work is counted where it can repeat: at calls, at jumps back, and by natives in
//	    proportion to what they do. When the allowance is used up, State.Tick says
//	    whether the program goes on.
//	L2  Memory is counted where it is asked for, before it is. When as much has been
//	    asked for as is allowed, what is alive is measured: all that the program
//	    can reach from its globals, stacks and open calls.
//	L3  What ends a program by L1 and L2 is no error that it could catch.
//	L4  Depth is bounded: of calls, of natives that call back, of what is parsed and
//	    of patterns. Beyond it is an error, never the end of the process.
//
// Errors are worded as Lua 5.1 words them, names of variables included.
package lua
