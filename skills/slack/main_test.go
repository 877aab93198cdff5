package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-run/writ/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

// No text without markup mentions anybody or hides a link.
func TestPlainTextIsPlain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text, err := words(rapid.StringMatching(`[<>&!@#a-z|: ]{1,40}x`).Draw(rt, "text"), false)
		if err != nil || strings.ContainsAny(text, "<>") {
			rt.Fatalf("%q, %v", text, err)
		}
	})
}
