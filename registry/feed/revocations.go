// Package feed reads signed lists of revocations: one target of a TUF repository.
// It tames the TUF client; what a list means is the registry's.
package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// Target is the path of the list in its TUF repository.
const Target = "revocations.json"

// APIVersion and Kind are what every list says of itself.
const (
	APIVersion = "writ/v1"
	Kind       = "Revocations"
)

// MaxEntries of one list: each load of a skill looks into it, and an index of all
// skills that a publisher ever took back has some hundreds.
const MaxEntries = 10_000

// maxReason and maxText bound what is shown to people.
const (
	maxReason = 1024
	maxText   = 1024
)

// Revocations is the list. Every entry takes something out; nothing in it can
// make anything trusted.
type Revocations struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Keys       []Key       `json:"keys,omitempty"`
	Publishers []Publisher `json:"publishers,omitempty"`
	Identities []Identity  `json:"identities,omitempty"`
	Digests    []Digest    `json:"digests,omitempty"`
	Skills     []Skill     `json:"skills,omitempty"`
	Minimums   []Minimum   `json:"minimums,omitempty"`
}

// Why stands in every entry.
type Why struct {
	Reason string    `json:"reason"`
	At     writ.Time `json:"at"`
}

// Key is the id of a key whose signatures count no more.
type Key struct {
	KeyID string `json:"keyId"` // base64 of the SHA-256 of the public key (PKIX, DER)
	Why
}

// Publisher is one of whom nothing counts any more.
type Publisher struct {
	Publisher string `json:"publisher"`
	Why
}

// Identity is a keyless signer: OIDC issuer and certificate subject, in which a
// star at the end is any ending.
type Identity struct {
	Issuer string `json:"issuer"`
	SAN    string `json:"san"`
	Why
}

// Digest is of a bundle's OCI manifest or of a module.
type Digest struct {
	Digest writ.Digest `json:"digest"`
	Why
}

// Skill is a range of versions; absent: all.
type Skill struct {
	Skill    writ.SkillKey `json:"skill"`
	Versions string        `json:"versions,omitempty"`
	Why
}

// Minimum is the least version that may be installed.
type Minimum struct {
	Skill   writ.SkillKey `json:"skill"`
	Version string        `json:"version"`
	Why
}

// Entries counts all lists.
func (r *Revocations) Entries() int {
	return len(r.Keys) + len(r.Publishers) + len(r.Identities) + len(r.Digests) + len(r.Skills) + len(r.Minimums)
}

var skillName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?/[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)

// Parse reads a list strictly: what an entry of an unknown kind would take out
// must not be passed over in silence. CodeInvalid with the place.
func Parse(raw []byte) (*Revocations, error) {
	const op = "feed: " + Target
	clean, err := canon.JSON(raw)
	if err != nil {
		return nil, &writ.Error{Code: writ.CodeInvalid, Op: op, Message: "not one JSON object", Err: err, Fix: askPublisher}
	}
	r := &Revocations{}
	decoder := json.NewDecoder(bytes.NewReader(clean))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(r); err != nil {
		return nil, invalid("", "%s", plain(err))
	}
	if r.APIVersion != APIVersion || r.Kind != Kind {
		return nil, invalid("/apiVersion", "want %s of kind %s", APIVersion, Kind)
	}
	if n := r.Entries(); n > MaxEntries {
		return nil, &writ.Error{Code: writ.CodeTooLarge, Op: op, Message: "it has more than 10000 entries", Fix: askPublisher}
	}
	return r, r.check()
}

const askPublisher = "tell who publishes the feed; what was known of it stays in force"

func invalid(place, format string, args ...any) error {
	e := writ.Errorf(writ.CodeInvalid, "feed: "+Target, format, args...).WithFix("%s", askPublisher)
	e.Place = place
	return e
}

// plain is the decoder's message without the names of Go types.
func plain(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return "member " + clip(wrong.Field) + " is of another type"
	}
	return clip(err.Error())
}

// check holds the form of every entry; semantic versions are the registry's.
func (r *Revocations) check() error {
	for i, e := range r.Keys {
		if err := entry("keys", i, e.Why, text(e.KeyID)); err != nil {
			return err
		}
	}
	for i, e := range r.Publishers {
		if err := entry("publishers", i, e.Why, skillName.MatchString(e.Publisher+"/x")); err != nil {
			return err
		}
	}
	for i, e := range r.Identities {
		if err := entry("identities", i, e.Why, text(e.Issuer) && text(e.SAN)); err != nil {
			return err
		}
	}
	for i, e := range r.Digests {
		if err := entry("digests", i, e.Why, e.Digest.Valid()); err != nil {
			return err
		}
	}
	for i, e := range r.Skills {
		if err := entry("skills", i, e.Why, skillName.MatchString(string(e.Skill)) && len(e.Versions) <= maxText); err != nil {
			return err
		}
	}
	for i, e := range r.Minimums {
		if err := entry("minimums", i, e.Why, skillName.MatchString(string(e.Skill)) && text(e.Version)); err != nil {
			return err
		}
	}
	return nil
}

func entry(list string, i int, why Why, ok bool) error {
	place := "/" + list + "/" + strconv.Itoa(i)
	if !ok {
		return invalid(place, "it names nothing that can be revoked")
	}
	if why.Reason == "" || len(why.Reason) > maxReason || why.At == 0 {
		return invalid(place, "want a reason of 1 to %d bytes and the time (at)", maxReason)
	}
	return nil
}

func text(s string) bool {
	return s != "" && len(s) <= maxText && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' || c == 0x7f })
}
