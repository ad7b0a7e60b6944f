package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/common/testing/freeport"
	"go.temporal.io/server/temporal"
)

// startTemporal runs the four services of a Temporal server in this process and
// returns when every namespace serves.
func startTemporal(ctx context.Context, o *options, st *state) (stop func(), err error) {
	logger, silence := serverLogger(o, st)
	sqlConfig := sqliteConfig(st.dbFile, o.pragmas)
	if err := prepareDatabase(sqlConfig, st.dbFile, o); err != nil {
		return nil, err
	}
	serverConfig, hosts := serverConfiguration(o, sqlConfig)
	if o.logConfig {
		// The configuration holds no secrets: there is neither TLS nor a password.
		encoded, err := json.Marshal(serverConfig)
		if err != nil {
			return nil, fmt.Errorf("encode Temporal's configuration: %w", err)
		}
		fmt.Fprintf(st.log, "%s\n", encoded)
	}
	authorizer, err := authorization.GetAuthorizerFromConfig(&serverConfig.Global.Authorization)
	if err != nil {
		return nil, fmt.Errorf("configure Temporal's authorizer: %w", err)
	}
	claims, err := authorization.GetClaimMapperFromConfig(&serverConfig.Global.Authorization, logger)
	if err != nil {
		return nil, fmt.Errorf("configure Temporal's claim mapper: %w", err)
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(serverConfig),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamicConfig(o.dynamicConfig)),
	)
	if err != nil {
		return nil, fmt.Errorf("make the Temporal server: %w", err)
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start the Temporal server: %w", err)
	}
	stop = func() {
		// The services are each other's clients: while they end one by one, they
		// report lost connections and cancelled polls that mean nothing.
		silence()
		_ = server.Stop()
	}
	if err := awaitNamespaces(ctx, o, logger); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// serverConfiguration is a single-node cluster on loopback: only the frontend
// follows --ip. One history shard is what SQLite's single writer can use.
func serverConfiguration(o *options, sqlConfig *config.SQL) (*config.Config, map[primitives.ServiceName]static.Hosts) {
	services := map[string]config.Service{}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, name := range []primitives.ServiceName{primitives.HistoryService, primitives.MatchingService, primitives.WorkerService} {
		port := freeport.MustGetFreePort()
		services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnLocalHost: true}}
		hosts[name] = static.SingleLocalHost(net.JoinHostPort(loopback, strconv.Itoa(port)))
	}
	services[string(primitives.FrontendService)] = config.Service{RPC: config.RPC{
		GRPCPort: o.port, HTTPPort: o.httpPort, BindOnIP: o.ip,
	}}
	hosts[primitives.FrontendService] = static.SingleLocalHost(o.temporalAddress())

	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: loopback},
			Metrics: &metrics.Config{Prometheus: &metrics.PrometheusConfig{
				ListenAddress: net.JoinHostPort(o.ip, strconv.Itoa(o.metricsP)),
				HandlerPath:   "/metrics",
			}},
		},
		Persistence: config.Persistence{
			DefaultStore:     sqliteplugin.PluginName,
			VisibilityStore:  sqliteplugin.PluginName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{sqliteplugin.PluginName: {SQL: sqlConfig}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: o.temporalAddress()},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            services,
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		}},
		PublicClient: config.PublicClient{HostPort: o.temporalAddress()},
	}, hosts
}

// dynamicConfig is what one node for one developer needs: a new search
// attribute or Nexus endpoint is seen at once, rate limits meant for shared
// clusters are out of the way, and workflows can be paused in the UI. overrides
// come from the command line and win.
func dynamicConfig(overrides map[string]any) dynamicconfig.StaticClient {
	values := dynamicconfig.StaticClient{}
	for key, value := range map[string]any{
		"system.forceSearchAttributesCacheRefreshOnRead": true,
		"system.forceNexusEndpointRefreshOnRead":         true,
		"frontend.persistenceMaxQPS":                     10000,
		"history.persistenceMaxQPS":                      45000,
		"history.hostLevelCacheMaxSize":                  8096,
		"frontend.namespaceRPS.visibility":               100,
		"frontend.WorkflowPauseEnabled":                  true,
		"matching.enableFairness":                        true,
	} {
		values[dynamicconfig.MakeKey(key)] = value
	}
	for key, value := range overrides {
		values[dynamicconfig.MakeKey(key)] = value
	}
	return values
}
