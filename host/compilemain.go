package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"

	"github.com/tetratelabs/wazero"
)

// maxJob bounds the line before the module: four numbers.
const maxJob = 1 << 10

// CompileMain is the whole life of the process that Options.CompileCommand starts:
// it bounds itself, reads one module from stdin, leaves its compiled form in the
// working directory, which is its own, and gives the exit code. Call it before
// anything else is opened or read, and end the process when it returns; it returns
// early when stdin ends, for then the host that asked is gone.
func CompileMain(stdin io.Reader, stdout io.Writer) int {
	in := bufio.NewReader(stdin)
	job, module, err := readJob(in, stdout)
	if err != nil {
		return complain(stdout, err)
	}
	ended := make(chan error, 2)
	go func() { ended <- compileHere(module, job.Metered) }()
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- errors.Join(errNoJob, err)
	}()
	if err := <-ended; err != nil {
		return complain(stdout, err)
	}
	return 0
}

func complain(stdout io.Writer, err error) int {
	_, _ = fmt.Fprint(stdout, err) // for people; the exit code is the answer
	if errors.As(err, new(*moduleError)) {
		return compileRefused
	}
	return compileFault
}

// readJob sets the limits between the job and its module: nothing that was not
// written by the host is read without them.
func readJob(in *bufio.Reader, stdout io.Writer) (*compileJob, []byte, error) {
	var line []byte
	for len(line) < maxJob {
		b, err := in.ReadByte()
		if err != nil {
			return nil, nil, errors.Join(errNoJob, err)
		}
		if b == '\n' {
			break
		}
		line = append(line, b)
	}
	var job compileJob
	if err := json.Unmarshal(line, &job); err != nil {
		return nil, nil, errors.Join(errNoJob, err)
	}
	if job.Module < 0 || job.CPU <= 0 || job.Memory <= 0 || job.Code <= 0 {
		return nil, nil, errNoJob
	}
	if err := limitProcess(&job); err != nil {
		return nil, nil, err
	}
	// From half of it on the collector works harder rather than take more.
	debug.SetMemoryLimit(job.Memory / 2)
	if _, err := io.WriteString(stdout, compileReady); err != nil {
		return nil, nil, err
	}
	module := make([]byte, job.Module)
	if _, err := io.ReadFull(in, module); err != nil {
		return nil, nil, err
	}
	return &job, module, nil
}

// compileHere compiles into the working directory.
func compileHere(module []byte, metered bool) error {
	ctx := context.Background()
	cache, err := wazero.NewCompilationCacheWithDir(".")
	if err != nil {
		return err
	}
	r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(metered).WithCompilationCache(cache))
	_, err = r.CompileModule(ctx, module)
	switch {
	case errors.Is(err, errFileTooLarge):
		return &moduleError{"its compiled form is too large"}
	case errors.As(err, new(*fs.PathError)):
		return err
	}
	return asModuleError(err)
}
