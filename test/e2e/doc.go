// Package e2e tests the real binary from outside, as people use it: with go-redis,
// with redis-cli where it is installed, with the client of the binary itself, and
// with bare sockets where a client library would not misbehave enough.
//
// The environment variable STRATA_TEST_BINARY names a binary to test in place of
// one that is built from the source.
package e2e
