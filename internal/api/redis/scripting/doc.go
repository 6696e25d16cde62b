// Package scripting keeps the scripts and functions of the RESP door: what is stored in
// the database, what of it is compiled, and what runs. Executing a script's commands is
// the door's.
//
// A script is stored by SCRIPT LOAD, and then every node knows it. EVAL keeps what it runs
// on its node only. Libraries are stored by FUNCTION LOAD; a node reads them when the
// catalog's epoch has changed (catalog's P1), or, within a transaction of several
// commands, from that transaction.
package scripting
