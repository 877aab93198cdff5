//go:build !wasip1

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestServes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"-token", "t", "-secret", "s"}, in, io.Discard) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatal(err, line)
	}
	answer, err := http.Post(url+"/api/chat.postMessage", "application/x-www-form-urlencoded", strings.NewReader("channel=C0TRIAGE&text=x"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if raw, err := io.ReadAll(answer.Body); err != nil || !bytes.Contains(raw, []byte("not_authed")) {
		t.Errorf("%v %s", err, raw)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Error(code)
	}
}

func TestRefusesToStart(t *testing.T) {
	tests := []struct {
		args []string
		code int
		said string
	}{
		{[]string{"-token", "t"}, 1, "no token or no secret"},
		{[]string{"-token", "t", "-secret", "s", "-addr", "0.0.0.0:0"}, 1, "no loopback address"},
		{[]string{"-nonsense"}, 2, "flag provided but not defined"},
	}
	for _, tt := range tests {
		var stderr bytes.Buffer
		if code := run(t.Context(), tt.args, io.Discard, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.said) {
			t.Errorf("run %v = %d %s, want %d %s", tt.args, code, stderr.String(), tt.code, tt.said)
		}
	}
}
