package registry

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/keyless/keylesstest"
)

func TestRootUpdatesByTUF(t *testing.T) {
	h := bareHome(t)
	sigstore := keylesstest.New(t, epoch)
	repository := keylesstest.NewRepository(t, t.TempDir())
	server := httptest.NewServer(http.FileServer(http.Dir(repository.Dir)))
	defer server.Close()
	in := &contract.TrustRootUpdateInput{URL: server.URL, TUFRoot: string(repository.Root)}
	update := func() (*contract.TrustRootOutput, error) { return h.TrustRootUpdate(h.ctx, in) }
	refused := func(name string, want writ.Code) {
		t.Helper()
		records := len(h.memory.records)
		if _, err := update(); !writ.IsCode(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if len(h.memory.records) != records {
			t.Errorf("%s: something was recorded", name)
		}
	}
	first := sigstore.Root(keylesstest.Trusted{})
	repository.Publish(1, "trusted_root.json", first, time.Hour)
	old, err := os.ReadFile(filepath.Join(repository.Dir, "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := update()
	if err != nil || out.Root.Name != DefaultRoot || out.Root.Source != server.URL || out.Root.TimestampAuthorities != 1 {
		t.Fatal(err, out)
	}
	h.now = h.now.Add(time.Minute)
	repository.Publish(2, "trusted_root.json", sigstore.Root(keylesstest.Trusted{Log: true}), time.Hour)
	if out, err = update(); err != nil || out.Root.Logs != 1 {
		t.Fatal(err, out)
	}
	// A mirror that shows an older state, or the same one for ever.
	if err := os.WriteFile(filepath.Join(repository.Dir, "timestamp.json"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("rollback", writ.CodeTampered)
	repository.Publish(3, "trusted_root.json", first, -time.Minute)
	refused("freeze", writ.CodeTampered)
	// Somebody else's repository under the same address.
	in.TUFRoot = string(keylesstest.NewRepository(t, t.TempDir()).Root)
	h.opts.Metadata = t.TempDir()
	refused("another root.json", writ.CodeTampered)
	in.TUFRoot = string(repository.Root)
	repository.Publish(4, "trusted_root.json", []byte("{}"), time.Hour)
	refused("not a root", writ.CodeInvalid)
	in.Target = "../../etc/passwd"
	refused("a target outside", writ.CodeInvalid)
	in.Target, in.Name = "", "../x"
	refused("a name outside", writ.CodeInvalid)
	in.Name, in.TUFRoot = "", ""
	refused("no root.json", writ.CodeInvalid)
	in.TUFRoot, in.URL = string(repository.Root), "file:///etc"
	refused("no URL", writ.CodeInvalid)
	in.URL = server.URL
	server.Close()
	refused("nobody is there", writ.CodeUnavailable)

	list, err := h.TrustList(h.ctx, &contract.TrustListInput{})
	if err != nil || len(list.Roots) != 1 || list.Roots[0].Logs != 1 {
		t.Errorf("the last good root stays: %v %+v", err, list)
	}
}
