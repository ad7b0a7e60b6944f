package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rpo/activities/pool"
	"rpo/schemas"
	"rpo/workflows"
)

// poolNode makes this host a node of a pool: it takes its place in gangs of
// several hosts, and nothing from the queue rpo-gpu.
type poolNode struct {
	// Name of the pool. Default "default".
	Name string `json:"name,omitempty"`
	// Host is this host's name, which no other node of any pool may have. Default: the
	// machine's host name.
	Host string `json:"host,omitempty"`
	// Address is where the other hosts of a gang reach this one: an IP address of the
	// interface that the processes are to talk through, or a name. Default
	// 127.0.0.1, which is enough for a pool on one machine.
	Address string `json:"address,omitempty"`
	// GPUs bounds the processes of a gang on this host. Default: those that it has on
	// device cuda, no bound on device cpu.
	GPUs int `json:"gpus,omitempty"`
	// RegisterEvery is how often the host says that it is there; it counts as lost
	// after three times as long. Default 1m.
	RegisterEvery schemas.Duration `json:"register_every,omitempty"`
}

// complete sets defaults.
func (n *poolNode) complete(device string) error {
	if n.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return schemas.Errorf(schemas.Internal, "find the host's name: %w", err)
		}
		n.Host = host
	}
	n.Name = cmp.Or(n.Name, schemas.DefaultPool)
	n.Address = cmp.Or(n.Address, "127.0.0.1")
	n.RegisterEvery = cmp.Or(n.RegisterEvery, schemas.Duration(time.Minute))
	if n.GPUs == 0 && device == "cuda" {
		found, err := filepath.Glob("/dev/nvidia[0-9]*")
		if err != nil {
			return schemas.Errorf(schemas.Internal, "look for GPUs: %w", err)
		}
		n.GPUs = len(found)
	}
	return nil
}

// validate returns why the node cannot be in a pool, "" if it can.
func (n poolNode) validate() string {
	in := schemas.ManageNodePoolInput{Pool: n.Name}
	in.SetDefaults()
	switch {
	case in.Validate() != nil:
		return "name is not a name of up to 64 letters, digits and . _ -"
	case len(n.Host) > 200 || strings.ContainsAny(n.Host, " \t\n/"):
		return "host is longer than 200 bytes or has spaces or slashes"
	case n.GPUs < 0:
		return "gpus is negative"
	case n.RegisterEvery < 0 || n.RegisterEvery > 0 && n.RegisterEvery < schemas.Duration(time.Second):
		return "register_every is under 1s"
	}
	return ""
}

// queues replaces the queue that hosts share by that of this host and that of its
// pool.
func (n *poolNode) queues(names []string) []string {
	var out []string
	for _, name := range names {
		if name == workflows.QueueGPU && n != nil {
			out = append(out, workflows.HostQueue(n.Host), workflows.PoolQueue(n.Name))
			continue
		}
		out = append(out, name)
	}
	return out
}

// stay keeps the node registered until the context ends, then takes it out. A pool
// that cannot be reached is told again next time.
func (n poolNode) stay(ctx context.Context, t pool.Temporal, logger *slog.Logger) {
	every := time.Duration(n.RegisterEvery)
	tick := time.NewTicker(every)
	defer tick.Stop()
	here := schemas.RegisterNode{Host: n.Host, Address: n.Address, GPUs: n.GPUs, ValidFor: schemas.Duration(3 * every)}
	for {
		try, done := context.WithTimeout(ctx, every)
		err := pool.Start(try, t, workflows.ManageNodePoolName, workflows.QueueWorkflows, n.Name, workflows.SignalRegisterNode, here)
		done()
		if err != nil && ctx.Err() == nil {
			logger.Warn("register node", "pool", n.Name, "host", n.Host, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			// A pool that is not told finds out when the registration lapses.
			leave, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer done()
			err := t.SignalWorkflow(leave, pool.WorkflowID(n.Name), "", workflows.SignalNodeLeaves, schemas.NodeName{Host: n.Host})
			if err != nil {
				logger.Info("leave pool", "pool", n.Name, "host", n.Host, "error", err)
			}
			return
		}
	}
}
