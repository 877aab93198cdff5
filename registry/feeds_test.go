package registry

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/contract"
	"github.com/writ-run/writ/registry/feed/feedtest"
)

// feeder is a home with a repository that it follows as acme-security.
type feeder struct {
	*home
	*feedtest.Repository
	server *httptest.Server
}

const feedName = "acme-security"

func newFeeder(t *testing.T, list string, edit ...func(*Options)) *feeder {
	t.Helper()
	f := &feeder{home: newHome(t, edit...)}
	var err error
	if f.Repository, err = feedtest.New(f.clock(), 1); err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewServer(f.Repository)
	t.Cleanup(f.server.Close)
	f.edition(list)
	if _, err := f.FeedAdd(f.ctx, f.adding(feedName)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *feeder) adding(name string) *contract.FeedAddInput {
	return &contract.FeedAddInput{Name: name, URL: f.server.URL, Root: f.Root(), Reason: "ours"}
}

func (f *feeder) edition(list string) {
	f.t.Helper()
	if err := f.Publish(feedtest.Edition{List: list, Life: time.Hour}); err != nil {
		f.t.Fatal(err)
	}
}

// update reads the feed, and demands the code of its failure; empty: none.
func (f *feeder) update(want writ.Code) contract.Feed {
	f.t.Helper()
	out, err := f.FeedUpdate(f.ctx, &contract.FeedUpdateInput{Name: feedName})
	if err != nil || len(out.Items) != 1 {
		f.t.Fatal(err, out)
	}
	have := writ.Code("")
	if failure := out.Items[0].Failure; failure != nil {
		if have = failure.Code; failure.Fix == "" || failure.Message == "" || failure.Since == 0 {
			f.t.Errorf("%+v", failure)
		}
	}
	if have != want || (out.Status == "failed") != (want != "") {
		f.t.Errorf("failure %q (%s), want %q", have, out.Status, want)
	}
	return out.Items[0]
}

func (f *feeder) drift() []contract.DriftCode {
	f.t.Helper()
	skills, err := f.SkillDrift(f.ctx, f.by.Tenant)
	if err != nil {
		f.t.Fatal(err)
	}
	feeds, err := f.FeedDrift(f.ctx, f.by.Tenant)
	if err != nil {
		f.t.Fatal(err)
	}
	var out []contract.DriftCode
	for _, d := range append(skills, feeds...) {
		if d.Subject == "" || d.Message == "" || d.Fix == "" {
			f.t.Errorf("%+v", d)
		}
		out = append(out, d.Code)
	}
	return out
}

const feedWhy = `"reason":"malware","at":"2026-03-01T10:00:00Z"`

func listOf(kind, entry string) string {
	return feedtest.List(fmt.Sprintf(`"%s":[{%s,%s}]`, kind, entry, feedWhy))
}

// TestAFeedTakesOut: each kind of entry stops an installed skill and its install,
// says whose word it is and when, and an edition without it lets go.
func TestAFeedTakesOut(t *testing.T) {
	f := newFeeder(t, "")
	file := f.bundle()
	ref := f.install(file).Ref
	f.aged()
	for name, c := range map[string]struct {
		list string
		want writ.IssueCode
	}{
		"key":       {listOf("keys", `"keyId":"`+string(f.key.Public().ID)+`"`), writ.IssueKeyRevoked},
		"publisher": {listOf("publishers", `"publisher":"acme"`), writ.IssuePublisherRevoked},
		"bundle":    {listOf("digests", `"digest":"`+string(ref.Digest)+`"`), writ.IssueReleaseRevoked},
		"module":    {listOf("digests", `"digest":"`+string(ref.Module)+`"`), writ.IssueReleaseRevoked},
		"versions":  {listOf("skills", `"skill":"acme/mailer","versions":"<1.4.2"`), writ.IssueReleaseRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			f.edition(c.list)
			if got := f.update(""); got.Entries != 1 || got.Stale {
				t.Errorf("%+v", got)
			}
			_, err := f.load(ref)
			if !writ.IsCode(err, writ.CodeSkillRefused) || !strings.Contains(err.Error(), string(c.want)) ||
				!strings.Contains(err.Error(), "was revoked by the feed acme-security at 2026-03-01T10:00:00.000000000Z: malware") {
				t.Errorf("%v", err)
			}
			if report, err := f.Examine(f.ctx, f.by.Tenant, file); err != nil || report.OK() {
				t.Error("it can be installed", err)
			}
			if got := f.drift(); !slices.Equal(got, []contract.DriftCode{contract.DriftSkillRevoked}) {
				t.Errorf("%v", got)
			}
			f.edition("")
			f.update("")
			if _, err := f.load(ref); err != nil {
				t.Errorf("an edition without it: %v", err)
			}
		})
	}
}

// TestAFeedAndTheOperator: neither lifts what the other denies.
func TestAFeedAndTheOperator(t *testing.T) {
	f := newFeeder(t, listOf("publishers", `"publisher":"acme"`))
	what := contract.DenialSubject{Publisher: "acme"}
	if err := f.undeny(what); !writ.IsCode(err, writ.CodeConflict) || !strings.Contains(err.Error(), feedName) {
		t.Errorf("%v", err)
	}
	f.deny(what)
	out, err := f.TrustList(f.ctx, &contract.TrustListInput{})
	if err != nil || len(out.Denied) != 2 || out.Denied[0].Feed != "" || out.Denied[1].Feed != feedName || out.Denied[1].Final {
		t.Errorf("%v %+v", err, out.Denied)
	}
	f.edition("")
	f.update("")
	f.refused(f.bundle(), writ.IssuePublisherRevoked)
	if err := f.undeny(what); err != nil {
		t.Fatal(err)
	}
	f.install(f.bundle())
	// Removed, a feed says nothing more.
	f.edition(listOf("publishers", `"publisher":"acme"`))
	f.update("")
	if _, err := f.FeedRemove(f.ctx, &contract.FeedRemoveInput{Name: feedName, Reason: "not ours"}); err != nil {
		t.Fatal(err)
	}
	f.install(f.bundle())
	if _, err := f.FeedRemove(f.ctx, &contract.FeedRemoveInput{Name: feedName}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
	if _, err := f.FeedUpdate(f.ctx, &contract.FeedUpdateInput{Name: feedName}); !writ.IsCode(err, writ.CodeNotFound) {
		t.Error(err)
	}
}

// TestThreatDowngradeBelowAFeedsMinimum: no reason of an operator overrules it, and
// what is installed below it is drift.
func TestThreatDowngradeBelowAFeedsMinimum(t *testing.T) {
	f := newFeeder(t, "")
	ref := f.install(f.bundle(version("1.1.0"))).Ref
	f.edition(listOf("minimums", `"skill":"acme/mailer","version":"1.2.0"`))
	f.update("")
	report := f.refused(f.bundle(version("1.1.9")), writ.IssueRollback)
	if !strings.Contains(report.Issues[0].Message, "1.2.0, the least that the feed acme-security lets in: malware") {
		t.Errorf("%+v", report.Issues)
	}
	in := &contract.SkillInstallInput{Bundle: f.bundle(version("1.1.9")), AllowRollback: "please"}
	if _, err := f.Install(f.ctx, in); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Error(err)
	}
	if _, err := f.load(ref); err != nil {
		t.Errorf("a minimum is for installs: %v", err)
	}
	if got := f.drift(); !slices.Equal(got, []contract.DriftCode{contract.DriftSkillBelowMinimum}) {
		t.Errorf("%v", got)
	}
	f.install(f.bundle(version("1.2.0")))
	if got := f.drift(); !slices.Equal(got, []contract.DriftCode{contract.DriftSkillBelowMinimum, contract.DriftSkillSuperseded}) {
		t.Errorf("%v", got)
	}
}

// TestThreatFeedRollback: what was known stays in force, and the failure is drift,
// recorded once.
func TestThreatFeedRollback(t *testing.T) {
	f := newFeeder(t, "")
	ref := f.install(f.bundle()).Ref
	old := f.Files()
	f.edition(listOf("publishers", `"publisher":"acme"`))
	f.update("")
	f.Serve(old)
	records := len(f.memory.records)
	for range 3 {
		f.update(writ.CodeTampered)
	}
	if got := len(f.memory.records) - records; got != 1 {
		t.Errorf("%d records of one failure", got)
	}
	if _, err := f.load(ref); !writ.IsCode(err, writ.CodeSkillRefused) {
		t.Errorf("the older list is in force: %v", err)
	}
	if got := f.drift(); !slices.Contains(got, contract.DriftFeedFailing) {
		t.Errorf("%v", got)
	}
	// The state is in the store: another process knows as much.
	again, err := New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	out, err := again.FeedUpdate(f.ctx, &contract.FeedUpdateInput{})
	if err != nil || out.Items[0].Failure == nil || out.Items[0].Failure.Code != writ.CodeTampered {
		t.Errorf("%v %+v", err, out)
	}
	f.edition("")
	f.update("") // the newest edition is taken again
}

// TestThreatFeedFreeze: past the signed time the feed is stale, what it said stays
// in force, and installs are refused where the operator wants that.
func TestThreatFeedFreeze(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		f := newFeeder(t, listOf("publishers", `"publisher":"evil"`), func(o *Options) { o.RefuseStale = refuse })
		ref := f.install(f.bundle()).Ref
		f.now = f.now.Add(time.Hour)
		f.update("") // at its limit
		if got := f.drift(); len(got) != 0 {
			t.Errorf("at the limit: %v", got)
		}
		f.now = f.now.Add(time.Nanosecond)
		if got := f.drift(); !slices.Equal(got, []contract.DriftCode{contract.DriftFeedStale}) {
			t.Errorf("past it: %v", got)
		}
		f.now = f.now.Add(time.Second)
		if got := f.update(writ.CodeExpired); !got.Stale || got.Entries != 1 {
			t.Errorf("%+v", got)
		}
		if got := f.drift(); !slices.Equal(got, []contract.DriftCode{contract.DriftFeedStale, contract.DriftFeedFailing}) {
			t.Errorf("%v", got)
		}
		if _, err := f.load(ref); err != nil {
			t.Errorf("a stale feed stops what is installed: %v", err)
		}
		if file := f.bundle(version("1.1.0")); refuse {
			f.refused(file, writ.IssueRevocationStale)
		} else {
			f.install(file)
		}
		f.edition("")
		if got := f.update(""); got.Stale || got.Failure != nil {
			t.Errorf("%+v", got)
		}
		f.install(f.bundle(version("1.2.0")))
	}
}

// TestOfflineNothingChanges: without the server what is cached goes on.
func TestOfflineNothingChanges(t *testing.T) {
	f := newFeeder(t, listOf("publishers", `"publisher":"evil"`))
	f.server.Close()
	f.update(writ.CodeUnavailable)
	tr, err := f.trust(f.ctx, f.by.Tenant)
	if err != nil || tr.publisherDenied("evil") == nil {
		t.Error("what was known is gone", err)
	}
}

// TestAnUnchangedFeedRecordsNothing: each record has running steps judged again.
func TestAnUnchangedFeedRecordsNothing(t *testing.T) {
	f := newFeeder(t, "")
	records := len(f.memory.records)
	f.update("")
	f.update("")
	if got := len(f.memory.records) - records; got != 0 {
		t.Errorf("%d records", got)
	}
	f.edition("")
	f.update("")
	facts := f.memory.last().Body.System
	if len(f.memory.records)-records != 1 || facts.Status != "feed-updated" || facts.Subject != trustFeeds+feedName {
		t.Errorf("%+v", facts)
	}
}

// TestFeedsThatAreNotAdded leave nothing behind.
func TestFeedsThatAreNotAdded(t *testing.T) {
	f := newFeeder(t, "")
	stranger, err := feedtest.New(f.clock(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*contract.FeedAddInput)
		code writ.Code
	}{
		"no name":        {func(in *contract.FeedAddInput) { in.Name = "" }, writ.CodeInvalid},
		"a path":         {func(in *contract.FeedAddInput) { in.Name = "../x" }, writ.CodeInvalid},
		"a second time":  {func(in *contract.FeedAddInput) { in.Name = feedName }, writ.CodeConflict},
		"no URL":         {func(in *contract.FeedAddInput) { in.URL = "" }, writ.CodeInvalid},
		"no root":        {func(in *contract.FeedAddInput) { in.Root = nil }, writ.CodeInvalid},
		"another's root": {func(in *contract.FeedAddInput) { in.Root = stranger.Root() }, writ.CodeTampered},
		"no server":      {func(in *contract.FeedAddInput) { in.URL = "http://127.0.0.1:1" }, writ.CodeUnavailable},
	} {
		in := f.adding("other")
		c.edit(in)
		records := len(f.memory.records)
		if _, err := f.FeedAdd(f.ctx, in); writ.CodeOf(err) != c.code || len(f.memory.records) != records {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := 1; i < maxFeeds; i++ {
		if _, err := f.FeedAdd(f.ctx, f.adding("feed-"+itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.FeedAdd(f.ctx, f.adding("one-more")); !writ.IsCode(err, writ.CodeConflict) {
		t.Errorf("%v", err)
	}
	if out, err := f.FeedList(f.ctx, &contract.FeedListInput{}); err != nil || len(out.Items) != maxFeeds {
		t.Error(err)
	}
}

// TestListsThatAreNotUnderstood: signed as they should be, and refused as a whole.
func TestListsThatAreNotUnderstood(t *testing.T) {
	f := newFeeder(t, listOf("publishers", `"publisher":"evil"`))
	for name, list := range map[string]string{
		"an unknown kind":  feedtest.List(`"trusted":[]`),
		"no range":         listOf("skills", `"skill":"acme/mailer","versions":"before noon"`),
		"no version":       listOf("minimums", `"skill":"acme/mailer","version":"one"`),
		"no key id":        listOf("keys", `"keyId":"x"`),
		"a star as issuer": listOf("identities", `"issuer":"*","san":"x"`),
	} {
		f.edition(list)
		if got := f.update(writ.CodeInvalid); got.Entries != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestRevocationsMoveTheEpoch: what running steps were judged under is over with a
// denial, with its end and with a feed's edition, and not with a look at a feed.
func TestRevocationsMoveTheEpoch(t *testing.T) {
	journal := realJournal(t)
	f := newFeeder(t, "", func(o *Options) { o.Store, o.Journal = journal, journal })
	moves := func(by uint64, do func()) {
		t.Helper()
		before, err := journal.Epoch(f.ctx, f.by.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		do()
		if after, err := journal.Epoch(f.ctx, f.by.Tenant); err != nil || after-before != by {
			t.Errorf("from %d to %d, %v; want %d more", before, after, err, by)
		}
	}
	what := contract.DenialSubject{Publisher: "evil"}
	moves(1, func() { f.deny(what) })
	moves(0, func() { f.deny(what) })
	moves(1, func() { _ = f.undeny(what) })
	moves(0, func() { _ = f.undeny(what) })
	moves(0, func() { f.update("") })
	f.edition(listOf("publishers", `"publisher":"evil"`))
	moves(1, func() { f.update("") })
	moves(0, func() { f.update("") })
}
