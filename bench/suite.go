//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/bench/home"
	"github.com/writ-run/writ/registry"
)

// languages are those of the conformance skill, as examples/conformance has them.
var languages = []string{"c", "rust", "assemblyscript", "go"}

var names = map[string]string{"c": "C", "rust": "Rust", "assemblyscript": "AssemblyScript", "go": "Go"}

// suite is what a run measures with: a lab with the hand-made skill alone, and
// what the measurements that need more make at their first use.
type suite struct {
	*lab
	program string // writ, by its absolute path
	flood   bool   // hold 2,000 deliveries/s for a minute
	drafts  map[string]registry.Draft
	babel   *lab // with the conformance skill in each language
}

func newSuite(ctx context.Context, program string) (*suite, error) {
	absolute, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	l, err := newLab(ctx, labOptions{})
	return &suite{lab: l, program: absolute, drafts: map[string]registry.Draft{}}, err
}

func (s *suite) close(ctx context.Context) {
	s.lab.close(ctx)
	if s.babel != nil {
		s.babel.close(ctx)
	}
}

// draft is the conformance skill in a language, as `writ skill build` packs it.
func (s *suite) draft(ctx context.Context, language string) (registry.Draft, error) {
	if d, built := s.drafts[language]; built {
		return d, nil
	}
	if _, err := os.Stat(s.program); err != nil {
		return registry.Draft{}, fmt.Errorf("%w: run `make build`, or name the binary with -writ", err)
	}
	file := filepath.Join(s.dir, language+".skill")
	if err := home.Build(ctx, s.program, language, file); err != nil {
		return registry.Draft{}, err
	}
	bundle, err := os.ReadFile(file)
	if err != nil {
		return registry.Draft{}, err
	}
	read, err := registry.Inspect(bundle)
	if err != nil {
		return registry.Draft{}, err
	}
	s.drafts[language] = registry.Draft{Manifest: read.Manifest, Module: read.Module}
	return s.drafts[language], nil
}

// labIn is a lab with the conformance skill in some languages.
func (s *suite) labIn(ctx context.Context, o labOptions, languages ...string) (*lab, error) {
	for _, language := range languages {
		d, err := s.draft(ctx, language)
		if err != nil {
			return nil, err
		}
		o.drafts = append(o.drafts, d)
	}
	return newLab(ctx, o)
}

// inEachLanguage is a lab on disk, which lives as long as the suite: its sandbox
// compiles the module in Go once, which takes seconds.
func (s *suite) inEachLanguage(ctx context.Context) (*lab, error) {
	if s.babel != nil {
		return s.babel, nil
	}
	var err error
	s.babel, err = s.labIn(ctx, labOptions{}, languages...)
	return s.babel, err
}

// conformance is the key of the skill in a language.
func conformance(language string) writ.SkillKey {
	return writ.SkillKey(home.Publisher + "/" + language)
}

// echo runs a skill's echo in the bare sandbox.
func (l *lab) echo(ctx context.Context, key writ.SkillKey) error {
	return l.guest(ctx, key, "echo", `{"n":1}`)
}

// guest runs an action in the bare sandbox, without an engine, a policy or a
// journal. Its failure is an error.
func (l *lab) guest(ctx context.Context, key writ.SkillKey, action, in string) error {
	skill, input := l.skills[key], []byte(in)
	scope := writ.PermitScope{Tenant: l.caller.Tenant, Skill: skill.SkillRef}
	permit, err := writ.MintPermit(scope, writ.PermitEvidence{Verdict: &writ.Verdict{Mode: writ.Autonomous, Risk: writ.RiskLow}, Input: input})
	if err != nil {
		return err
	}
	defer permit.Close()
	result, err := l.sandbox.Run(ctx, &writ.GuestRun{
		Permit: permit, Module: skill.Module, Digest: skill.SkillRef.Module, ABI: skill.Manifest.ABI, Action: action, Input: input, Start: 1,
		Limits: skill.Manifest.Limits, Manifest: skill.Manifest, Gate: noTools{},
	})
	if err == nil && result.Failure != nil {
		err = result.Failure
	}
	return err
}

// trap has a guest end in a way that leaves its instance to nobody: the next run
// begins with a new one.
func (l *lab) trap(ctx context.Context, key writ.SkillKey) error {
	err := l.guest(ctx, key, "trap", `{}`)
	if failure := (*abi.Failure)(nil); errors.As(err, &failure) && failure.Code == writ.GuestTrapped {
		return nil
	}
	return fmt.Errorf("%s: the action trap ended with %v", key, err)
}

// noTools is the gate of a guest that calls none.
type noTools struct{}

func (noTools) Call(context.Context, string, []byte) (*writ.ToolReply, error) {
	return nil, writ.Errorf(writ.CodeForbidden, "bench", "no tool is expected")
}
