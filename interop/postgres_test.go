package interop_test

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresServer is a PostgreSQL with an empty table of sessions. It may be killed, and waits for no disk.
type postgresServer struct {
	*service
	addr string
}

// schema is that of the README of pgxstore.
const schema = `
CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL);
CREATE INDEX sessions_expiry_idx ON sessions (expiry);`

func startPostgres(t *testing.T) *postgresServer {
	t.Helper()
	bin := postgresBinaries(t)
	dir, err := os.MkdirTemp("", "interop-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	attributes := unprivileged(t, dir)
	data, port := filepath.Join(dir, "data"), freePort(t)

	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=interop", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attributes
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}

	p := &postgresServer{addr: "127.0.0.1:" + port}
	pool := p.pool(t, p.addr)
	command := func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port,
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
		own := *attributes
		cmd.Dir, cmd.SysProcAttr = dir, &own
		return cmd
	}
	p.service = startService(t, syscall.SIGINT, command, pool.Ping) // SIGTERM waits for its clients
	if _, err := pool.Exec(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	return p
}

// postgresBinaries is where initdb and postgres are; Debian has them in no PATH.
func postgresBinaries(t *testing.T) string {
	t.Helper()
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(initdb)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatal("install postgresql first: there is no initdb")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// unprivileged gives dir to who may run PostgreSQL, which refuses root.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return new(syscall.SysProcAttr)
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// pool connects to the server, with another address when there is a proxy before it.
func (p *postgresServer) pool(t *testing.T, addr string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://interop@"+addr+"/postgres?sslmode=disable&connect_timeout=30&pool_max_conns=16")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// postgresStore is pgxstore as it is.
func (p *postgresServer) store(t *testing.T, addr string) (*pgxstore.PostgresStore, *pgxpool.Pool) {
	t.Helper()
	pool := p.pool(t, addr)
	return pgxstore.NewWithCleanupInterval(pool, 0), pool
}

// addingPostgres is pgxstore with an Add.
type addingPostgres struct {
	*pgxstore.PostgresStore
	pool *pgxpool.Pool
}

func (s addingPostgres) Add(ctx context.Context, token string, expiry time.Time) (added bool, err error) {
	tag, err := s.pool.Exec(ctx, `INSERT INTO sessions (token, data, expiry) VALUES ($1, '\x01', $2)
		ON CONFLICT (token) DO UPDATE SET data = EXCLUDED.data, expiry = EXCLUDED.expiry
		WHERE sessions.expiry <= current_timestamp`, token, expiry)
	return tag.RowsAffected() == 1, err
}
