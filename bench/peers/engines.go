//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/writ-run/writ/bench/peers/process"
)

// Each peer adds one to the number three times.
const (
	number = "1"
	sum    = "4"
)

// dbosPostgres is a DBOS service and a PostgreSQL cluster of its own.
func (f *field) dbosPostgres(ctx context.Context) (*subject, error) {
	ports, err := f.ports(2)
	if err != nil {
		return nil, err
	}
	data := f.path("postgres")
	owner, err := clusterOwner(data)
	if err != nil {
		return nil, err
	}
	program := func(name string) string { return filepath.Join(f.postgres, name) }
	initdb := []string{program("initdb"), "-D", filepath.Join(data, "cluster"), "-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C"}
	if _, err := process.Run(ctx, process.Spec{Args: initdb, User: owner}); err != nil {
		return nil, err
	}
	version, err := process.Run(ctx, process.Spec{Args: []string{program("postgres"), "--version"}})
	if err != nil {
		return nil, err
	}
	ready := process.Spec{Args: []string{program("pg_isready"), "-q", "-h", loopback, "-p", strconv.Itoa(ports[0])}}
	server := []string{
		program("postgres"), "-D", filepath.Join(data, "cluster"), "-p", strconv.Itoa(ports[0]),
		"-c", "listen_addresses=" + loopback, "-c", "unix_socket_directories=" + data, "-c", "fsync=on", "-c", "synchronous_commit=on",
	}
	s := f.dbos("DBOS, PostgreSQL", "-postgres", fmt.Sprintf("postgres://bench@%s/postgres?sslmode=disable", address(ports[0])), ports[1])
	s.version += ", PostgreSQL " + strings.TrimPrefix(firstLine(version), "postgres (PostgreSQL) ")
	s.sync = "`fsync=on`, `synchronous_commit=on`"
	s.specs = append([]process.Spec{{
		Name: "postgres", Args: server, Log: filepath.Join(f.dir, "postgres.log"), User: owner, Stop: syscall.SIGINT, // fast shutdown
	}}, s.specs...)
	s.before = func(ctx context.Context) error {
		_, err := process.Run(ctx, ready)
		return err
	}
	return s, nil
}

// clusterOwner makes the directory of a cluster. PostgreSQL refuses to run as
// root, so that its own user owns it then.
func clusterOwner(dir string) (*syscall.Credential, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// dbosSQLite is a DBOS service alone. Its default, synchronous=NORMAL, loses
// acknowledged work in a power cut; FULL does not.
func (f *field) dbosSQLite(context.Context) (*subject, error) {
	port, err := f.port()
	if err != nil {
		return nil, err
	}
	s := f.dbos("DBOS, SQLite", "-sqlite", f.path("dbos.db"), port)
	s.sync = "WAL, `synchronous=FULL` (its default, `NORMAL`, does not sync commits)"
	return s, nil
}

func (f *field) dbos(name, store, database string, port int) *subject {
	at := "http://" + address(port)
	return &subject{
		name: name, version: moduleVersion(f.program("dbos"), "github.com/dbos-inc/dbos-transact-golang"),
		specs: []process.Spec{{
			Name: "dbos", Args: []string{f.program("dbos"), "-addr", address(port), store, database}, Log: f.path("dbos.log"),
		}},
		routes: []*route{newRoute(name, at+"/run", number, sum)},
		floor:  newRoute("floor", at+"/floor", number, sum),
	}
}

// restate is a Restate server and a service that it calls.
func (f *field) restate(ctx context.Context) (*subject, error) {
	ports, err := f.ports(4)
	if err != nil {
		return nil, err
	}
	ingress, admin, node, service := address(ports[0]), address(ports[1]), ports[2], address(ports[3])
	program, err := f.restateServer()
	if err != nil {
		return nil, err
	}
	version, err := process.Run(ctx, process.Spec{Args: []string{program, "--version"}})
	if err != nil {
		return nil, err
	}
	s := &subject{
		name: "Restate", sync: "defaults: RocksDB, its write-ahead log synced (`rocksdb-disable-wal-fsync = false`)",
		version: firstLine(version) + ", " + moduleVersion(f.program("restate-service"), "github.com/restatedev/sdk-go"),
		specs: []process.Spec{{
			Name: "restate-server", Log: f.path("restate.log"),
			Args: []string{
				program, "--no-logo", "--listen-mode", "tcp", "--bind-ip", loopback, "--bind-port", strconv.Itoa(node),
				"--advertised-host", loopback, "--node-name", "bench", "--base-dir", f.path("restate"),
			},
			Env: []string{
				"RESTATE_DISABLE_TELEMETRY=true", "RESTATE_LOG_FILTER=error",
				"RESTATE_INGRESS__BIND_ADDRESS=" + ingress, "RESTATE_ADMIN__BIND_ADDRESS=" + admin,
			},
		}, {
			Name: "restate-service", Args: []string{f.program("restate-service"), "-addr", service}, Log: f.path("restate-service.log"),
		}},
		routes: []*route{newRoute("Restate", "http://"+ingress+"/Bench/Run", number, sum)},
	}
	register := newRoute("registration", "http://"+admin+"/deployments", `{"uri":"http://`+service+`"}`, "Bench")
	first := s.routes[0].client.Transport
	s.routes[0].client.Transport = registering{first, register}
	return s, nil
}

// registering tells the server of its service when it does not know it yet: at
// the first start, since the server keeps what it was told.
type registering struct {
	http.RoundTripper
	register *route
}

// RoundTrip implements http.RoundTripper.
func (r registering) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusNotFound {
		_ = r.register.send(request.Context()) // the caller tries again
	}
	return response, err
}

// restateServer is the program itself: npm's launcher would be a second process.
func (f *field) restateServer() (string, error) {
	found, err := filepath.Glob(f.program("node_modules/@restatedev/restate-server-linux-*/bin/restate-server"))
	if err != nil || len(found) == 0 {
		return "", errors.New("npm has installed no Restate server for this architecture")
	}
	return found[0], nil
}

// temporal is a development server and a worker.
func (f *field) temporal(context.Context) (*subject, error) {
	ports, err := f.ports(2)
	if err != nil {
		return nil, err
	}
	frontend, at := ports[0], "http://"+address(ports[1])
	return &subject{
		name: "Temporal", sync: "defaults of the development server: SQLite in a file, rollback journal, `synchronous=FULL`",
		version: moduleVersion(f.program("server"), "go.temporal.io/server") + ", " + moduleVersion(f.program("worker"), "go.temporal.io/sdk"),
		specs: []process.Spec{{
			Name: "temporal server", Args: []string{f.program("server"), "-port", strconv.Itoa(frontend), "-db", f.path("temporal.db")}, Log: f.path("temporal.log"),
		}, {
			Name: "temporal worker", Args: []string{f.program("worker"), "-addr", address(ports[1]), "-server", address(frontend)}, Log: f.path("temporal-worker.log"),
		}},
		routes: []*route{
			newRoute("Temporal, local activities", at+"/local", number, sum),
			newRoute("Temporal, activities", at+"/activities", number, sum),
		},
	}, nil
}
