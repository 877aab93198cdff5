package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
)

// layersFile of a directory of kept files is a list of layers in place of a bundle.
const layersFile = "layers.json"

// maxLayersFile is above any list of two layers, which has about 200 bytes.
const maxLayersFile = 4096

// bundleLayers are those that a bundle is activated in, highest first. Above them
// is the floor, which is code.
var bundleLayers = []writ.Layer{writ.LayerOrganisation, writ.LayerTenant}

// part is one layer of a law.
type part struct {
	layer  writ.Layer
	policy *Policy
}

// law asks each layer that has a bundle and answers the strictest of what they
// say. It implements writ.Judge. With one bundle it answers as that one, under
// its name.
type law struct {
	ref   writ.PolicyRef
	parts []part // highest first
}

var (
	_ writ.Judge        = (*law)(nil)
	_ writ.Declassifier = (*law)(nil)
)

func newLaw(parts []part) (*law, error) {
	if len(parts) == 1 {
		return &law{ref: parts[0].policy.ref, parts: parts}, nil
	}
	list, err := layerList(parts).encode()
	if err != nil {
		return nil, err
	}
	versions := make([]string, len(parts))
	for i, p := range parts {
		versions[i] = string(p.layer) + " " + p.policy.ref.Version
	}
	ref := writ.PolicyRef{Digest: canon.Sum(canon.DomainPolicyLayers, list), Version: strings.Join(versions, ", ")}
	return &law{ref: ref, parts: parts}, nil
}

// Policy implements writ.Judge.
func (l *law) Policy() writ.PolicyRef { return l.ref }

// Judge implements writ.Judge. A layer's fault is its blocked verdict. CodeCancelled
// where ctx ended before every layer has answered.
func (l *law) Judge(ctx context.Context, q *writ.Question) (*writ.Verdict, error) {
	if len(l.parts) == 1 {
		return l.parts[0].policy.Judge(ctx, q)
	}
	alters := slices.ContainsFunc(l.parts, func(p part) bool { return p.policy.alters })
	verdicts, asked := make([]*writ.Verdict, len(l.parts)), l.parts[0].policy.memory.ask(q, alters)
	for i := range l.parts {
		v, err := l.parts[i].policy.judgeAsked(ctx, asked)
		if err != nil {
			return nil, err
		}
		verdicts[i] = v
	}
	v := join(l.parts, verdicts)
	clamp(q, v)
	v.PolicyDigest, v.PolicyVersion = l.ref.Digest, l.ref.Version
	return v, nil
}

// in is the bundle of a layer; nil where it has none.
func (l *law) in(layer writ.Layer) *Policy {
	for _, p := range l.parts {
		if p.layer == layer {
			return p.policy
		}
	}
	return nil
}

// with is the law with another bundle in a layer; nil empties it.
func (l *law) with(layer writ.Layer, policy *Policy) (*law, error) {
	var parts []part
	for _, of := range bundleLayers {
		p := l.in(of)
		if of == layer {
			p = policy
		}
		if p != nil {
			parts = append(parts, part{of, p})
		}
	}
	return newLaw(parts)
}

// layered is the document that names what a law asks. Its digest stands in
// verdicts, so it is kept as long as bundles are.
type layered struct {
	Layers []layeredBundle `json:"layers"`
}

type layeredBundle struct {
	Layer  writ.Layer  `json:"layer"`
	Bundle writ.Digest `json:"bundle"`
}

func layerList(parts []part) *layered {
	list := &layered{}
	for _, p := range parts {
		list.Layers = append(list.Layers, layeredBundle{p.layer, p.policy.ref.Digest})
	}
	return list
}

func (l *layered) encode() ([]byte, error) {
	raw, err := canon.MarshalJSON(l)
	if err != nil {
		return nil, writ.Errorf(writ.CodeInternal, "policy layers", "%w", err)
	}
	return raw, nil
}

// parseLayers takes exactly what encode gives: each layer once, highest first,
// and at least two, since one bundle is named by its own digest. CodeTampered.
func parseLayers(raw []byte) (*layered, error) {
	const op = "policy layers"
	var list layered
	if len(raw) > maxLayersFile || json.Unmarshal(raw, &list) != nil || len(list.Layers) < 2 {
		return nil, writ.Errorf(writ.CodeTampered, op, "the list does not decode")
	}
	next := bundleLayers
	for _, one := range list.Layers {
		for len(next) > 0 && next[0] != one.Layer {
			next = next[1:]
		}
		if len(next) == 0 || !one.Bundle.Valid() {
			return nil, writ.Errorf(writ.CodeTampered, op, "the list names a layer that is unknown, twice there or out of order")
		}
		next = next[1:]
	}
	again, err := list.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, raw) {
		return nil, writ.Errorf(writ.CodeTampered, op, "the list is not in its canonical form")
	}
	return &list, nil
}
