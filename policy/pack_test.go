package policy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/writ-run/writ"
)

func ecdsaPair(t *testing.T, curve elliptic.Curve) (public, private []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pubDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pubDER}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// What is packed is the same bundle, verifies with OPA's own reader under the key
// that signed, and under no other.
func TestPack(t *testing.T) {
	b, err := newBundle(eyesFiles())
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate := keyPair(t)
	esPublic, esPrivate := ecdsaPair(t, elliptic.P256())
	for name, key := range map[string]struct{ public, private, other []byte }{
		"EdDSA": {edPublic, edPrivate, esPublic}, "ES256": {esPublic, esPrivate, edPublic},
	} {
		archive, err := b.Pack("ops", key.private)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := ReadBundle(archive)
		if err != nil || again.Ref() != b.Ref() {
			t.Fatalf("%s: got %v, %v", name, again, err)
		}
		if who, err := again.Verify(map[string]string{"ours": string(key.public)}); err != nil || who != "ours" {
			t.Errorf("%s: got %q, %v", name, who, err)
		}
		if _, err := again.Verify(map[string]string{"ours": string(key.other)}); !writ.IsCode(err, writ.CodeTampered) {
			t.Errorf("%s: another key: %v", name, err)
		}
		// Signing again takes the place of an earlier signature.
		twice, err := again.Pack("ops", key.private)
		if err != nil {
			t.Fatal(err)
		}
		if name == "EdDSA" && !bytes.Equal(twice, archive) {
			t.Error("the same files and key are other bytes")
		}
	}
	_, p384 := ecdsaPair(t, elliptic.P384())
	for name, key := range map[string][]byte{"P-384": p384, "no PEM": []byte("x"), "a public key": edPublic} {
		if _, err := b.Pack("ops", key); !writ.IsCode(err, writ.CodeInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCoverageNamesTheLinesThatNoTestReaches(t *testing.T) {
	files := map[string][]byte{
		manifestFile:  []byte(`{"revision":"t","roots":["writ"]}`),
		"p.rego":      []byte("package writ\n\nstep := 1 if input.point == \"step\"\n\ncall := 2 if {\n\tinput.point == \"call\"\n\tinput.time\n}\n"),
		"q.rego":      []byte("package writ.lib\n"),
		"p_test.rego": []byte("package writ.p_test\n\nimport data.writ\n\ntest_step if writ.step == 1 with input as {\"point\": \"step\"}\n"),
	}
	b, err := newBundle(files)
	if err != nil {
		t.Fatal(err)
	}
	report, err := RunTests(t.Context(), b)
	if err != nil || len(report.Files) != 2 {
		t.Fatalf("got %+v, %v", report, err)
	}
	p, q := report.Files[0], report.Files[1]
	if p.File != "p.rego" || !slices.Equal(p.Uncovered, []string{"5", "6", "7"}) || p.Lines != 4 || p.Coverage != 25 || report.Coverage != 25 {
		t.Errorf("got %+v of %v", p, report.Coverage)
	}
	if q.File != "q.rego" || q.Lines != 0 || q.Coverage != 100 {
		t.Errorf("got %+v", q)
	}
}
