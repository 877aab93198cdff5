package secret

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Variables are secrets in the environment. Its reading is handed in: no package but
// the command's reads it.
type Variables struct{ lookup func(string) (string, bool) }

// NewVariables makes a provider of what lookup (os.LookupEnv) finds; it must be set.
func NewVariables(lookup func(string) (string, bool)) *Variables { return &Variables{lookup} }

// Read implements Provider.
func (v *Variables) Read(_ context.Context, at *Reference) (*Reading, error) {
	value, ok := v.lookup(at.Path)
	if !ok {
		return nil, providerError(writ.CodeNotFound, "the variable "+at.Path+" is not set", "set it where the daemon is started, and start it again")
	}
	return &Reading{Value: trimmed([]byte(value))}, nil
}

// Local implements Provider.
func (v *Variables) Local() bool { return true }

// Files are secrets in the files of a directory: what Docker, Kubernetes and systemd
// mount. A file must be its reader's or root's alone; a link may lead to another file
// below the directory and nowhere else.
type Files struct {
	dir  string
	none string // why there is no directory
}

// NewFiles makes a provider of a directory, which need not be there yet.
func NewFiles(dir string) *Files { return &Files{dir: dir} }

// NewCredentials makes a provider of the credentials that systemd hands to a service:
// dir is what $CREDENTIALS_DIRECTORY says, "" where the process is none.
func NewCredentials(dir string) *Files {
	return &Files{dir: dir, none: "has no credentials: $CREDENTIALS_DIRECTORY is not set"}
}

// Local implements Provider.
func (f *Files) Local() bool { return true }

// Read implements Provider. The directory is opened each time: what is mounted there
// may be exchanged as a whole.
func (f *Files) Read(_ context.Context, at *Reference) (*Reading, error) {
	if f.dir == "" {
		return nil, providerError(writ.CodeNotFound, f.none, "start the daemon as a unit of systemd with LoadCredential= or LoadCredentialEncrypted=")
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, unreadable(err, "the directory "+f.dir)
	}
	defer root.Close()
	// A pipe in the place of a file would wait for its writer.
	file, err := root.OpenFile(at.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(err, "the file "+at.Path+" of "+f.dir)
	}
	defer file.Close()
	return readPrivate(file)
}

// lineEnd is how much longer than a value its file may be.
const lineEnd = 2

// readPrivate reads a file that its owner alone may read, the owner being this process
// or root.
func readPrivate(file *os.File) (*Reading, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, unreadable(err, "the file "+file.Name())
	}
	if !info.Mode().IsRegular() {
		return nil, providerError(writ.CodeForbidden, file.Name()+" is not a file", "put the value into a file of its own")
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return nil, providerError(writ.CodeForbidden, file.Name()+" belongs to another user", "chown it to the user that the daemon runs as")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, providerError(writ.CodeForbidden, "others may read or change "+file.Name(),
			"chmod 400 "+file.Name()+" (Docker and Kubernetes: mode 0400 where the secret is mounted)")
	}
	raw, err := io.ReadAll(io.LimitReader(file, MaxValue+lineEnd+1))
	if err != nil {
		clear(raw)
		return nil, unreadable(err, "the file "+file.Name())
	}
	return &Reading{Value: trimmed(raw), UpdatedAt: canon.TimeOf(info.ModTime())}, nil
}

// unreadable words what the kernel says; os.Root's refusal of a way out has no name of
// its own.
func unreadable(err error, what string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return providerError(writ.CodeNotFound, what+" is not there", "put it there, or correct its path in the configuration")
	case errors.Is(err, fs.ErrPermission):
		return providerError(writ.CodeForbidden, what+" may not be read by this user", "chown it to the user that the daemon runs as")
	}
	return providerError(writ.CodeForbidden, what+" cannot be opened below the directory", "put a file there: neither a directory nor a link that leads out")
}
