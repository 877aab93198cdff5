package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/contract"
)

// What the contracts promise on the command line is there, and every command
// that changes state is a contract's: the local ones are named here.
func TestContractsAndCommandsAgree(t *testing.T) {
	promised := map[string]bool{}
	for _, c := range contract.All() {
		if c.CLI == "" {
			continue
		}
		promised[c.CLI] = true
		found, rest, err := new(app).root().Find(strings.Fields(c.CLI)[1:])
		if err != nil || len(rest) > 0 || found.CommandPath() != c.CLI {
			t.Errorf("%s: there is no command `%s`", c.Key, c.CLI)
		}
	}
	local := []string{
		"writ init", "writ login", "writ serve", "writ doctor", "writ config show", "writ exec watch", "writ approval key", "writ plan show",
		"writ skill new", "writ skill import", "writ skill build", "writ skill test", "writ skill run", "writ skill bench", "writ skill key", "writ skill sign", "writ skill inspect",
		"writ policy build", "writ skill push", "writ skill pull", "writ skill lock",
		"writ contract list", "writ contract show", "writ contract docs", "writ contract check", "writ contract impact",
	}
	for _, c := range leaves(new(app).root()) {
		if path := c.CommandPath(); promised[path] == slices.Contains(local, path) {
			t.Errorf("`%s` is neither a contract's command nor known to touch no host, or both", path)
		}
	}
}

func leaves(c *cobra.Command) []*cobra.Command {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var out []*cobra.Command
	for _, child := range c.Commands() {
		out = append(out, leaves(child)...)
	}
	return out
}

func TestEveryContractHasAHandler(t *testing.T) {
	dir := t.TempDir()
	if err := makeKeys(dir); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c := &config{Home: dir, Sandbox: "writ", Payloads: time.Hour, Entries: time.Hour}
	h, err := openHome(ctx, c, hclog.NewNullLogger(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if unbound := h.dispatcher.Unbound(); len(unbound) > 0 {
		t.Errorf("no handler for %v", unbound)
	}
}

// Help is where a person looks first.
func TestHelp(t *testing.T) {
	seen := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Short == "" || seen[path] {
			t.Errorf("`%s` says nothing of itself, or is there twice", path)
		}
		seen[path] = true
		if c.HasSubCommands() {
			for _, child := range c.Commands() {
				walk(child)
			}
			return
		}
		if strings.Contains(c.Use, " ") && c.Args == nil {
			t.Errorf("`%s` takes any arguments", path)
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if line != "" && !strings.HasPrefix(line, "  ") {
				t.Errorf("`%s`: the example %q is not indented", path, line)
			}
		}
		text := help(t, strings.Fields(path)[1:])
		if !strings.Contains(text, c.Short) && !strings.Contains(text, "Examples:") && c.Long == "" {
			t.Errorf("`%s --help` has neither a description nor an example:\n%s", path, text)
		}
	}
	walk(new(app).root())
}

func help(t *testing.T, args []string) string {
	t.Helper()
	var out, errs strings.Builder
	if code := run(context.Background(), append(args, "--help"), stdio{in: strings.NewReader(""), out: &out, err: &errs}); code != exitOK || errs.Len() > 0 {
		t.Errorf("%v --help: exit %d, %s", args, code, errs.String())
	}
	return out.String()
}

// Text from strangers does not steer the terminal.
func TestTablesAreClean(t *testing.T) {
	var out strings.Builder
	a := &app{stdio: stdio{in: os.Stdin, out: &out, err: &out}}
	a.flags.output = "table"
	err := a.print(nil, func(t *table) { t.row("a\x1b[2Jb\u202ec\nd", "\x07") })
	if err != nil || strings.ContainsAny(out.String(), "\x1b\x07\u202e") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v %q", err, out.String())
	}
}

// YAML and JSON say the same, also of strings that look like something else.
func TestYAMLKeepsStrings(t *testing.T) {
	var out strings.Builder
	a := &app{stdio: stdio{out: &out, err: &out}}
	a.flags.output = "yaml"
	if err := a.print(map[string]any{"a": "true", "b": "1.0", "c": "plain", "d": 1, "e": "", "f": "null", "g": "- x: #y"}, nil); err != nil {
		t.Fatal(err)
	}
	want := "a: \"true\"\nb: \"1.0\"\nc: plain\nd: 1\ne: \"\"\nf: \"null\"\ng: '- x: #y'\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}
