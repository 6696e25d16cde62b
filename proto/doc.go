// Package proto is the gRPC protocol: messages and services, generated from the
// files *.proto beside it. `make proto` generates it again; docs/reference/grpc.md
// says what the services do.
package proto
