// Command calendar is the skill writ/calendar: events in iCalendar text (RFC 5545),
// with what repeats spelled out. It uses no tool.
package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a guest has no file with time zones

	"github.com/emersion/go-ical"

	"github.com/writ-run/writ/sdk"
)

// maxEvents bounds a list of events or occurrences.
const maxEvents = 1000

// Text is a calendar as text.
type Text struct {
	ICS      string `json:"ics" doc:"iCalendar text (RFC 5545)"`
	TimeZone string `json:"timeZone,omitempty" doc:"IANA name such as Europe/Oslo, for times that name none and for what is put out; UTC if absent"`
}

// Window is a span of time, its end left out.
type Window struct {
	From string `json:"from" doc:"RFC 3339"`
	To   string `json:"to" doc:"RFC 3339"`
}

// calendar is a read Text.
type calendar struct {
	events []ical.Event
	zone   *time.Location
}

func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, sdk.Fail("bad_time_zone", fmt.Sprintf("there is no time zone %q: use an IANA name such as Europe/Oslo", name))
	}
	return zone, nil
}

func (t Text) read() (*calendar, error) {
	zone, err := zoneOf(t.TimeZone)
	if err != nil {
		return nil, err
	}
	out := &calendar{zone: zone}
	decoder := ical.NewDecoder(strings.NewReader(t.ICS))
	for n := 0; ; n++ {
		one, err := decode(decoder)
		if errors.Is(err, io.EOF) && n > 0 {
			return out, nil
		}
		if err != nil {
			return nil, bad(err)
		}
		out.events = append(out.events, one.Events()...)
	}
}

// decode is the library's Decode, which indexes past the end of some lines that are
// cut off.
func decode(d *ical.Decoder) (one *ical.Calendar, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("a line is cut off")
		}
	}()
	return d.Decode()
}

func bad(err error) error { return sdk.Fail("bad_calendar", err.Error()) }

func (w Window) times() (from, to time.Time, err error) {
	if from, err = time.Parse(time.RFC3339, w.From); err == nil {
		to, err = time.Parse(time.RFC3339, w.To)
	}
	if err != nil {
		return from, to, sdk.Fail("bad_time", "from and to: want times such as 2026-01-31T12:00:00Z")
	}
	if !from.Before(to) {
		return from, to, sdk.Fail("bad_time", "from is not before to")
	}
	return from, to, nil
}

// Event is an event as it is written, repetitions not spelled out.
type Event struct {
	UID         string   `json:"uid"`
	Summary     string   `json:"summary"`
	Description string   `json:"description"`
	Location    string   `json:"location"`
	Start       string   `json:"start"`
	End         string   `json:"end" doc:"When it is over; for a whole day the day after"`
	AllDay      bool     `json:"allDay"`
	Status      string   `json:"status" doc:"CONFIRMED, TENTATIVE, CANCELLED or empty"`
	Repeats     string   `json:"repeats" doc:"The rule (RRULE), empty where it does not repeat"`
	Organizer   string   `json:"organizer"`
	Attendees   []string `json:"attendees"`
}

// ParseOut is the output of parse.
type ParseOut struct {
	Events []Event `json:"events"`
	More   bool    `json:"more" doc:"Whether there are more than 1000"`
}

func parse(_ *sdk.Context, in Text) (ParseOut, error) {
	c, err := in.read()
	if err != nil {
		return ParseOut{}, err
	}
	out := ParseOut{Events: []Event{}, More: len(c.events) > maxEvents}
	for _, e := range c.events[:min(maxEvents, len(c.events))] {
		span, err := c.span(&e)
		if err != nil {
			return ParseOut{}, err
		}
		event := Event{
			UID: text(&e, ical.PropUID), Summary: text(&e, ical.PropSummary), Description: text(&e, ical.PropDescription),
			Location: text(&e, ical.PropLocation), Status: strings.ToUpper(text(&e, ical.PropStatus)),
			Start: c.stamp(span.start), End: c.stamp(span.end), AllDay: span.allDay, Organizer: address(e.Props.Get(ical.PropOrganizer)), Attendees: []string{},
		}
		if rule := e.Props.Get(ical.PropRecurrenceRule); rule != nil {
			event.Repeats = rule.Value
		}
		for _, a := range e.Props.Values(ical.PropAttendee) {
			event.Attendees = append(event.Attendees, address(&a))
		}
		out.Events = append(out.Events, event)
	}
	return out, nil
}

// text is a property's text, or its value as it stands where that is no text.
func text(e *ical.Event, name string) string {
	prop := e.Props.Get(name)
	if prop == nil {
		return ""
	}
	value, err := prop.Text()
	if err != nil {
		return prop.Value
	}
	return value
}

func address(prop *ical.Prop) string {
	if prop == nil {
		return ""
	}
	if scheme := "mailto:"; len(prop.Value) > len(scheme) && strings.EqualFold(prop.Value[:len(scheme)], scheme) {
		return prop.Value[len(scheme):]
	}
	return prop.Value
}

func (c *calendar) stamp(t time.Time) string { return t.In(c.zone).Format(time.RFC3339) }

// EventsIn is the input of events.
type EventsIn struct {
	Text
	Window
}

// Occurrence is one time at which an event takes place.
type Occurrence struct {
	UID      string `json:"uid"`
	Summary  string `json:"summary"`
	Location string `json:"location"`
	Start    string `json:"start"`
	End      string `json:"end"`
	AllDay   bool   `json:"allDay"`
	Status   string `json:"status"`
}

// EventsOut is the output of events.
type EventsOut struct {
	Occurrences []Occurrence `json:"occurrences" doc:"By their start"`
	More        bool         `json:"more" doc:"Whether there are more than 1000"`
}

func events(_ *sdk.Context, in EventsIn) (EventsOut, error) {
	c, found, err := in.occurrences()
	if err != nil {
		return EventsOut{}, err
	}
	out := EventsOut{Occurrences: []Occurrence{}, More: len(found) > maxEvents}
	for _, o := range found[:min(maxEvents, len(found))] {
		out.Occurrences = append(out.Occurrences, Occurrence{
			UID: text(o.event, ical.PropUID), Summary: text(o.event, ical.PropSummary), Location: text(o.event, ical.PropLocation),
			Start: c.stamp(o.start), End: c.stamp(o.end), AllDay: o.allDay, Status: strings.ToUpper(text(o.event, ical.PropStatus)),
		})
	}
	return out, nil
}

func (in EventsIn) occurrences() (*calendar, []occurrence, error) {
	from, to, err := in.times()
	if err != nil {
		return nil, nil, err
	}
	c, err := in.read()
	if err != nil {
		return nil, nil, err
	}
	found, err := c.between(from, to)
	return c, found, err
}

// Span is a span of time.
type Span struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// FreeBusyOut is the output of free_busy.
type FreeBusyOut struct {
	Busy []Span `json:"busy" doc:"Joined where they touch, and cut to the window"`
	Free []Span `json:"free"`
}

// freeBusy leaves out what is cancelled and what says that it takes no time.
func freeBusy(_ *sdk.Context, in EventsIn) (FreeBusyOut, error) {
	from, to, err := in.times()
	if err != nil {
		return FreeBusyOut{}, err
	}
	c, found, err := in.occurrences()
	if err != nil {
		return FreeBusyOut{}, err
	}
	found = slices.DeleteFunc(found, func(o occurrence) bool {
		return strings.EqualFold(text(o.event, ical.PropStatus), "CANCELLED") || strings.EqualFold(text(o.event, ical.PropTransparency), "TRANSPARENT")
	})
	out := FreeBusyOut{Busy: []Span{}, Free: []Span{}}
	add := func(to *[]Span, start, end time.Time) {
		if start.Before(end) {
			*to = append(*to, Span{c.stamp(start), c.stamp(end)})
		}
	}
	free := from // everything before is told
	for i := 0; i < len(found); {
		start, end := found[i].start, found[i].end
		for i++; i < len(found) && !found[i].start.After(end); i++ {
			end = later(end, found[i].end)
		}
		start, end = later(start, from), earlier(end, to)
		add(&out.Free, free, start)
		add(&out.Busy, start, end)
		free = later(free, end)
	}
	add(&out.Free, free, to)
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

var (
	_ = sdk.Action("parse", parse)
	_ = sdk.Action("events", events)
	_ = sdk.Action("free_busy", freeBusy)
	_ = sdk.Action("create", create)
)

func main() {} // a skill is entered through its actions
