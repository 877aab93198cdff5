package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

var (
	wanted  = canon.Sum(canon.DomainApproval, []byte("wanted"))
	another = canon.Sum(canon.DomainApproval, []byte("another"))
)

func sign(t testing.TB, key *ApproverKey, who writ.PrincipalID, digest writ.Digest) []byte {
	t.Helper()
	envelope, err := key.SignApproval(context.Background(), who, writ.Word{Digest: digest}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func newKey(t testing.TB) *ApproverKey {
	t.Helper()
	key, err := GenerateApproverKey(entropy(9))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// person adds a human with the key.
func (r *rig) person(t testing.TB, by *writ.Principal, id writ.PrincipalID, key *ApproverKey) *writ.Principal {
	t.Helper()
	public, err := key.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := r.add(t, by, contract.TokenCreateInput{PrincipalID: id, Kind: writ.Human, Roles: []string{"approver"}, ApproverPublicKeyPEM: string(public)})
	return p
}

func TestVerifyApproval(t *testing.T) {
	r := newRig(t)
	ada, adas := r.boot(t)
	bobs := newKey(t)
	bob := r.person(t, ada, "human:bob", bobs)
	bot := r.bot(t, ada)
	tests := []struct {
		name     string
		who      *writ.Principal
		envelope []byte
		ok       bool
	}{
		{"signed by ada", ada, sign(t, adas, ada.ID, wanted), true},
		{"signed by bob", bob, sign(t, bobs, bob.ID, wanted), true},
		{"not signed", ada, nil, false},
		{"replayed for another digest", ada, sign(t, adas, ada.ID, another), false},
		{"bob's key for ada", ada, sign(t, bobs, ada.ID, wanted), false},
		{"ada's envelope for bob", bob, sign(t, adas, ada.ID, wanted), false},
		{"ada's key, bob's name", ada, sign(t, adas, bob.ID, wanted), false},
		{"a key that nobody registered", ada, sign(t, mustKey(t, 7), ada.ID, wanted), false},
		{"an agent", bot, sign(t, adas, bot.ID, wanted), false},
		{"an agent with ada's envelope", bot, sign(t, adas, ada.ID, wanted), false},
		{"nobody", nil, sign(t, adas, ada.ID, wanted), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := r.verify(t.Context(), test.who, writ.Word{Digest: wanted}, test.envelope)
			if test.ok && err != nil {
				t.Error(err)
			}
			if !test.ok {
				wantCode(t, err, writ.CodeForbidden)
			}
		})
	}
	agent := *ada
	agent.Kind = writ.Agent
	wantCode(t, r.verify(t.Context(), &agent, writ.Word{Digest: wanted}, sign(t, adas, ada.ID, wanted)), writ.CodeForbidden)
	elsewhere := *ada
	elsewhere.Tenant = "other"
	wantCode(t, r.verify(t.Context(), &elsewhere, writ.Word{Digest: wanted}, sign(t, adas, ada.ID, wanted)), writ.CodeForbidden)
	wantCode(t, r.verify(t.Context(), ada, writ.Word{}, sign(t, adas, ada.ID, wanted)), writ.CodeForbidden)
}

// TestAWordSaysForWhom: what is signed in one's own name does not count in
// another's, nor the other way round.
func TestAWordSaysForWhom(t *testing.T) {
	r := newRig(t)
	ada, key := r.boot(t)
	for _, signed := range []writ.PrincipalID{"", "human:bob", "human:eve"} {
		envelope, err := key.SignApproval(t.Context(), ada.ID, writ.Word{Digest: wanted, For: signed}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range []writ.PrincipalID{"", "human:bob", "human:eve"} {
			err := r.verify(t.Context(), ada, writ.Word{Digest: wanted, For: asked}, envelope)
			if signed == asked && err != nil {
				t.Errorf("for %q: %v", asked, err)
			}
			if signed != asked {
				wantCode(t, err, writ.CodeForbidden)
			}
		}
	}
}

func mustKey(t testing.TB, seed byte) *ApproverKey {
	t.Helper()
	key, err := GenerateApproverKey(entropy(seed))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// envelopeOf signs any payload with the key.
func envelopeOf(t testing.TB, key *ApproverKey, kind, payload string) []byte {
	t.Helper()
	signer, err := dsse.NewEnvelopeSigner(edSigner{key.private})
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := signer.SignPayload(context.Background(), kind, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestHostileStatements(t *testing.T) {
	r := newRig(t)
	ada, key := r.boot(t)
	good := fmt.Sprintf(`{"_type":%q,"predicate":{"approver":"human:ada","at":"2026-01-01T00:00:00.000000000Z","decision":"approved"},"predicateType":%q,"subject":[{"digest":{"sha256":%q},"name":"approval"}]}`,
		statementType, predicateApproval, wanted.Hex())
	if err := r.verify(t.Context(), ada, writ.Word{Digest: wanted}, envelopeOf(t, key, payloadType, good)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	change := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the statement", old)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	payloads := map[string]string{
		"rejected":              change(`"approved"`, `"rejected"`),
		"no decision":           change(`,"decision":"approved"`, ``),
		"two decisions":         change(`"decision":"approved"`, `"decision":"rejected","decision":"approved"`),
		"another predicate":     change(predicateApproval, "https://slsa.dev/provenance/v1"),
		"another type":          change(statementType, "https://in-toto.io/Statement/v0.1"),
		"another subject":       change(`"name":"approval"`, `"name":"plan"`),
		"two subjects":          change(`"subject":[`, `"subject":[{"name":"approval","digest":{}},`),
		"two digests":           change(`{"sha256":`, `{"sha512":"x","sha256":`),
		"no subject":            change(`[{"digest":{"sha256":"`+wanted.Hex()+`"},"name":"approval"}]`, `[]`),
		"upper case digest":     change(wanted.Hex(), strings.ToUpper(wanted.Hex())),
		"unknown member":        change(`{"_type"`, `{"extra":1,"_type"`),
		"another approver":      change("human:ada", "human:bob"),
		"not JSON":              "approved",
		"an array":              "[" + good + "]",
		"two documents":         good + good,
		"empty":                 "",
		"deep":                  strings.Repeat("[", 10_000),
		"case of a member name": change(`"decision"`, `"Decision"`) + " ",
	}
	for name, payload := range payloads {
		t.Run(name, func(t *testing.T) {
			err := r.verify(t.Context(), ada, writ.Word{Digest: wanted}, envelopeOf(t, key, payloadType, payload))
			if name == "case of a member name" {
				return // encoding/json reads it as the same member, and it was signed
			}
			wantCode(t, err, writ.CodeForbidden)
		})
	}
	wantCode(t, r.verify(t.Context(), ada, writ.Word{Digest: wanted}, envelopeOf(t, key, "application/json", good)), writ.CodeForbidden)
	for name, envelope := range map[string]string{
		"not JSON":     "x",
		"no signature": `{"payloadType":"` + payloadType + `","payload":"` + base64.StdEncoding.EncodeToString([]byte(good)) + `","signatures":[]}`,
		"null":         "null",
		"too large":    `{"payload":"` + strings.Repeat("A", maxEnvelope) + `"}`,
	} {
		t.Run("envelope "+name, func(t *testing.T) {
			wantCode(t, r.verify(t.Context(), ada, writ.Word{Digest: wanted}, []byte(envelope)), writ.CodeForbidden)
		})
	}
}

// Any byte that is changed in a good envelope must not verify, unless the change
// is one that JSON or base64 does not see.
func FuzzVerifyApproval(f *testing.F) {
	r := newRig(f)
	ada, key := r.boot(f)
	good := sign(f, key, ada.ID, wanted)
	f.Add(good)
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}`))
	f.Add([]byte(`{}`))
	var reference dsse.Envelope
	if err := json.Unmarshal(good, &reference); err != nil {
		f.Fatal(err)
	}
	payload, err := reference.DecodeB64Payload()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r.verify(context.Background(), ada, writ.Word{Digest: wanted}, raw) != nil {
			return
		}
		var envelope dsse.Envelope
		if err := json.Unmarshal(raw, &envelope); err != nil {
			t.Fatalf("verified and does not decode: %v", err)
		}
		if got, err := envelope.DecodeB64Payload(); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("something else verified: %q, %v", got, err)
		}
	})
}

func TestKeyBelongsToOnePerson(t *testing.T) {
	r := newRig(t)
	ada, key := r.boot(t)
	public, err := key.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	in := contract.TokenCreateInput{PrincipalID: "human:eve", Kind: writ.Human, Roles: []string{"approver"}, ApproverPublicKeyPEM: string(public)}
	_, err = r.TokenCreate(as(ada), &in)
	wantCode(t, err, writ.CodeConflict)
	in.ApproverPublicKeyPEM = string(public) + string(public)
	_, err = r.TokenCreate(as(ada), &in)
	wantCode(t, err, writ.CodeInvalid)
	if _, err = r.TokenCreate(as(ada), &contract.TokenCreateInput{PrincipalID: ada.ID, ApproverPublicKeyPEM: string(public)}); err != nil {
		t.Errorf("registering one's own key again: %v", err)
	}
}

func TestSealedKey(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	_, err := key.Seal([]byte("1234567"))
	wantCode(t, err, writ.CodeInvalid)
	sealed, err := key.Seal([]byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, key.private.Seed()) || !bytes.HasPrefix(sealed, []byte("-----BEGIN AGE ENCRYPTED FILE-----")) {
		t.Errorf("got %q", sealed)
	}
	opened, err := OpenApproverKey(sealed, []byte("12345678"))
	if err != nil || !opened.private.Equal(key.private) {
		t.Errorf("got %v, %v", opened, err)
	}
	_, err = OpenApproverKey(sealed, []byte("12345679"))
	wantCode(t, err, writ.CodeForbidden)
	_, err = OpenApproverKey(sealed, nil)
	wantCode(t, err, writ.CodeForbidden)
	for _, damaged := range [][]byte{nil, []byte("x"), sealed[:len(sealed)/4]} {
		_, err = OpenApproverKey(damaged, []byte("12345678"))
		wantCode(t, err, writ.CodeTampered)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", key, key, key, key); strings.Contains(text, fmt.Sprint([]byte(key.private)[0:4])[1:10]) || !strings.Contains(text, "approver key") {
		t.Errorf("the key is printed: %s", text)
	}
}
