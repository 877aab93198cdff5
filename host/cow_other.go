//go:build !linux

package host

import "errors"

// canReset is false: there is no portable way to make written pages what they
// were, so every run gets a memory of its own.
const canReset = false

// image is what a memory begins with.
type image struct{ view []byte }

// newImage makes an image of size bytes that fill writes into.
func newImage(size int, fill func(memory []byte)) (*image, error) {
	i := &image{view: make([]byte, size)}
	fill(i.view)
	return i, nil
}

// layOver copies the image into a memory that was never written to.
func (i *image) layOver(memory []byte) error {
	if copy(memory, i.view) < len(i.view) {
		return errors.New("the memory is smaller than its image")
	}
	return nil
}

func (i *image) close() {}

// forget is never called where canReset is false.
func forget([]byte) error { return errors.New("memory cannot be reset on this system") }
