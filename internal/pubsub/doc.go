// Package pubsub delivers messages to those who subscribe to their channels.
//
//	PUBLISH ──► Broker ──────────► subscribers of this process
//	              │ relay
//	              └──► other nodes ──► Receive ──► their subscribers
//
// A message is delivered at most once, to whoever is subscribed at that moment. Those of
// one broker are delivered one after the other, so all its subscribers see them in the same
// order; those that another node relays keep the order of that node. Names of different
// spaces (namespaces) have nothing to do with each other.
//
// What a transaction publishes is delivered after its commit, and not at all if nobody knows
// whether it has committed (After). What somebody does at one range keeps its order.
package pubsub
