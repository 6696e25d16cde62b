// Package limits names every bound of the system in one place, with its default.
// A queue, buffer, batch, cache, connection count, request or reply without a
// constant here (or a configuration setting whose default is here) is a defect.
package limits

import "time"

const (
	// KeyBytes bounds a key of the ordered key-value core, prefix included.
	KeyBytes = 16 << 10
	// PairBytes bounds a key with its value; models cut larger values into pieces.
	PairBytes = 1 << 20
	// TransactionBytes bounds the keys and values that one transaction writes,
	// together with the conflict ranges that it carries.
	TransactionBytes = 64 << 20
	// TransactionMaxAge bounds the time between a transaction's read version
	// and its commit.
	TransactionMaxAge = 5 * time.Second

	// LockAge is how long somebody waits for a transaction over several ranges before
	// its coordinator counts as gone.
	LockAge = time.Second

	// Resolving bounds the transactions over several ranges whose ranges are told the
	// outcome behind the answer.
	Resolving = 1024

	// WindowAge is how long committed versions stay readable.
	WindowAge = 5 * time.Second
	// WindowKeep is up to how long they stay in memory where there is room and the range is
	// written to: what is overwritten meanwhile never reaches the disk.
	WindowKeep = 4 * WindowAge
	// WindowSlice is the age of a slice when it is sealed.
	WindowSlice = 200 * time.Millisecond
	// WindowBytes bounds the memory of the windows of a store's ranges; above it
	// windows shrink first, then writers of the larger ones wait. A node has between
	// WindowBytesMin and WindowBytesMax, as its machine has memory.
	WindowBytes    = 256 << 20
	WindowBytesMin = 64 << 20
	WindowBytesMax = 1 << 30
	// RowCacheBytes likewise bounds the memory for rows that are read again.
	RowCacheBytes    = 256 << 20
	RowCacheBytesMin = 64 << 20
	RowCacheBytesMax = 1 << 30

	// BatchBytes closes an open batch early.
	BatchBytes = 1 << 20
	// BatchTransactions bounds the transactions of a batch: places are 16 bits.
	BatchTransactions = 1 << 15
	// SpeculationBytes bounds what is sequenced and not yet committed in a range.
	SpeculationBytes = 96 << 20

	// RESPBulkBytes bounds a bulk string of an authenticated client.
	RESPBulkBytes = 512 << 20
	// RESPBulkBytesBeforeLogin bounds it before AUTH where a password is required.
	RESPBulkBytesBeforeLogin = 64 << 10
	// RESPArguments bounds the elements of a command's array.
	RESPArguments = 1 << 20
	// RESPArgumentsBeforeLogin bounds them before AUTH.
	RESPArgumentsBeforeLogin = 10
	// RESPInlineBytes bounds an inline command.
	RESPInlineBytes = 64 << 10
	// RESPNesting bounds the depth of nested aggregates.
	RESPNesting = 128
	// Connections bounds the clients of a node.
	Connections = 10_000
	// ConnectionOutputBytes is how much unsent reply a connection may hold
	// before its commands are no longer executed.
	ConnectionOutputBytes = 1 << 20
	// SubscriberOutputBytes is how much a subscriber may leave unread before it is
	// disconnected.
	SubscriberOutputBytes = 32 << 20
	// SubscriptionBytes bounds the names that a connection is subscribed to.
	SubscriptionBytes = 16 << 20
	// ConnectionStall is how long a client with replies waiting may read nothing.
	ConnectionStall = 60 * time.Second
	// QueuedBytes bounds the commands that MULTI queues on a connection.
	QueuedBytes = 64 << 20
	// WatchesPerConnection bounds the keys under WATCH.
	WatchesPerConnection = 10_000
	// BlockedKeys bounds the keys at which a client waits.
	BlockedKeys = 10_000
	// KeysReplyBytes bounds the reply of KEYS.
	KeysReplyBytes = 256 << 20

	// GRPCMessageBytes bounds a request over gRPC.
	GRPCMessageBytes = 4 << 20
	// GRPCConnections bounds the gRPC clients of a node.
	GRPCConnections = 1000
	// GRPCStreams bounds the calls in flight on a gRPC connection.
	GRPCStreams = 256
	// GRPCPagePairs bounds the pairs that a scan over gRPC answers at once.
	GRPCPagePairs = 10_000
	// GRPCPageBytes ends such a page with the pair that exceeds it.
	GRPCPageBytes = 1 << 20
	// GRPCTransactions bounds the interactive transactions that are open over gRPC.
	GRPCTransactions = 1000
	// GRPCTransactionsBytes bounds what they hold together: above it they may read,
	// commit and roll back, and not write more.
	GRPCTransactionsBytes = 512 << 20
	// GRPCTransactionMemory is for how long it is known of a transaction that it
	// was rolled back because of its age.
	GRPCTransactionMemory = time.Minute

	// NamespaceDepth bounds the segments of a namespace path.
	NamespaceDepth = 10

	// LeaderWait is how long a request waits for a range to have a leader.
	LeaderWait = 5 * time.Second
	// MergeWait is how long a frozen range waits for its merge before it is thawed.
	MergeWait = 3 * time.Second
	// TransportFrameBytes bounds a message, request or response between nodes: a
	// transaction and what goes around it.
	TransportFrameBytes = TransactionBytes + 1<<20
	// SnapshotBytes bounds the snapshot of a range that another node sends; it is made, and
	// taken, in memory.
	SnapshotBytes = 4 << 30
	// TransportChunkBytes bounds a chunk of a stream between nodes.
	TransportChunkBytes = 256 << 10
	// TransportStreamBytes bounds what a stream holds that its receiver has not
	// taken yet.
	TransportStreamBytes = 1 << 20
	// FollowerBytes bounds what waits to be told to a node that follows what is written.
	FollowerBytes = 16 << 20
	// InvalidationsHeld is of how many keys a client is told behind the replies of what it runs,
	// before it is told to forget everything.
	InvalidationsHeld = 10_000
	// FollowedNamespaces is of how many namespaces a node is told what other nodes write there:
	// each takes one of the streams below.
	FollowedNamespaces = 32
	// TransportStreams bounds the open streams of a connection.
	TransportStreams = 128
	// TransportQueueBytes bounds what waits to be sent on a connection; a single
	// larger frame is let in when nothing waits.
	TransportQueueBytes = 16 << 20
	// TransportAnswerBytes is how far refusals, cancellations and the like may
	// exceed it before the connection is given up.
	TransportAnswerBytes = 1 << 20
	// TransportCalls bounds the calls in flight to a peer, per class of traffic.
	TransportCalls = 4096
	// TransportServing bounds the calls of a connection that are being served;
	// those that were given up by their caller count until they end.
	TransportServing = 2 * TransportCalls
	// TransportServingBytes bounds the requests that they hold.
	TransportServingBytes = 128 << 20
	// TransportConnections bounds the connections that a node accepts from others.
	TransportConnections = 1024
	// TransportPeers bounds the nodes that a node talks to.
	TransportPeers = 1024
	// TransportDial bounds the time to connect and greet.
	TransportDial = 3 * time.Second
	// TransportPing is how often a connection is probed.
	TransportPing = 500 * time.Millisecond
	// TransportSilence ends a connection on which nothing is heard.
	TransportSilence = 4 * time.Second
	// TransportStall ends a connection on which nothing can be sent.
	TransportStall = 10 * time.Second
	// TransportBackoff is the pause after a first failure to connect; it doubles
	// up to TransportBackoffMax.
	TransportBackoff = 50 * time.Millisecond
	// TransportBackoffMax is the longest pause.
	TransportBackoffMax = 2 * time.Second
	// TransportRefused is the pause after a refusal.
	TransportRefused = 15 * time.Second

	// ProxyDivergedKeys and ProxyDivergedBytes bound the keys that a proxy knows to differ;
	// with more, everything counts as different.
	ProxyDivergedKeys  = 200_000
	ProxyDivergedBytes = 64 << 20
	// ProxyScripts and ProxyScriptBytes bound the scripts whose text it remembers.
	ProxyScripts     = 10_000
	ProxyScriptBytes = 64 << 20
	// ProxyRechecks bounds the reads that wait to be made again.
	ProxyRechecks = 1024
	// ProxySent bounds what is sent to the side that follows and not acknowledged.
	ProxySent = 1024
	// ProxyComparedBytes bounds a reply that is compared.
	ProxyComparedBytes = 64 << 10
	// ProxyHeldBytes is how much of replies a session keeps while it has locks, and
	// ProxyHeldBytesAll all sessions together.
	ProxyHeldBytes    = 64 << 20
	ProxyHeldBytesAll = 256 << 20
	// ProxyBatchBytes and ProxyBatchCommands bound what goes to a server at once.
	ProxyBatchBytes    = 48 << 10
	ProxyBatchCommands = 512
	// ProxyDifferences bounds the differences that a report lists.
	ProxyDifferences = 100
	// TransferWholeBytes is up to how much memory a value is copied whole between servers,
	// TransferPieceBytes about how long a piece of a larger one is.
	TransferWholeBytes = 8 << 20
	TransferPieceBytes = 1 << 20
)
