package main

import (
	"cmp"
	"encoding/xml"
	"io"
	"strings"
	"time"

	"github.com/mmcdole/gofeed/atom"
	feedjson "github.com/mmcdole/gofeed/json"
	"github.com/mmcdole/gofeed/rss"

	"github.com/writ-run/writ/sdk"
)

// read reads a feed of any of the three formats.
func read(text string) (*Feed, error) {
	var feed *Feed
	var err error
	switch format(text) {
	case "json":
		feed, err = readJSON(text)
	case "atom":
		feed, err = readAtom(text)
	case "rss":
		feed, err = readRSS(text)
	default:
		return nil, sdk.Fail("not_a_feed", "the text is neither RSS nor Atom nor JSON Feed")
	}
	if err != nil {
		return nil, sdk.Fail("bad_feed", err.Error())
	}
	for i := range feed.Items {
		item := &feed.Items[i]
		item.ID = cmp.Or(item.ID, item.Link, item.Title)
		if len(item.Summary) > maxSummary {
			item.Summary = strings.ToValidUTF8(item.Summary[:maxSummary], "")
		}
	}
	return feed, nil
}

// format goes by the first element, or the brace of JSON.
func format(text string) string {
	if strings.HasPrefix(strings.TrimLeft(text, "\ufeff \t\r\n"), "{") {
		return "json"
	}
	decoder := xml.NewDecoder(strings.NewReader(text))
	decoder.Strict = false
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil } // names are ASCII
	for {
		token, err := decoder.RawToken()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok {
			return map[string]string{"rss": "rss", "RDF": "rss", "feed": "atom"}[start.Name.Local]
		}
	}
}

func when(parsed ...*time.Time) string {
	for _, t := range parsed {
		if t != nil {
			return t.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

func readRSS(text string) (*Feed, error) {
	raw, err := (&rss.Parser{}).Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	feed := &Feed{Format: "rss", Title: raw.Title, Link: raw.Link, Items: []Item{}}
	for _, r := range raw.Items {
		item := Item{Title: r.Title, Link: r.Link, Author: r.Author, Published: when(r.PubDateParsed), Summary: cmp.Or(r.Description, r.Content)}
		if r.GUID != nil {
			item.ID = r.GUID.Value
		}
		if dc := r.DublinCoreExt; dc != nil {
			if item.Author == "" && len(dc.Creator) > 0 {
				item.Author = dc.Creator[0]
			}
			if t, err := time.Parse(time.RFC3339, strings.Join(dc.Date, "")); err == nil && item.Published == "" {
				item.Published = when(&t)
			}
		}
		feed.Items = append(feed.Items, item)
	}
	return feed, nil
}

func readAtom(text string) (*Feed, error) {
	raw, err := (&atom.Parser{}).Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	feed := &Feed{Format: "atom", Title: raw.Title, Link: page(raw.Links), Items: []Item{}}
	for _, r := range raw.Entries {
		item := Item{ID: r.ID, Title: r.Title, Link: page(r.Links), Published: when(r.PublishedParsed, r.UpdatedParsed), Summary: r.Summary}
		if item.Summary == "" && r.Content != nil {
			item.Summary = r.Content.Value
		}
		if len(r.Authors) > 0 {
			item.Author = r.Authors[0].Name
		}
		feed.Items = append(feed.Items, item)
	}
	return feed, nil
}

// page is the link to what people read.
func page(links []*atom.Link) string {
	for _, l := range links {
		if l.Rel == "alternate" || l.Rel == "" {
			return l.Href
		}
	}
	return ""
}

func readJSON(text string) (*Feed, error) {
	raw, err := (&feedjson.Parser{}).Parse(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	if err != nil {
		return nil, err
	}
	feed := &Feed{Format: "json", Title: raw.Title, Link: raw.HomePageURL, Items: []Item{}}
	for _, r := range raw.Items {
		if r == nil {
			continue
		}
		item := Item{ID: r.ID, Title: r.Title, Link: cmp.Or(r.URL, r.ExternalURL), Summary: cmp.Or(r.Summary, r.ContentText, r.ContentHTML)}
		for _, text := range []string{r.DatePublished, r.DateModified} {
			if t, err := time.Parse(time.RFC3339, text); err == nil && item.Published == "" {
				item.Published = when(&t)
			}
		}
		if r.Author != nil {
			item.Author = r.Author.Name
		}
		if len(r.Authors) > 0 && r.Authors[0] != nil {
			item.Author = r.Authors[0].Name
		}
		feed.Items = append(feed.Items, item)
	}
	return feed, nil
}
