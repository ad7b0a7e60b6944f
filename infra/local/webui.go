package main

import (
	"context"
	"fmt"

	"github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// startUI serves Temporal's web UI and returns when it listens. The UI server
// ends the process by itself when it cannot.
func startUI(ctx context.Context, o *options) (stop func(), err error) {
	config := &uiconfig.Config{
		TemporalGRPCAddress: o.temporalAddress(),
		Host:                bracketed(o.uiIP),
		Port:                o.uiPort,
		EnableUI:            true,
		DefaultNamespace:    o.namespaces[0],
		// Cookies marked secure would never be sent to a plain http address.
		CORS:  uiconfig.CORS{CookieInsecure: true},
		Codec: uiconfig.Codec{Endpoint: o.uiCodecEndpoint},
		// A local stack asks nobody on the internet for news or versions.
		DisableNewsFetch:   true,
		NotifyOnNewVersion: false,
		HideLogs:           true,
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure the web UI: %w", err)
	}
	ui := server.NewServer(server_options.WithConfigProvider(config))
	ended := make(chan error, 1)
	go func() { ended <- ui.Start() }()
	if err := waitForListener(ctx, o.uiAddress(), ended); err != nil {
		return nil, fmt.Errorf("start the web UI: %w", err)
	}
	return ui.Stop, nil
}

// bracketed is how the UI server, which joins host and port with a colon,
// needs an IPv6 address.
func bracketed(ip string) string {
	for _, r := range ip {
		if r == ':' {
			return "[" + ip + "]"
		}
	}
	return ip
}
