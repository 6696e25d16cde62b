// Package lint holds the rules of the house as tests: which package may import
// which, how long files and functions may be, and what must be written down. They
// read the source and run nothing of it.
//
// Rule numbers in the messages are those of the tests' comments, so that a
// violation can be looked up here.
package lint
