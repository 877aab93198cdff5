package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/host/wasmtest"
	"github.com/writ-run/writ/registry"
	"github.com/writ-run/writ/shelf"
)

const manifest = `{apiVersion: writ/v1, name: acme/echo, version: 1.0.0, description: Echoes., abi: writ/v1, actions: [
  {name: say, description: Says it., effects: [none], input: {type: object}, output: {type: object}}]}`

func TestPack(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	m, err := registry.ParseManifest("skill.yaml", []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := registry.Pack(m, wasmtest.Echo())
	if err != nil {
		t.Fatal(err)
	}
	key, err := registry.GenerateKey(registry.KeyECDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := registry.Sign(bundle, registry.SignRequest{Key: key, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "shelf")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "usage"},
		{[]string{archive, filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{archive, file("bad.skill", []byte("x"))}, 1, "bad.skill"},
		{[]string{archive, file("unsigned.skill", bundle)}, 1, "nobody has signed it"},
		{[]string{archive, file("echo.skill", signed)}, 0, "1 skills"},
	} {
		var out, errs bytes.Buffer
		if code := run(c.args, &out, &errs); code != c.code || !strings.Contains(out.String()+errs.String(), c.says) {
			t.Errorf("%v is %d: %s%s", c.args, code, &out, &errs)
		}
	}
	raw, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	s, err := shelf.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Bundle("acme/echo"); err != nil || !bytes.Equal(got, signed) || s.Entries()[0].Actions[0] != "say" {
		t.Errorf("%+v, %v", s.Entries(), err)
	}
}
