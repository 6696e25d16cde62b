// Package resp is the codec of the Redis serialization protocol, versions 2 and
// 3. It turns bytes into commands and replies into bytes; it knows no socket, no
// command and no clock.
//
//	socket ── ReadBuffer ── Parser ── command (arguments alias the buffer)
//	socket ── Writer.Buf ◄─────────── reply
//	client ── AppendCommand ─► … ─► Decoder ── Value ── Format
//	server ── Passer ── the bytes of a reply, as they are
//
// A connection's loop is
//
//	for {
//		n, err := conn.Read(in.Writable())
//		in.Advance(n)
//		for {
//			args, n, err := parser.Next(in.Pending())
//			if len(args) > 0 { execute(args, &out) }
//			in.Consume(n)
//			if err != nil || len(args) == 0 { break }
//		}
//		conn.Write(out.Buf)
//	}
//
// What the package guarantees:
//
//  1. Chunking does not matter: however the bytes arrive, the same commands and
//     the same error come out, and the work is linear in the bytes received.
//  2. Nothing is allocated because of an announced length; memory follows what
//     has arrived.
//  3. Errors have the texts of Redis 7.2; after one the connection is lost,
//     because the place where the next command begins is unknown.
//  4. Parser and Writer do not allocate per command once their buffers are warm.
package resp
