// Package auth keeps the users of the database and decides what each of them may do, in the
// words of Redis's access control lists.
//
//	rules ──► User ──► Check(call) ──► Denial
//	            ▲
//	rows ──► Users ──► Account (what a session holds)
//
// A user is a name with passwords and one or more selectors; a call is allowed if one selector
// alone allows its command, its keys and its channels. Users, rules and checks know nothing of
// storage, clocks or connections: the commands come as a table, a call as what it is about.
//
// The rows are
//
//	sys/user/0x00          →  the version, written by every change
//	sys/user/0x01 <name>   →  when the user was made (a version), and its rules one by one
//	sys/user/0x02          →  the digest of the password that a node was last started with
//
// The user "default" is there without a row, and may do everything without a password.
//
// What holds:
//
//	A1  A rule that was refused has changed nothing.
//	A2  What a user's rules print, applied to nothing, is the same user; what is stored
//	    is what is printed, and a rule about a command that this process does not know is kept
//	    and allows nothing.
//	A3  Whoever changes users is answered when the change is committed and in force in this
//	    process. Others hear of it by a watch on the version: as soon as news of a commit reach
//	    them, or as soon as they can be asked again if the watch was lost.
//	A4  An Account is one user from its making to its end: a user that was deleted and made again
//	    is another one, also for who did not look in between. One that has ended allows nothing.
//	A5  A user without limits costs its sessions one load and one comparison per command.
package auth
