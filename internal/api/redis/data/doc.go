// Package data holds the commands on data: each is a function of a transaction, a
// database and arguments, which writes a reply. It knows no sessions.
package data
