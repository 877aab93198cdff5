//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// stored measures what an execution takes on disk: the tables of a store that was
// closed, which has written to them all that was in memory and in logs. What is
// preallocated, the ballast and files that do not grow with executions are left out.
func (s *suite) stored(ctx context.Context, _ time.Duration) ([]row, error) {
	const executions, clients = 5000, 32
	l, err := s.labIn(ctx, labOptions{}, "c")
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	plan := chain(conformance("c"), 3)
	if err := repeat(ctx, executions, clients, func(ctx context.Context) error { return l.whole(ctx, plan) }); err != nil {
		return nil, err
	}
	if err := l.shut(ctx); err != nil {
		return nil, err
	}
	bytes, err := tables(l.dir)
	if err != nil {
		return nil, err
	}
	return []row{{"on disk per execution of 3 steps, C skill, tables after a close", float64(bytes) / executions / 1024, "KiB", 0, "lower"}}, nil
}

// tables are the bytes of a home's tables.
func tables(dir string) (bytes int64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	return bytes, nil
}
