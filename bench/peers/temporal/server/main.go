// Command server is Temporal's development server without its user interface.
// The Temporal CLI cannot be built from the Go proxy, since one of its
// submodules is not there; this sets what `temporal server start-dev` of CLI
// 1.9.1 sets (its internal/devserver and its default dynamic configuration).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/server/chasm/lib/activity"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

const (
	loopback = "127.0.0.1"
	active   = "active" // the one cluster
	store    = "sqlite-default"
)

func main() {
	port := flag.Int("port", 7233, "port of the frontend, on loopback")
	database := flag.String("db", "", "SQLite file; made where there is none")
	flag.Parse()
	if err := serve(*port, *database); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func serve(port int, database string) error {
	if database == "" {
		return errors.New("-db is missing: a server in memory is not durable")
	}
	sql, err := sqlConfig(database)
	if err != nil {
		return err
	}
	conf, err := serverConfig(port, sql)
	if err != nil {
		return err
	}
	options, err := serverOptions(conf)
	if err != nil {
		return err
	}
	s, err := temporal.NewServer(options...)
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return s.Stop()
}

func sqlConfig(database string) (*config.SQL, error) {
	conf := &config.SQL{
		PluginName: sqliteplugin.PluginName, DatabaseName: database,
		ConnectAttributes: map[string]string{"mode": "rwc"},
	}
	if _, err := os.Stat(database); errors.Is(err, os.ErrNotExist) {
		if err := sqlite.SetupSchema(conf); err != nil {
			return nil, err
		}
	}
	namespace, err := sqlite.NewNamespaceConfig(active, "default", false, nil)
	if err != nil {
		return nil, err
	}
	return conf, sqlite.CreateNamespaces(conf, namespace)
}

func serverConfig(port int, sql *config.SQL) (*config.Config, error) {
	var conf config.Config
	conf.Global.Membership.MaxJoinDuration = 30 * time.Second
	conf.Global.Membership.BroadcastAddress = loopback
	conf.Persistence.DefaultStore, conf.Persistence.VisibilityStore = store, store
	conf.Persistence.NumHistoryShards = 1
	conf.Persistence.DataStores = map[string]config.DataStore{store: {SQL: sql}}
	conf.DCRedirectionPolicy.Policy = "noop"
	conf.Archival.History.State, conf.Archival.Visibility.State = "disabled", "disabled"
	conf.NamespaceDefaults.Archival.History.State, conf.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"

	frontend := fmt.Sprintf("%s:%d", loopback, port)
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	conf.PublicClient.HostPort = frontend
	conf.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: active, CurrentClusterName: active,
		ClusterInformation: map[string]cluster.ClusterInformation{active: {
			Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend,
			HTTPAddress: fmt.Sprintf("%s:%d", loopback, ports[0]), ClusterID: uuid.NewString(),
		}},
	}
	conf.Services = map[string]config.Service{
		"frontend": {RPC: config.RPC{GRPCPort: port, HTTPPort: ports[0], BindOnIP: loopback}},
		"history":  {RPC: config.RPC{GRPCPort: ports[1], BindOnIP: loopback}},
		"matching": {RPC: config.RPC{GRPCPort: ports[2], BindOnIP: loopback}},
		"worker":   {RPC: config.RPC{GRPCPort: ports[3], BindOnIP: loopback}},
	}
	return &conf, nil
}

func serverOptions(conf *config.Config) ([]temporal.ServerOption, error) {
	logger := log.NewZapLogger(log.BuildZapLogger(log.Config{Level: "error", Stdout: false}))
	authorizer, err := authorization.GetAuthorizerFromConfig(&conf.Global.Authorization)
	if err != nil {
		return nil, err
	}
	claims, err := authorization.GetClaimMapperFromConfig(&conf.Global.Authorization, logger)
	if err != nil {
		return nil, err
	}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, service := range []primitives.ServiceName{
		primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
	} {
		hosts[service] = static.SingleLocalHost(fmt.Sprintf("%s:%d", loopback, conf.Services[string(service)].RPC.GRPCPort))
	}
	return []temporal.ServerOption{
		temporal.WithConfig(conf),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	}, nil
}

// dynamicConfig is what the development server of CLI 1.9.1 sets by itself.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key():                         8096,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():         100,
		dynamicconfig.EnableChasm.Key():                                          true,
		activity.Enabled.Key():                                                   true,
		activity.EnableStandaloneActivityOperatorCommands.Key():                  true,
		dynamicconfig.FrontendEnableBatchOperationsForStandaloneActivities.Key(): true,

		dynamicconfig.MakeKey("system.forceSearchAttributesCacheRefreshOnRead"): true,
		dynamicconfig.MakeKey("system.forceNexusEndpointRefreshOnRead"):         true,
		dynamicconfig.MakeKey("frontend.persistenceMaxQPS"):                     10000,
		dynamicconfig.MakeKey("history.persistenceMaxQPS"):                      45000,
	}
}

// freePorts finds n ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", loopback+":0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // held until all are found, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
