package toolbox

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/canon"
)

// Bounds of the file tools.
const (
	maxPath    = 1024
	maxEntries = 4096
	// tempPrefix marks a file that is being written. Guests neither see nor name
	// such files; one that a crash left is replaced when the call is made again.
	tempPrefix = ".writ-tmp-"
)

var errTooLarge = errors.New("larger than the limit")

// filePath checks a path and that no symbolic link is on it: a link would lead
// to another path than the one that was granted.
func (t *Toolbox) filePath(name string) *abi.Failure {
	if t.files == nil {
		return failUnsupported("this host has no directory for skills")
	}
	if len(name) > maxPath {
		return failTooLarge("the path", maxPath)
	}
	if !fs.ValidPath(name) || strings.Contains(name, "\\") {
		return failInvalid("the path is not relative, or has empty or dot segments or a backslash", "")
	}
	segments := strings.Split(name, "/")
	for i, segment := range segments {
		if strings.HasPrefix(segment, tempPrefix) {
			return failInvalid("the path names a file of the host", "")
		}
		info, err := t.files.Lstat(path.Join(segments[:i+1]...))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // for the operation to say
		}
		if err != nil {
			return fileFailed(err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return failDenied("the path leads through a symbolic link", "")
		}
	}
	return nil
}

// fileFailed words an error of the file system without its own words.
func fileFailed(err error) *abi.Failure {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failNotFound("there is no such file or directory")
	case errors.Is(err, fs.ErrPermission):
		return failDenied("the host may not do this with the file", "")
	}
	return failUnavailable("the file system refuses this")
}

func (t *Toolbox) fileRead(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.FilePath](inv.Arguments)
	if failure == nil {
		failure = t.filePath(args.Path)
	}
	if failure != nil {
		return notDone(failure)
	}
	content, err := t.readFile(args.Path)
	if errors.Is(err, errTooLarge) {
		return notDone(failTooLarge("the file", t.opts.MaxFile))
	}
	if err != nil {
		return notDone(fileFailed(err))
	}
	labels := t.fileLabels(ctx, inv, args.Path, content)
	if utf8.Valid(content) {
		return done(abi.FileContent{Text: string(content)}, labels...)
	}
	return done(abi.FileContent{Base64: base64.StdEncoding.EncodeToString(content)}, labels...)
}

// readFile reads a regular file. O_NONBLOCK keeps a named pipe from holding the
// call until somebody writes to it.
func (t *Toolbox) readFile(name string) ([]byte, error) {
	file, err := t.files.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(file, t.opts.MaxFile+1))
	if err == nil && int64(len(content)) > t.opts.MaxFile {
		err = errTooLarge
	}
	return content, err
}

func (t *Toolbox) fileList(_ context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.FilePath](inv.Arguments)
	if failure == nil {
		failure = t.filePath(args.Path)
	}
	if failure != nil {
		return notDone(failure)
	}
	dir, err := t.files.OpenFile(args.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return notDone(fileFailed(err))
	}
	defer dir.Close()
	found, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return notDone(fileFailed(err))
	}
	if len(found) > maxEntries {
		return notDone(&abi.Failure{Code: abi.FailTooLarge, Message: "the directory has more than 4096 entries"})
	}
	return done(abi.FileEntries{Entries: fileEntries(found)}, unknownLabels...)
}

// fileEntries keeps what a guest could name and read: regular files and
// directories whose names are valid UTF-8.
func fileEntries(found []fs.DirEntry) []abi.FileEntry {
	entries := []abi.FileEntry{}
	for _, item := range found {
		name := item.Name()
		info, err := item.Info()
		if err != nil || !utf8.ValidString(name) || strings.HasPrefix(name, tempPrefix) {
			continue
		}
		switch {
		case info.IsDir():
			entries = append(entries, abi.FileEntry{Name: name, Dir: true})
		case info.Mode().IsRegular():
			entries = append(entries, abi.FileEntry{Name: name, Size: info.Size()})
		}
	}
	slices.SortFunc(entries, func(a, b abi.FileEntry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// fileWrite replaces a file as a whole: after a crash there is the old content
// or the new one.
func (t *Toolbox) fileWrite(ctx context.Context, inv *invocation) *writ.ToolResult {
	args, failure := decode[abi.FileContent](inv.Arguments)
	if failure == nil {
		failure = t.filePath(args.Path)
	}
	if failure != nil {
		return notDone(failure)
	}
	content, failure := bodyBytes(args.Text, args.Base64)
	if failure != nil {
		return notDone(failure)
	}
	if int64(len(content)) > t.opts.MaxFile {
		return notDone(failTooLarge("the file", t.opts.MaxFile))
	}
	result := t.replaceFile(args.Path, tempName(inv), content)
	if result.Outcome != writ.OutcomeDone || result.Failure != nil {
		return result
	}
	return t.keepFileLabels(ctx, inv, args.Path, content, result)
}

func (t *Toolbox) replaceFile(name, temp string, content []byte) *writ.ToolResult {
	mode := fs.FileMode(0o600)
	if info, err := t.files.Lstat(name); err == nil {
		if !info.Mode().IsRegular() {
			return notDone(failInvalid("the path names a directory or a special file", ""))
		}
		mode = info.Mode().Perm()
	}
	dir := path.Dir(name)
	temp = path.Join(dir, temp)
	err := t.writeTemp(temp, content, mode)
	if err == nil {
		err = t.files.Rename(temp, name)
	}
	if err != nil {
		// What cannot be removed either is replaced when the call is made again.
		_ = t.files.Remove(temp)
		return notDone(fileFailed(err))
	}
	// The name points to the new content, but a crash may still undo that.
	if err := t.syncDir(dir); err != nil {
		return unknown(fileFailed(err))
	}
	return done(struct{}{})
}

// tempName is the call's own, so that a call that is made again after a crash
// replaces what it left, and two calls never meet.
func tempName(inv *invocation) string {
	sum := canon.Hash(canon.DomainCallKey, []byte(inv.Tenant), []byte(inv.Execution), []byte(inv.Step), []byte(inv.Key), inv.Arguments)
	return tempPrefix + hex.EncodeToString(sum[:16])
}

func (t *Toolbox) writeTemp(name string, content []byte, mode fs.FileMode) error {
	if err := t.files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := t.files.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return file.Sync()
}

func (t *Toolbox) syncDir(name string) error {
	dir, err := t.files.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// bodyBytes is the content of a pair of members of which one may be set.
func bodyBytes(text, encoded string) ([]byte, *abi.Failure) {
	if encoded == "" {
		return []byte(text), nil
	}
	content, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, failInvalid("the base64 member is not standard base64 with padding", "")
	}
	return content, nil
}
