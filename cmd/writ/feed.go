package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/contract"
)

// maxRootFile is more than the registry takes, so that it can say so.
const maxRootFile = 1 << 20

func (a *app) feedCommand() *cobra.Command {
	return group("feed", "Follow signed lists of revocations", a.feedAdd(), a.feedUpdate(), a.feedList(), a.feedRemove())
}

func (a *app) feedAdd() *cobra.Command {
	in := &contract.FeedAddInput{}
	var root string
	c := &cobra.Command{
		Use: "add NAME", Short: "Follow a feed: read it now, and again every trust.feedEvery", Args: exactly("NAME"),
		Example: "  writ trust feed add acme --url https://trust.example.com/tuf --root root.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			if in.URL == "" || root == "" {
				return usage("where is it, and what is it signed with?").WithFix("give --url and --root")
			}
			var err error
			if in.Root, err = a.readInput(root, maxRootFile); err != nil {
				return err
			}
			out, err := call(cmd.Context(), a, contract.FeedAdd, in)
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) {
				t.pair("feed", out.Feed.Name)
				t.pair("status", out.Status)
				t.pair("entries", fmt.Sprint(out.Feed.Entries))
				t.pair("vouched for until", out.Feed.ExpiresAt.String())
			})
		},
	}
	f := c.Flags()
	f.StringVar(&in.URL, "url", "", "base of the TUF repository")
	f.StringVar(&root, "root", "", "its root metadata, root.json, from a source that you trust")
	f.StringVar(&in.Reason, "reason", "", "why")
	return c
}

func (a *app) feedUpdate() *cobra.Command {
	return &cobra.Command{
		Use: "update [NAME]", Short: "Read one feed, or all, now", Args: cobra.MaximumNArgs(1),
		Example: "  writ trust feed update              exit 1 where one could not be read, 5 where it is not what was signed",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &contract.FeedUpdateInput{}
			if len(args) == 1 {
				in.Name = args[0]
			}
			out, err := call(cmd.Context(), a, contract.FeedUpdate, in)
			if err != nil {
				return err
			}
			if err := a.print(out, func(t *table) { a.feedTable(t, out.Items) }); err != nil {
				return err
			}
			code := exitOK
			for _, f := range out.Items {
				if f.Failure != nil {
					code = max(code, exitCode(f.Failure.Code))
				}
			}
			if code != exitOK {
				return exitError(code)
			}
			return nil
		},
	}
}

func (a *app) feedList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the feeds, and whether they are still vouched for", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(cmd.Context(), a, contract.FeedList, &contract.FeedListInput{})
			if err != nil {
				return err
			}
			return a.print(out, func(t *table) { a.feedTable(t, out.Items) })
		},
	}
}

func (a *app) feedTable(t *table, feeds []contract.Feed) {
	if len(feeds) == 0 {
		t.line("no feeds; follow one with `writ trust feed add NAME --url URL --root root.json`")
		return
	}
	t.head("feed", "state", "version", "entries", "vouched for until", "url")
	for i := range feeds {
		f := &feeds[i]
		state := "current"
		switch {
		case f.Stale:
			state = "stale"
		case f.Failure != nil:
			state = "failing"
		}
		t.row(f.Name, state, fmt.Sprint(f.Version), fmt.Sprint(f.Entries), f.ExpiresAt.String(), f.URL)
	}
	t.flush()
	for i := range feeds {
		if failure := feeds[i].Failure; failure != nil {
			t.line("%s: %s: %s", feeds[i].Name, failure.Code, clean(failure.Message))
			t.line("  fix: %s", clean(failure.Fix))
		}
	}
}

func (a *app) feedRemove() *cobra.Command {
	in := &contract.FeedRemoveInput{}
	c := &cobra.Command{
		Use: "remove NAME", Short: "Follow a feed no longer: what it alone denied counts again", Args: exactly("NAME"),
		Example: "  writ trust feed remove acme --reason 'not maintained'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			out, err := call(cmd.Context(), a, contract.FeedRemove, in)
			if err != nil {
				return err
			}
			return a.printResult(out, out.Result, "feed", args[0])
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why")
	return c
}
