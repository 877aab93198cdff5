package main

import (
	"testing"

	"github.com/writ-run/writ/sdk/sdktest"
)

func TestGreet(t *testing.T) {
	host := sdktest.New(t)
	out, err := greet(host.Context(), In{Name: "Ada"})
	if err != nil || out.Greeting != "Hello, Ada!" {
		t.Errorf("greet = %+v, %v", out, err)
	}
	if calls := host.Calls(""); len(calls) != 0 {
		t.Errorf("greet used tools: %v", calls)
	}
}

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }
