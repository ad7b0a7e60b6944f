package schemas

import "time"

// DefaultPool is the pool that nobody named.
const DefaultPool = "default"

// maxGangNodes keeps the answer to a gang in a payload.
const maxGangNodes = 32

// ManageNodePoolInput starts the workflow that hands out the nodes of one pool.
type ManageNodePoolInput struct {
	// Pool is the pool's name. Default "default".
	Pool string `json:"pool,omitempty"`
	// CheckEvery is how often nodes and holders of leases are looked at while there
	// are any. Default 1m.
	CheckEvery Duration `json:"check_every,omitempty"`
	// State is written by the workflow itself when it continues as new.
	State *PoolState `json:"state,omitempty"`
}

func (in *ManageNodePoolInput) SetDefaults() {
	setDefault(&in.Pool, DefaultPool)
	setDefault(&in.CheckEvery, Duration(time.Minute))
}

func (in *ManageNodePoolInput) Validate() error {
	switch {
	case !validName(in.Pool):
		return invalid("pool", "%q is not a name of up to 64 letters, digits and . _ - that begins with a letter or digit", in.Pool)
	case in.CheckEvery < Duration(time.Second) || in.CheckEvery > Duration(time.Hour):
		return invalid("check_every", "%s is not between 1s and 1h", time.Duration(in.CheckEvery))
	}
	return nil
}

// PoolState is all that a pool knows. Every list is in the order in which it is
// worked on, so that the same events always lead to the same state.
type PoolState struct {
	// Next is the rank of the next request.
	Next int64 `json:"next,omitempty"`
	// Nodes are sorted by host.
	Nodes []PoolNode `json:"nodes,omitempty"`
	// Leases are sorted by rank, Waiting by priority and rank.
	Leases  []PoolLease `json:"leases,omitempty"`
	Waiting []PoolLease `json:"waiting,omitempty"`
	// Refused counts how often a node or a request found the pool full, repeats
	// included.
	Refused int64 `json:"refused,omitempty"`
}

// PoolNode is one host of a pool.
type PoolNode struct {
	Host string `json:"host"`
	// Address is where the other nodes of a gang reach it.
	Address string `json:"address"`
	// GPUs bounds the processes of a gang on it; 0 does not.
	GPUs int `json:"gpus,omitempty"`
	// Until is when the registration lapses, unless the node renews it.
	Until time.Time `json:"until"`
	// Drained takes no further lease.
	Drained bool `json:"drained,omitempty"`
	// Suspect counts as lost until it registers again.
	Suspect bool `json:"suspect,omitempty"`
}

// PoolLease is what a holder asked for and, once it was granted, has.
type PoolLease struct {
	// Holder is the id of the workflow, Request tells its requests apart.
	Holder  string `json:"holder"`
	Request string `json:"request"`
	// Want is the number of nodes asked for, each of at least GPUs.
	Want int `json:"want"`
	GPUs int `json:"gpus,omitempty"`
	// Priority goes from 1, the most urgent, to 5; Rank is the order of arrival.
	Priority int   `json:"priority"`
	Rank     int64 `json:"rank"`
	// Since is when it was asked for or, once it was granted, when it was.
	Since time.Time `json:"since"`
	// Hosts are the nodes that it has: none, or all that it wants.
	Hosts []string `json:"hosts,omitempty"`
}

// RegisterNode says that a node is there.
type RegisterNode struct {
	Host    string `json:"host"`
	Address string `json:"address"`
	GPUs    int    `json:"gpus,omitempty"`
	// ValidFor is how long it counts as there without saying so again.
	ValidFor Duration `json:"valid_for"`
}

// LeaseNodes asks for nodes. A holder has one request: another one takes its
// place, keeps its rank and gives back what it had.
type LeaseNodes struct {
	Holder   string `json:"holder"`
	Request  string `json:"request"`
	Want     int    `json:"want"`
	GPUs     int    `json:"gpus,omitempty"`
	Priority int    `json:"priority,omitempty"`
	// Suspects are nodes that did not answer.
	Suspects []string `json:"suspects,omitempty"`
}

// NodesLeased is the pool's answer to LeaseNodes.
type NodesLeased struct {
	Request string       `json:"request"`
	Nodes   []LeasedNode `json:"nodes"`
}

// LeasedNode is one node of a lease.
type LeasedNode struct {
	Host    string `json:"host"`
	Address string `json:"address"`
}

// ReleaseNodes gives a lease back, or takes a request out of the queue. Request
// may be "" for whatever the holder has.
type ReleaseNodes struct {
	Holder  string `json:"holder"`
	Request string `json:"request,omitempty"`
}

// NodeName names a node of a pool.
type NodeName struct {
	Host string `json:"host"`
}

// PoolStatus is the answer of the query `status` of a pool.
type PoolStatus struct {
	Pool   string `json:"pool"`
	Status string `json:"status"`
	// Free counts the nodes that could be leased now.
	Free  int              `json:"free"`
	Nodes []PoolNodeStatus `json:"nodes"`
	// Waiting are the requests in the order in which they are served.
	Waiting []PoolWaiting `json:"waiting"`
	Refused int64         `json:"refused,omitempty"`
}

// PoolNodeStatus is a node as people see it.
type PoolNodeStatus struct {
	Host    string `json:"host"`
	Address string `json:"address"`
	GPUs    int    `json:"gpus"`
	// State is one of the Node constants.
	State string `json:"state"`
	// Holder is the workflow that has it, LeasedSince since when.
	Holder      string    `json:"holder,omitempty"`
	LeasedSince time.Time `json:"leased_since,omitzero"`
	// Until is when the registration lapses.
	Until time.Time `json:"until"`
}

// PoolWaiting is a request that was not granted yet.
type PoolWaiting struct {
	Holder   string    `json:"holder"`
	Want     int       `json:"want"`
	GPUs     int       `json:"gpus,omitempty"`
	Priority int       `json:"priority"`
	Since    time.Time `json:"since"`
	// Possible says that the pool has enough nodes, leased ones counted: if not, it
	// keeps nobody waiting behind it.
	Possible bool `json:"possible"`
}

// States of a node.
const (
	NodeFree     = "free"
	NodeLeased   = "leased"
	NodeDraining = "draining" // drained, and still leased
	NodeDrained  = "drained"
	NodeLost     = "lost"
)
