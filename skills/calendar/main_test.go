package main

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.RunCases(t, "testdata/*.json") }

// What is created is read back, with its words as they were: no word becomes a line
// of its own.
func TestWhatIsCreatedComesBack(t *testing.T) {
	host := sdktest.New(t)
	in := CreateIn{
		Summary: "Plan; review, decide\r\nBEGIN:VALARM", Description: `back\slash` + "\nEND:VEVENT", Location: "Room 1", Start: "2026-03-20T09:00:00+01:00",
		TimeZone: "Europe/Oslo", Repeats: "FREQ=WEEKLY;COUNT=3", Organizer: "ada@example.com", Attendees: []string{"eve@example.com"},
	}
	made, err := sdktest.Run[CreateOut](host, "create", in)
	if err != nil {
		t.Fatal(err)
	}
	read, err := sdktest.Run[ParseOut](host, "parse", Text{ICS: made.ICS, TimeZone: "Europe/Oslo"})
	if err != nil || len(read.Events) != 1 {
		t.Fatalf("%+v, %v in %s", read, err, made.ICS)
	}
	e := read.Events[0]
	if e.Summary != strings.ReplaceAll(in.Summary, "\r", "") || e.Description != in.Description || e.UID != made.UID || e.Repeats != in.Repeats ||
		e.Start != in.Start || e.End != "2026-03-20T10:00:00+01:00" || e.Organizer != in.Organizer || e.Attendees[0] != "eve@example.com" {
		t.Errorf("came back as %+v", e)
	}
	// The wall clock holds when summer time begins.
	times, err := sdktest.Run[EventsOut](host, "events", EventsIn{Text{made.ICS, "Europe/Oslo"}, Window{"2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z"}})
	if err != nil || len(times.Occurrences) != 3 || times.Occurrences[2].Start != "2026-04-03T09:00:00+02:00" {
		t.Errorf("takes place at %+v, %v", times, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260101T000000Z\r\nRRULE:FREQ=DAILY;COUNT=3\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
		"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;TZID=Europe/Oslo:20260101T000000\r\nRDATE:20260102,20260103\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
		"", "BEGIN:VCALENDAR", ":",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, ics string) {
		if len(ics) > 400 {
			return
		}
		_, _ = parse(nil, Text{ICS: ics})
		_, _ = events(nil, EventsIn{Text{ICS: ics}, Window{"2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"}})
	})
}
