package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/contract"
)

func (a *app) grantCommand() *cobra.Command {
	return group("grant", "Say which tools whose steps may use",
		a.grantCreate(), a.grantRevoke(), a.grantList(), a.grantWhy(), a.grantBreakGlass(), a.grantReview())
}

// capabilityFlags are the flags of a tool and its scope.
func capabilityFlags(f *pflag.FlagSet, c *writ.Capability) {
	f.StringVar(&c.Tool, "tool", "", "tool, or * for every tool (required)")
	f.StringArrayVar(&c.Hosts, "host", nil, "http.request: host pattern, repeatable")
	f.StringArrayVar(&c.Methods, "method", nil, "http.request: method, repeatable")
	f.StringArrayVar(&c.Paths, "path", nil, "http.request and file.*: path pattern, repeatable")
	f.StringArrayVar(&c.Prefixes, "prefix", nil, "kv.*: key prefix, repeatable; '' covers every key")
	f.StringArrayVar(&c.Channels, "channel", nil, "message.send: channel pattern PROVIDER/NAME, repeatable")
	f.StringArrayVar(&c.Skills, "action", nil, "skill.call: publisher/skill#action pattern, repeatable")
}

func skillKeys(skills []string) []writ.SkillKey {
	var out []writ.SkillKey
	for _, s := range skills {
		out = append(out, writ.SkillKey(s))
	}
	return out
}

func (a *app) grantCreate() *cobra.Command {
	in := &contract.GrantCreateInput{}
	var principal, risk string
	var skills []string
	var expires time.Duration
	create := &cobra.Command{
		Use: "create", Short: "Let a principal's steps use a tool within a scope", Args: cobra.NoArgs,
		Example: `  writ grant create --principal agent:triage-bot --tool http.request --host api.github.com --method GET --method POST --path '/repos/**' --max-risk medium
  writ grant create --principal agent:triage-bot --tool '*' --skill writ/text
  writ grant create --principal agent:triage-bot --tool kv.put --prefix notes/ --max-uses 10 --expires 24h`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.PrincipalID, in.MaxRisk, in.ExpiresIn = writ.PrincipalID(principal), writ.Risk(risk), abi.Duration(expires)
			in.Skills = skillKeys(skills)
			out, err := call(cmd.Context(), a, contract.GrantCreate, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "grant", out.GrantID)
		},
	}
	f := create.Flags()
	f.StringVar(&principal, "principal", "", "whose steps (required)")
	capabilityFlags(f, &in.Capability)
	f.StringSliceVar(&skills, "skill", nil, "only for this skill, repeatable (default: any)")
	f.StringVar(&risk, "max-risk", "low", "highest risk tier: low, medium or high")
	f.StringVar((*string)(&in.MaxSensitivity), "max-sensitivity", "private", "most sensitive data that a step's input may have: public, private or secret")
	f.DurationVar(&expires, "expires", 0, "validity, such as 24h (default: no end)")
	f.IntVar(&in.MaxUses, "max-uses", 0, "how many attempts of steps may use it (default: not counted)")
	f.StringVar(&in.Parent, "parent", "", "grant of your own that this one delegates; it is never wider")
	f.StringVar(&in.Reason, "reason", "", "why")
	return create
}

func (a *app) grantRevoke() *cobra.Command {
	revoke := &contract.GrantRevokeInput{}
	c := &cobra.Command{
		Use: "revoke GRANT", Short: "Take a grant back", Args: exactly("GRANT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			revoke.GrantID = args[0]
			out, err := call(cmd.Context(), a, contract.GrantRevoke, revoke)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "grant", args[0])
		},
	}
	c.Flags().StringVar(&revoke.Reason, "reason", "", "why")
	return c
}

func (a *app) grantList() *cobra.Command {
	var principal string
	in := &contract.GrantListInput{}
	c := &cobra.Command{
		Use: "list", Short: "List grants", Args: cobra.NoArgs,
		Example: "  writ grant list --principal agent:bot\n  writ grant list --all                      those that have expired too",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.PrincipalID = writ.PrincipalID(principal)
			out, err := call(cmd.Context(), a, contract.GrantList, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				a.emergencies(t, out.BreakGlass)
				t.head("grant", "principal", "max risk", "max data", "capability", "skills", "expires", "uses", "delegates")
				for i := range out.Items {
					a.grantRow(t, &out.Items[i])
				}
			})
		},
	}
	c.Flags().StringVar(&principal, "principal", "", "only of this principal")
	c.Flags().BoolVar(&in.IncludePast, "all", false, "those that have expired too")
	return c
}

func (a *app) grantRow(t *table, g *contract.Grant) {
	skills := "any"
	if len(g.Skills) > 0 {
		skills = strings.Trim(fmt.Sprint(g.Skills), "[]")
	}
	id := g.GrantID
	if g.BreakGlass {
		id += " (break-glass)"
	}
	if g.Expired {
		id += " (expired)"
	}
	t.row(id, string(g.PrincipalID), string(g.MaxRisk), string(g.MaxSensitivity), contract.CapabilityText(&g.Capability), skills, a.ago(g.ExpiresAt), usesText(g), g.Parent)
}

func usesText(g *contract.Grant) string {
	if g.MaxUses == 0 {
		return "not counted"
	}
	return strconv.Itoa(g.Uses) + " of " + strconv.Itoa(g.MaxUses)
}

// emergencies come before everything else while they last, and stay until another
// person has reviewed them.
func (a *app) emergencies(t *table, list []contract.BreakGlass) {
	for i := range list {
		g := &list[i]
		self := ""
		if g.Self {
			self = ", which is the same hand"
		}
		switch g.Status {
		case contract.GlassActive:
			t.line("BREAK-GLASS  %s until %s: %s may use %s up to %s risk", g.GrantID, g.EndsAt, g.PrincipalID, clean(contract.CapabilityText(&g.Capability)), g.MaxRisk)
		case contract.GlassEnded:
			t.line("BREAK-GLASS  %s of %s is over and waits for a review until %s: writ grant review %s --note ...", g.GrantID, g.PrincipalID, g.ReviewBy, g.GrantID)
		default:
			t.line("BREAK-GLASS  %s of %s is OVERDUE for a review since %s: writ grant review %s --note ...", g.GrantID, g.PrincipalID, g.ReviewBy, g.GrantID)
		}
		t.line("  given by %s%s at %s: %s", g.GivenBy, self, g.GivenAt, strings.ReplaceAll(clean(g.Reason), "\n", " "))
	}
}

func (a *app) grantWhy() *cobra.Command {
	in := &contract.GrantWhyInput{}
	var skill, risk string
	c := &cobra.Command{
		Use: "why PRINCIPAL", Short: "Say which grant covers something, or what comes nearest", Args: exactly("PRINCIPAL"),
		Long: `Exits with 3 where nothing covers it. The policy still decides: a grant says what can be
reached, not that it happens by itself.`,
		Example: "  writ grant why agent:triage-bot --tool http.request --host api.github.com --method GET --path '/repos/acme/**' --skill writ/github",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.PrincipalID, in.Skill, in.Risk = writ.PrincipalID(args[0]), writ.SkillKey(skill), writ.Risk(risk)
			out, err := call(cmd.Context(), a, contract.GrantWhy, in)
			if err != nil {
				return err
			}
			err = a.print(out, func(t *table) { a.why(t, args[0], out) })
			if err == nil && !out.Covered {
				return exitError(exitDenied)
			}
			return err
		},
	}
	f := c.Flags()
	capabilityFlags(f, &in.Capability)
	f.StringVar(&skill, "skill", "", "skill of the step (default: whatever skill)")
	f.StringVar(&risk, "max-risk", "low", "risk tier of the step: low, medium or high")
	f.StringVar((*string)(&in.Sensitivity), "max-sensitivity", "public", "of the data in the step's input: public, private or secret")
	return c
}

func (a *app) why(t *table, principal string, out *contract.GrantWhyOutput) {
	if !out.Covered {
		t.line("no grant of %s covers it", clean(principal))
		for i := range out.Nearest {
			miss := &out.Nearest[i]
			t.line("  %s  %s", miss.Grant.GrantID, clean(miss.Message))
		}
		t.line("fix: %s", clean(out.Fix))
		return
	}
	t.pair("covered by", out.Chain[0].GrantID)
	until := "it does not expire"
	if out.Until != 0 {
		until = out.Until.String()
	}
	t.pair("until", until)
	left := "not counted"
	if out.UsesLeft != 0 {
		left = strconv.Itoa(out.UsesLeft)
	}
	t.pair("uses left", left)
	t.flush()
	for i := range out.Chain {
		g := &out.Chain[i]
		lead := strings.Repeat("  ", i)
		if i > 0 {
			lead += "delegated from "
		}
		emergency := ""
		if g.BreakGlass {
			emergency = "  BREAK-GLASS"
		}
		t.line("%s%s of %s: %s, up to %s risk and %s data, uses %s%s", lead, g.GrantID, g.PrincipalID, clean(contract.CapabilityText(&g.Capability)), g.MaxRisk, g.MaxSensitivity, usesText(g), emergency)
	}
}

func (a *app) grantBreakGlass() *cobra.Command {
	in := &contract.GrantBreakGlassInput{}
	var risk string
	var skills []string
	var lasts time.Duration
	c := &cobra.Command{
		Use: "break-glass PRINCIPAL", Short: "Give a grant in an emergency, for at most an hour", Args: exactly("PRINCIPAL"),
		Long: `For people with the role admin or breakglass. Everybody sees it: an event, the status and
the list of grants say it, and so does the record of each step that uses it. Another person must
review it within a day after its end. What is risky still waits for its approvers.`,
		Example: "  writ grant break-glass agent:triage-bot --tool http.request --host status.example.com --method POST --path '/**' --for 30m --reason 'the site is down'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.PrincipalID, in.MaxRisk, in.For, in.Skills = writ.PrincipalID(args[0]), writ.Risk(risk), abi.Duration(lasts), skillKeys(skills)
			out, err := call(cmd.Context(), a, contract.GrantBreakGlass, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("grant", out.GrantID)
				t.pair("until", out.ExpiresAt.String())
				t.pair("review by", out.ReviewBy.String())
				t.line("Another person reviews it when it is over: writ grant review %s --note ...", out.GrantID)
			})
		},
	}
	f := c.Flags()
	capabilityFlags(f, &in.Capability)
	f.StringSliceVar(&skills, "skill", nil, "only for this skill, repeatable (default: any)")
	f.StringVar(&risk, "max-risk", "low", "highest risk tier: low, medium or high")
	f.DurationVar(&lasts, "for", 0, "how long, at most 1h (required)")
	f.IntVar(&in.MaxUses, "max-uses", 0, "how many attempts of steps may use it (default: not counted)")
	f.StringVar(&in.Reason, "reason", "", "what happened (required)")
	return c
}

func (a *app) grantReview() *cobra.Command {
	in := &contract.GrantReviewInput{}
	c := &cobra.Command{
		Use: "review GRANT", Short: "Close an emergency when its grant is over", Args: exactly("GRANT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.GrantID = args[0]
			out, err := call(cmd.Context(), a, contract.GrantReview, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "grant", args[0])
		},
	}
	c.Flags().StringVar(&in.Note, "note", "", "what the review came to (required)")
	return c
}
