package policy

import (
	"context"
	"testing"
)

func TestDefaultBundlePasses(t *testing.T) {
	b, err := DefaultBundle()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Compile(t.Context(), b, 0); err != nil {
		t.Fatal(err)
	}
	r, err := RunTests(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Cases {
		if !c.Passed {
			t.Error(c.Name, c.Message)
		}
	}
	t.Log(len(r.Cases), r.Coverage)
}
