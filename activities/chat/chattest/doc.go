// Package chattest is the acceptance suite of chat.Completer: what every
// implementation and every decorator must do, against a scripted endpoint or a
// real server. Faults of servers are not here, since no one can order them from
// a real server.
package chattest
