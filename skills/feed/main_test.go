package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/abi"
	"github.com/writ-run/writ/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

const url = "https://example.com/feed"

// feedOf is a JSON Feed of the items.
func feedOf(ids ...string) abi.HTTPResponse {
	items := []map[string]string{}
	for _, id := range ids {
		items = append(items, map[string]string{"id": id, "content_text": "x"})
	}
	raw, err := json.Marshal(map[string]any{"version": "https://jsonfeed.org/version/1.1", "title": "T", "items": items})
	if err != nil {
		panic(err)
	}
	return abi.HTTPResponse{Body: string(raw)}
}

func TestWhatIsNewComesOnce(t *testing.T) {
	host := sdktest.New(t).ReplyHTTP("GET", url, feedOf("a", "b", "c")).ReplyHTTP("GET", url, feedOf("d", "a", "b", "c"))
	for _, want := range []string{"a b more", "d c", ""} {
		out, err := sdktest.Run[Feed](host, "fetch_new", FetchIn{URL: url, Choice: Choice{Limit: 2}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, item := range out.Items {
			got = append(got, item.ID)
		}
		if out.More {
			got = append(got, "more")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("new are %v, want %q", got, want)
		}
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	host := sdktest.New(t)
	for round := range maxSeen/maxItems + 2 {
		var ids []string
		for i := range maxItems {
			ids = append(ids, fmt.Sprintf("%d-%d", round, i))
		}
		host = host.ReplyHTTP("GET", fmt.Sprintf("%s/%d", url, 0), feedOf(ids...))
	}
	for range maxSeen/maxItems + 2 {
		out, err := sdktest.Run[Feed](host, "fetch_new", FetchIn{URL: url + "/0", Choice: Choice{Limit: maxItems}})
		if err != nil || len(out.Items) != maxItems {
			t.Fatalf("%d items, %v", len(out.Items), err)
		}
	}
	var seen []string
	for key, value := range host.KV {
		if err := json.Unmarshal([]byte(value), &seen); err != nil || !strings.HasPrefix(key, "seen/") || len(seen) != maxSeen {
			t.Errorf("%s holds %d ids, %v", key, len(seen), err)
		}
	}
}

// No text makes the reader do anything but read it or say that it cannot.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`<rss><channel><item><title>x</title></item></channel></rss>`, `<feed><entry><id>1</id></entry></feed>`,
		`{"items":[null,{"id":1}]}`, `<rdf:RDF xmlns:rdf="x"><item/></rdf:RDF>`, `<?xml version="1.0" encoding="utf-16"?><rss/>`, `<!DOCTYPE rss [<!ENTITY a "b">]><rss>&a;</rss>`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		feed, err := read(text)
		if (feed == nil) == (err == nil) {
			t.Errorf("%q gives %v and %v", text, feed, err)
		}
	})
}
