package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"go.temporal.io/server/common/testing/freeport"
)

// listener is one public port of this process and the flag that sets it.
type listener struct {
	flag string
	ip   string
	port *int
}

// listeners returns the public ports of what will run.
func (o *options) listeners() []listener {
	var ls []listener
	if o.temporal {
		ls = append(ls,
			listener{"--port", o.ip, &o.port},
			listener{"--http-port", o.ip, &o.httpPort},
			listener{"--metrics-port", o.ip, &o.metricsP})
	}
	if o.ui {
		name := "--ui-port"
		if o.uiPortDerived {
			name = "--ui-port (--port + 1000)"
		}
		ls = append(ls, listener{name, o.uiIP, &o.uiPort})
	}
	if o.s3 {
		ls = append(ls, listener{"--s3-port", loopback, &o.s3Port})
	}
	return ls
}

const loopback = "127.0.0.1"

// assignPorts opens every named port, all at the same time so that two flags
// with one port are found too, closes them again and gives the ports of 0 a
// free number. It comes before anything is written: the UI server would end
// the whole process at a busy port, with the database already made.
func assignPorts(o *options) error {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, l := range o.listeners() {
		if *l.port == 0 {
			continue
		}
		address := net.JoinHostPort(l.ip, strconv.Itoa(*l.port))
		open, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("listen on %s for %s: the port is in use: stop what uses it, or choose another port with the flag", address, l.flag)
		}
		if err != nil {
			return fmt.Errorf("listen on %s for %s: %w", address, l.flag, err)
		}
		held = append(held, open)
	}
	for _, l := range o.listeners() {
		if *l.port == 0 {
			*l.port = freeport.MustGetFreePort()
		}
	}
	return nil
}

// reachable turns the address a server listens on into one to connect to.
func reachable(ip string) string {
	if parsed := net.ParseIP(ip); parsed.IsUnspecified() {
		if parsed.To4() == nil {
			return "::1"
		}
		return loopback
	}
	return ip
}

func (o *options) temporalAddress() string {
	return net.JoinHostPort(reachable(o.ip), strconv.Itoa(o.port))
}

func (o *options) uiAddress() string {
	return net.JoinHostPort(reachable(o.uiIP), strconv.Itoa(o.uiPort))
}

func (o *options) s3Address() string {
	return net.JoinHostPort(loopback, strconv.Itoa(o.s3Port))
}
