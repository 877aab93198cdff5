package api

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"

	"github.com/writ-run/writ"
)

// conn is what is known of a connection.
type conn struct {
	unix bool
	peer bool // uid is known
	uid  uint32
}

type connKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	info := &conn{}
	if u, ok := c.(*net.UnixConn); ok {
		info.unix = true
		info.uid, info.peer = peerUID(u)
	}
	return context.WithValue(ctx, connKey{}, info)
}

func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// ListenUnix listens on a socket that only its owner can open, taking the place
// of one that a dead process left. CodeConflict where somebody answers there,
// or where the path is no socket.
func ListenUnix(path string) (net.Listener, error) {
	op := "socket " + path
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, writ.Errorf(writ.CodeUnavailable, op, "%w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, writ.Errorf(writ.CodeConflict, op, "is there and is no socket").WithFix("remove it, or use another path")
	default:
		if c, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(writ.Errorf(writ.CodeConflict, op, "another daemon answers there").
				WithFix("stop it, or use another home"), c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, writ.Errorf(writ.CodeUnavailable, op, "%w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, writ.Errorf(writ.CodeUnavailable, op, "%w", err).
			WithFix("a socket's path has at most 107 bytes; use a shorter home")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(writ.Errorf(writ.CodeUnavailable, op, "%w", err), l.Close())
	}
	return l, nil
}
