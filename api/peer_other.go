//go:build !linux

package api

import "net"

// peerUID knows nobody where the kernel is not asked: callers need a token.
func peerUID(*net.UnixConn) (uint32, bool) { return 0, false }
