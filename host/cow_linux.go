package host

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canReset says that an instance's memory can be put back without being copied.
const canReset = true

// image is what a memory begins with. Memories that begin with it share its pages
// until they write to them. It cannot be changed: its file is sealed.
type image struct {
	fd   int
	view []byte // read-only
}

// seals keep the file as it is for as long as it lives; one that shrank would kill
// the process at the next access (SIGBUS).
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// newImage makes an image of size bytes, whole pages, that fill writes into.
func newImage(size int, fill func(memory []byte)) (*image, error) {
	if size == 0 {
		return &image{fd: -1}, nil
	}
	fd, err := unix.MemfdCreate("writ-guest", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	i := &image{fd: fd}
	if err := i.write(size, fill); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func (i *image) write(size int, fill func(memory []byte)) error {
	if err := unix.Ftruncate(i.fd, int64(size)); err != nil {
		return err
	}
	shared, err := unix.Mmap(i.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fill(shared)
	if err := unix.Munmap(shared); err != nil { // or it could not be sealed
		return err
	}
	if _, err := unix.FcntlInt(uintptr(i.fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	i.view, err = unix.Mmap(i.fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	return err
}

// layOver makes memory, as reserve gave it, begin with the image: what was there
// is gone.
func (i *image) layOver(memory []byte) error {
	if len(i.view) == 0 {
		return nil
	}
	if len(memory) < len(i.view) {
		return errors.New("the memory is smaller than its image")
	}
	at, err := unix.MmapPtr(i.fd, 0, unsafe.Pointer(&memory[0]), uintptr(len(i.view)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err == nil && at != unsafe.Pointer(&memory[0]) {
		err = errors.New("the image was mapped elsewhere")
	}
	return err
}

func (i *image) close() {
	// These fail for arguments that were not given by the calls above.
	if i.view != nil {
		_ = unix.Munmap(i.view)
	}
	if i.fd >= 0 {
		_ = unix.Close(i.fd)
	}
	i.view, i.fd = nil, -1
}

// forget gives back the pages that were written: what lies there is the image
// again, or zero.
func forget(memory []byte) error {
	if len(memory) == 0 {
		return nil
	}
	return unix.Madvise(memory, unix.MADV_DONTNEED)
}
