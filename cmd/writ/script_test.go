package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptExits is `exits CODE COMMAND...`: the code is the promise.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptJSON is `json VARIABLE PATH`: what stands at the path of the last
// output, members and indices separated by dots; VARIABLE - only demands that it
// is there, and a third argument demands the value.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: json VARIABLE PATH [VALUE]")
	}
	var document any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &document); err != nil {
		ts.Fatalf("the output is not JSON: %v", err)
	}
	value, ok := descend(document, args[1])
	if ok == neg {
		ts.Fatalf("%s: there is one: %v", args[1], ok)
	}
	text, isText := value.(string)
	if !isText {
		raw, err := json.Marshal(value)
		ts.Check(err)
		text = string(raw)
	}
	if len(args) == 3 && text != args[2] {
		ts.Fatalf("%s is %s, want %s", args[1], text, args[2])
	}
	if args[0] != "-" {
		ts.Setenv(args[0], text)
	}
}

func descend(value any, path string) (any, bool) {
	for name := range strings.SplitSeq(strings.Trim(path, "."), ".") {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[name]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			if name != "" {
				return nil, false
			}
		}
	}
	return value, true
}

var fixForm = regexp.MustCompile(`(?m)^\s*(?:fix|what to do): .*?(writ [^` + "`" + `\n]*)`)

// scriptFollow runs every command that the last output gives as the fix: advice
// that is not a working command is none.
func scriptFollow(ts *testscript.TestScript, neg bool, args []string) {
	found := fixForm.FindAllStringSubmatch(ts.ReadFile("stdout")+ts.ReadFile("stderr"), -1)
	if neg || len(args) > 0 || len(found) == 0 {
		ts.Fatalf("usage: follow, after a command that says what to do")
	}
	done := map[string]bool{}
	for _, f := range found {
		if !done[f[1]] {
			done[f[1]] = true
			ts.Check(ts.Exec("sh", "-c", f[1]))
		}
	}
}

// awaitLimit is far more than a daemon takes to start on a machine that is busy.
const awaitLimit = 60 * time.Second

// await calls try until it gives something.
func await(ts *testscript.TestScript, what string, try func() string) string {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(awaitLimit)
	for {
		if found := try(); found != "" {
			return found
		}
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("no %s within %v", what, awaitLimit)
		}
	}
}

// scriptAwaits is `awaits PATTERN COMMAND...`: the command, again and again until its
// output has the pattern.
func scriptAwaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: awaits PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	await(ts, "output like "+args[0], func() string {
		ts.Check(ts.Exec(args[1], args[2:]...))
		return pattern.FindString(ts.ReadFile("stdout"))
	})
}

// scriptDial waits until the home's socket answers.
func scriptDial(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: dial SOCKET")
	}
	await(ts, "socket "+args[0], func() string {
		conn, err := net.Dial("unix", args[0])
		if err != nil {
			return ""
		}
		ts.Check(conn.Close())
		return args[0]
	})
}

var addressForm = regexp.MustCompile(`listening: address="?(127\.0\.0\.1:\d+)`)

// scriptAddress is `address VARIABLE LOG`: where the daemon of the log listens.
func scriptAddress(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: address VARIABLE LOG")
	}
	log := ts.MkAbs(args[1])
	ts.Setenv(args[0], await(ts, "address in "+args[1], func() string {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%v", err)
		}
		if found := addressForm.FindSubmatch(text); found != nil {
			return string(found[1])
		}
		return ""
	}))
}

// scriptHTTP is `http STATUS METHOD URL [BODY [TOKEN]]`; the answer is the output.
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 5 {
		ts.Fatalf("usage: http STATUS METHOD URL [BODY [TOKEN]]")
	}
	args = append(args, "", "")
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, args[1], args[2], strings.NewReader(args[3]))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	if args[4] != "" {
		request.Header.Set("Authorization", "Bearer "+args[4])
	}
	answer, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	_, err = fmt.Fprintf(ts.Stdout(), "%s", body)
	ts.Check(err)
	ts.Setenv("CONTENT_TYPE", answer.Header.Get("Content-Type"))
	if got := strconv.Itoa(answer.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s: %s", got, args[0], body)
	}
}

// scriptMode is `mode OCTAL PATH...`.
func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: mode OCTAL PATH...")
	}
	for _, path := range args[1:] {
		info, err := os.Stat(ts.MkAbs(path))
		ts.Check(err)
		if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", path, got, args[0])
		}
	}
}

// scriptFill is `fill BYTES PATH`: a file of that many spaces.
func scriptFill(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: fill BYTES PATH")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), bytes.Repeat([]byte{' '}, n), 0o600))
}

// scriptFlipJSON is `flipjson FILE`: one character in the middle of the file, the
// first letter or digit from there on, is another.
func scriptFlipJSON(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: flipjson FILE")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	for i := len(data) / 2; i < len(data); i++ {
		if c := data[i]; c >= 'a' && c < 'z' {
			data[i]++
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
			return
		}
	}
	ts.Fatalf("%s has no letter in its second half", args[0])
}

// scriptSnapshot is `snapshot DIR`: the names of all files of DIR go to the
// output, so that two can be compared.
func scriptSnapshot(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: snapshot DIR")
	}
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(ts.Stdout(), strings.TrimPrefix(path, root))
		return err
	}))
}

// scriptCraft is `craft KIND FROM TO`: what somebody without the key can make of a
// signed bundle. tampered: one byte of the module is another. unproven: the
// provenance is taken off.
func scriptCraft(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: craft KIND FROM TO")
	}
	edit := map[string]func(name string, data []byte) []byte{"tampered": tampered, "unproven": unproven}[args[0]]
	if edit == nil {
		ts.Fatalf("there is no kind %q", args[0])
	}
	raw, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	var out bytes.Buffer
	reader, writer := tar.NewReader(bytes.NewReader(raw)), tar.NewWriter(&out)
	changed := false
	for {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		ts.Check(err)
		data, err := io.ReadAll(reader)
		ts.Check(err)
		edited := edit(header.Name, bytes.Clone(data))
		changed = changed || !bytes.Equal(edited, data)
		header.Size = int64(len(edited))
		ts.Check(writer.WriteHeader(header))
		_, err = writer.Write(edited)
		ts.Check(err)
	}
	ts.Check(writer.Close())
	if !changed {
		ts.Fatalf("nothing of %s was changed", args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), out.Bytes(), 0o600))
}

func tampered(_ string, data []byte) []byte {
	if bytes.HasPrefix(data, []byte("\x00asm")) {
		data[len(data)-1] ^= 1
	}
	return data
}

// unproven drops the last document that is attached, which is the provenance: a
// bundle is signed first.
func unproven(name string, data []byte) []byte {
	if name != "index.json" {
		return data
	}
	var index map[string]any
	if json.Unmarshal(data, &index) != nil {
		return data
	}
	attached := index["manifests"].([]any)
	index["manifests"] = attached[:len(attached)-1]
	return mustJSON(index)
}

// mustJSON encodes what was decoded from JSON.
func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// scriptFlipModules is `flipmodules DIR`: one byte of every WebAssembly module
// under the directory is another.
func scriptFlipModules(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: flipmodules DIR")
	}
	flipped := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(data, []byte("\x00asm")) {
			return err
		}
		flipped++
		data[len(data)-1] ^= 1
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600))
	}))
	if flipped == 0 {
		ts.Fatalf("%s holds no module", args[0])
	}
}
