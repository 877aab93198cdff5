//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// profileStrings is the field of profile.proto that holds all strings, which other
// fields name by their place.
const profileStrings = 6

// withoutPaths removes the paths of this machine from a profile, which is committed
// for the compiler: that looks at the names of functions and at lines alone.
func withoutPaths(file string) error {
	packed, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(zip)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	to, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	for len(raw) > 0 {
		_, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		field := raw[:n]
		number, kind, tag := protowire.ConsumeTag(field)
		if number == profileStrings && kind == protowire.BytesType {
			if text, _ := protowire.ConsumeBytes(field[tag:]); strings.HasPrefix(string(text), "/") {
				field = protowire.AppendBytes(protowire.AppendTag(nil, number, kind), nil)
			}
		}
		if _, err := to.Write(field); err != nil {
			return err
		}
		raw = raw[n:]
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}
