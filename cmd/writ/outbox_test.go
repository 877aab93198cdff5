package main

import (
	"testing"

	"github.com/writ-run/writ/channel"
)

// TestEachProviderSaysHowItsThreadsAreWritten, of those in which something can be said.
func TestEachProviderSaysHowItsThreadsAreWritten(t *testing.T) {
	forms := 0
	for _, adapter := range adapters() {
		provider := adapter.Traits().Provider
		_, speaks := adapter.(channel.Speaker)
		if has := threadForms[provider] != ""; has != speaks {
			t.Errorf("%s: it speaks: %v, a form: %v", provider, speaks, has)
		} else if has {
			forms++
		}
	}
	if forms != len(threadForms) {
		t.Errorf("%d forms of %d providers", len(threadForms), forms)
	}
}
