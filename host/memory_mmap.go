//go:build linux || darwin

package host

import "syscall"

// reserve gives n zero bytes of address space: pages cost nothing until they are
// touched, so growing never copies. nil where the system has none left.
func reserve(n int) []byte {
	if n == 0 {
		return []byte{}
	}
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return b
}

func release(b []byte) {
	if len(b) > 0 {
		// It fails for arguments that Mmap did not give, and these were.
		_ = syscall.Munmap(b)
	}
}
