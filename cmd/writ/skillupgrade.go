package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/canon"
	"github.com/writ-run/writ/contract"
)

// impactPageTime is how long one page of an impact may take: often enough for
// whoever looks at the progress.
const impactPageTime = 2 * time.Second

func (a *app) skillImpact() *cobra.Command {
	in := &contract.SkillImpactInput{}
	var since string
	var most int
	var within time.Duration
	c := &cobra.Command{
		Use: "impact FILE", Short: "See what a version would change, before it is installed", Args: exactly("FILE"),
		Long: `Verifies the bundle as an install would, then derives stored executions again in
which another version of the skill ran, with this one in its place: the same
intents, inputs, seeds, clocks and answers of tools. Lists every step whose outcome
would differ. Nothing is installed and no effect is performed. A call that has no
recorded answer makes the outcome unknown. A bundle that does not verify is only
described: exit 3.`,
		Example: "  writ skill impact notes-1.3.0.skill\n  writ skill impact notes-1.3.0.skill --since 7d --limit 5000 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.Since, err = a.since(since); err != nil {
				return err
			}
			install, err := a.bundleInput(args[0])
			if err != nil {
				return err
			}
			in.Source, in.Bundle = install.Source, install.Bundle
			out, err := a.impactPages(cmd.Context(), in, impactBounds{most: most, within: within})
			if err != nil {
				return err
			}
			if err := a.print(out, func(t *table) { a.impactTable(t, out) }); err != nil {
				return err
			}
			if !out.Verified {
				return exitError(exitDenied)
			}
			return nil
		},
	}
	c.Flags().StringVar(&since, "since", "30d", "executions of this last span, such as 30d or 12h; 0: all that are kept")
	c.Flags().IntVar(&most, "limit", 1000, "at most so many executions, newest first")
	c.Flags().DurationVar(&within, "within", time.Minute, "begin no further page of 2 seconds after this")
	return c
}

// since is the moment that a span before now begins; days are allowed.
func (a *app) since(span string) (writ.Time, error) {
	if span == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(span)
	if days, isDays := strings.CutSuffix(span, "d"); isDays {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, usage("--since %s: not a span of time", span).WithFix("write days or hours, such as 30d or 12h")
	}
	return canon.TimeOf(a.clock().Add(-d)), nil
}

type impactBounds struct {
	most   int
	within time.Duration
}

// eachPage asks for an impact page by page until nothing is left, there are enough
// executions or the time is over. ask is given how many are wanted; it says how many
// there are by then and whether more are left, and a terminal is shown how far it is.
func (a *app) eachPage(ctx context.Context, bounds impactBounds, ask func(caller contract.Caller, left int) (examined int, more bool, err error)) error {
	if bounds.most < 1 || bounds.within <= 0 {
		return usage("--limit and --within must be more than nothing")
	}
	caller, done, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	deadline := a.clock().Add(bounds.within)
	defer a.progress("")
	for examined := 0; ; {
		var more bool
		if examined, more, err = ask(caller, bounds.most-examined); err != nil {
			return err
		}
		if !more || examined >= bounds.most || !a.clock().Before(deadline) {
			return nil
		}
	}
}

// impactPages puts the pages together.
func (a *app) impactPages(ctx context.Context, in *contract.SkillImpactInput, bounds impactBounds) (*contract.SkillImpactOutput, error) {
	var whole *contract.SkillImpactOutput
	err := a.eachPage(ctx, bounds, func(caller contract.Caller, left int) (int, bool, error) {
		in.Limit, in.BudgetMS = min(left, 200), int(impactPageTime.Milliseconds())
		page, err := contract.Invoke(ctx, caller, contract.SkillImpact, in)
		if err != nil {
			return 0, false, err
		}
		in.Cursor = page.NextCursor
		if whole == nil || page.Impact == nil { // the skill may have been taken out between two pages
			whole = page
		} else {
			whole.Impact.Merge(page.Impact)
			whole.NextCursor = page.NextCursor
		}
		if page.Impact == nil {
			return 0, false, nil
		}
		a.progress("%d executions examined, %d would differ ...", whole.Impact.Examined, whole.Impact.Differing)
		return whole.Impact.Examined, in.Cursor != "", nil
	})
	if err != nil {
		return nil, err
	}
	if whole.Impact != nil && whole.Impact.Differing > 0 {
		whole.Status = "differs"
	}
	return whole, nil
}

// progress writes over the last line of a terminal, and nothing elsewhere.
func (a *app) progress(format string, args ...any) {
	if a.watched() {
		_, _ = fmt.Fprintf(a.err, "\r\x1b[K"+format, args...)
	}
}

func (a *app) impactTable(t *table, out *contract.SkillImpactOutput) {
	a.reportTable(t, &out.SkillReport, out.Status)
	if out.From == "" && out.Verified {
		t.line("no other version is enabled")
	}
	a.changesTable(t, out.From, out.Changes)
	if out.Impact != nil {
		a.storedTable(t, out.Impact)
	}
}

// changesTable shows what the manifest says otherwise.
func (a *app) changesTable(t *table, from string, changes []contract.SkillChange) {
	if len(changes) == 0 {
		return
	}
	t.line("changes since %s:", clean(from))
	for i := range changes {
		mark := " "
		if changes[i].Asks {
			mark = "!"
		}
		t.line("  %s %s", mark, clean(changes[i].String()))
	}
}

// storedTable shows what stored executions would have come to: by action and
// kind, then each step.
func (a *app) storedTable(t *table, i *contract.StoredImpact) {
	t.line("examined %d executions: %d the same, %d differ (%d of them with an unknown outcome), %d unreplayable",
		i.Examined, i.Same, i.Differing, i.Unknown, i.Unreplayable)
	if i.Already > 0 {
		t.line("%d of an older version would differ with the version in use in the same way", i.Already)
	}
	if !i.Complete {
		t.line("older ones were not examined: the limit was reached or the time was over")
	}
	if len(i.Groups) > 0 {
		t.head("action", "kind", "steps", "executions", "unknown")
		for n := range i.Groups {
			g := &i.Groups[n]
			t.row(g.Action, string(g.Kind), fmt.Sprint(g.Count), fmt.Sprint(g.Executions), fmt.Sprint(g.Unknown))
		}
		t.flush()
		t.head("execution", "step", "kind", "field", "recorded", "would be", "because")
		for n := range i.Items {
			d := &i.Items[n]
			now, because := short(d.Candidate), d.Because
			if d.Unknown {
				now = strings.TrimSpace(now + " (unknown)")
			}
			if because == "" {
				because = d.Message
			}
			t.row(string(d.ExecutionID), d.Step, string(d.Kind), d.Field, short(d.Recorded), now, because)
		}
		t.flush()
	}
	if i.Omitted > 0 {
		t.line("and %d more", i.Omitted)
	}
	for _, gap := range i.Gaps {
		t.line("  %s unreplayable: %s", gap.ExecutionID, clean(gap.Message))
	}
}

// install asks a person on a terminal what an upgrade must be accepted for.
func (a *app) install(ctx context.Context, in *contract.SkillInstallInput) (*contract.SkillInstallOutput, error) {
	out, err := call(ctx, a, contract.SkillInstall, in)
	upgrade := upgradeIn(err)
	if upgrade == nil {
		return out, err
	}
	if a.flags.output != "table" {
		return nil, err // details has it all
	}
	t := &table{app: a}
	a.upgradeTable(t, upgrade)
	t.flush()
	if !a.agreed("Install " + upgrade.To + " with this?") {
		return nil, err
	}
	again := *in
	again.AcceptChanges, again.SkipImpact, again.ArtifactDigest = true, true, upgrade.Digest
	if out, err = call(ctx, a, contract.SkillInstall, &again); err == nil {
		out.Upgrade = nil // it has been shown
	}
	return out, err
}

// agreed asks a person; without a terminal nobody agrees.
func (a *app) agreed(question string) bool {
	if !isTerminal(a.in) {
		return false
	}
	_, _ = fmt.Fprintf(a.err, "\n%s Type yes: ", question)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "yes"
}

// upgradeIn is what the refusal of an upgrade says; nil for any other error.
func upgradeIn(err error) *contract.SkillUpgrade {
	var e *writ.Error
	if !errors.As(err, &e) || e.Code != writ.CodeSkillRefused {
		return nil
	}
	raw, encodeErr := json.Marshal(e.Details)
	upgrade := &contract.SkillUpgrade{}
	if encodeErr != nil || json.Unmarshal(raw, upgrade) != nil || len(upgrade.Asks) == 0 {
		return nil
	}
	return upgrade
}

func (a *app) upgradeTable(t *table, u *contract.SkillUpgrade) {
	t.line("upgrade from %s to %s", u.From, u.To)
	a.changesTable(t, u.From, u.Changes)
	if u.Impact != nil {
		a.storedTable(t, u.Impact)
	}
	if len(u.Asks) > 0 {
		t.line("to be accepted:")
	}
	for _, ask := range u.Asks {
		t.line("  %s", clean(ask))
	}
}

func (a *app) skillRollback() *cobra.Command {
	in := &contract.SkillRollbackInput{}
	c := &cobra.Command{
		Use: "rollback SKILL", Short: "Go back to the version that was in use before", Args: exactly("SKILL"),
		Long: `Verifies the older version again and disables every newer one, so that new plans
get the older one at once. Plans that have pinned a newer one finish with it, unless
--stop is given. What may be installed does not change.`,
		Example: "  writ skill rollback acme/notes --reason \"files duplicates\"\n  writ skill rollback acme/notes --to 1.1.0 --stop",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.SkillKey = writ.SkillKey(args[0])
			out, err := call(cmd.Context(), a, contract.SkillRollback, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("skill", args[0]+"@"+out.Version)
				t.pair("status", out.Status)
				t.pair("disabled", strings.Join(out.Disabled, ", "))
			})
		},
	}
	c.Flags().StringVar(&in.To, "to", "", "version (default: the newest enabled one below the newest)")
	c.Flags().BoolVar(&in.Stop, "stop", false, "stop running executions that have pinned a newer version, too")
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}
