// Command rpo-local is the stack that a developer or a test runs on one
// machine: a Temporal server on SQLite, Temporal's web UI and an S3 server over
// a folder, in one process, on loopback.
//
// It is a Go module of its own, so that the hundreds of modules the servers
// need stay out of the main go.mod. What belongs here is starting, preparing
// and stopping those servers. Nothing here knows the method, its tables or its
// workflows, and no other module imports it: the rest of the system meets this
// program through its ports, its flags and the line it prints when it is ready.
//
// One folder holds all state. Temporal's database carries the server's version
// in its file name, because SQLite files are not promised to survive an upgrade
// of the server. A killed process loses nothing that a client was told is done.
package main
