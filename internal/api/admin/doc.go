// Package admin is the door for operators: KR.ADMIN and what every connection
// needs, over the RESP server of package redis with a table of its own.
//
// A node initialises itself, so INITIALIZE-CLUSTER has nothing to do; that an
// operator has called it is kept, because a second call is a mistake. Shards of
// kind REDIS belong to the node and are READWRITE until an operator routes them
// or changes their status; those of kind BUCKET have neither.
//
// SET-SHARD-STATUS changes rows in one transaction and refreshes the process's
// table of statuses before it answers; package catalog says why no write that the
// change forbids is acknowledged after that.
//
// STATUS, NODES and RANGES ask all nodes what they hold and put it together: nothing is
// kept for them, so they tell the truth also where nobody leads.
//
// DROP-CLUSTER forgets members, routes and statuses. It deletes no data.
package admin
