// Package pool is how a gang and the workflow ManageNodePool find each other: it
// asks a pool for nodes, gives them back, and looks which holders of nodes have
// ended.
//
// What belongs here: calls to Temporal that workflow code cannot make itself,
// starting a pool that is not there among them. Who gets which node is decided in
// workflows.
package pool
