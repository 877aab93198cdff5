// Command feed is the skill writ/feed: RSS, Atom and JSON Feed, read from a text or
// a URL, and what of them is new.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/sdk"
)

// Limits of what a step puts out, and of what is remembered of a feed: a value of
// the store has room for far more ids, but a feed of more than 1000 items is rare.
const (
	maxItems     = 200
	defaultItems = 50
	maxSummary   = 4 << 10
	maxSeen      = 1000
)

// Item is an entry of a feed.
type Item struct {
	ID        string `json:"id" doc:"The feed's own name of it, or its link"`
	Title     string `json:"title"`
	Link      string `json:"link"`
	Author    string `json:"author"`
	Published string `json:"published" doc:"RFC 3339 in UTC, empty where the feed does not say it"`
	Summary   string `json:"summary" doc:"At most 4 KiB of text or HTML, as the feed has it: not safe to show as HTML"`
}

// Feed is a feed.
type Feed struct {
	Format string `json:"format" enum:"rss,atom,json"`
	Title  string `json:"title"`
	Link   string `json:"link"`
	Items  []Item `json:"items" doc:"As the feed orders them"`
	More   bool   `json:"more" doc:"Whether items were left off"`
}

// Choice is which items are wanted.
type Choice struct {
	Since string `json:"since,omitempty" doc:"Only items published at this time (RFC 3339) or later; those without a time stay"`
	Limit int    `json:"limit,omitempty" doc:"At most this many, 1 to 200; 50 if absent"`
}

// ParseIn is the input of parse.
type ParseIn struct {
	Text string `json:"text" doc:"RSS, Atom or JSON Feed"`
	Choice
}

// FetchIn is the input of fetch and fetch_new.
type FetchIn struct {
	URL string `json:"url"`
	Choice
}

func parse(_ *sdk.Context, in ParseIn) (Feed, error) {
	feed, err := read(in.Text)
	if err != nil {
		return Feed{}, err
	}
	return in.of(feed)
}

// of leaves in a feed what is wanted of it.
func (c Choice) of(feed *Feed) (Feed, error) {
	limit := c.Limit
	if limit < 0 || limit > maxItems {
		return Feed{}, sdk.Fail("bad_limit", fmt.Sprintf("limit is %d: want 1 to %d", limit, maxItems))
	}
	if limit == 0 {
		limit = defaultItems
	}
	if c.Since != "" {
		since, err := time.Parse(time.RFC3339, c.Since)
		if err != nil {
			return Feed{}, sdk.Fail("bad_since", fmt.Sprintf("since %q is no time such as 2026-01-31T12:00:00Z", c.Since))
		}
		feed.Items = slices.DeleteFunc(feed.Items, func(i Item) bool {
			published, err := time.Parse(time.RFC3339, i.Published)
			return err == nil && published.Before(since)
		})
	}
	if len(feed.Items) > limit {
		feed.Items, feed.More = feed.Items[:limit], true
	}
	return *feed, nil
}

func fetch(c *sdk.Context, in FetchIn) (Feed, error) {
	feed, err := get(c, in.URL)
	if err != nil {
		return Feed{}, err
	}
	return in.of(feed)
}

func get(c *sdk.Context, url string) (*Feed, error) {
	response, err := sdk.HTTP(c, sdk.HTTPRequest{Method: "GET", URL: url, Headers: map[string]string{
		"accept": "application/feed+json, application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5",
	}})
	if err != nil {
		return nil, err
	}
	if response.Status != 200 {
		return nil, sdk.Fail("feed_status", fmt.Sprintf("the server answered %d", response.Status))
	}
	body, err := sdk.Body(response)
	if err != nil {
		return nil, err
	}
	return read(string(body))
}

// fetchNew gives the items that no earlier call has given, and remembers those that
// it gives: with a limit, the rest is new at the next call.
func fetchNew(c *sdk.Context, in FetchIn) (Feed, error) {
	feed, err := get(c, in.URL)
	if err != nil {
		return Feed{}, err
	}
	key := "seen/" + short(in.URL)
	seen, err := remembered(c, key)
	if err != nil {
		return Feed{}, err
	}
	feed.Items = slices.DeleteFunc(feed.Items, func(i Item) bool { return slices.Contains(seen, short(i.ID)) })
	out, err := in.of(feed)
	if err != nil || len(out.Items) == 0 {
		return out, err
	}
	for _, item := range out.Items {
		seen = append(seen, short(item.ID))
	}
	raw, err := json.Marshal(seen[max(0, len(seen)-maxSeen):])
	if err != nil {
		return Feed{}, err
	}
	return out, sdk.KVPut(c, key, string(raw))
}

func remembered(c *sdk.Context, key string) (seen []string, err error) {
	value, found, err := sdk.KVGet(c, key)
	if err != nil || !found {
		return nil, err
	}
	if err := json.Unmarshal([]byte(value), &seen); err != nil {
		return nil, sdk.Fail("bad_memory", "what was stored of this feed cannot be read: delete the key "+key)
	}
	return seen, nil
}

// short names an id in 16 bytes, so that the store is bounded whatever feeds call
// their items.
func short(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

var (
	_ = sdk.Action("parse", parse)
	_ = sdk.Action("fetch", fetch)
	_ = sdk.Action("fetch_new", fetchNew)
)

func main() {} // a skill is entered through its actions
