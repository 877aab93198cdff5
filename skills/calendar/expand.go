package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"

	"github.com/writ-run/writ/sdk"
)

// maxSteps bounds how far one rule is followed: a rule by the hour over twenty
// years. What repeats by the minute or second is refused.
const maxSteps = 200_000

// span is when an event takes place for the first time.
type span struct {
	start, end time.Time
	allDay     bool
}

// occurrence is one time at which an event takes place.
type occurrence struct {
	span
	event *ical.Event
}

func (c *calendar) span(e *ical.Event) (s span, err error) {
	prop := e.Props.Get(ical.PropDateTimeStart)
	if prop == nil {
		return s, sdk.Fail("bad_calendar", fmt.Sprintf("event %q has no start", text(e, ical.PropUID)))
	}
	if s.start, err = prop.DateTime(c.zone); err != nil {
		return s, c.timeless(e, err)
	}
	s.allDay = prop.ValueType() == ical.ValueDate || len(prop.Value) == len("20060102")
	if s.end, err = e.DateTimeEnd(c.zone); err != nil {
		return s, c.timeless(e, err)
	}
	if s.allDay && e.Props.Get(ical.PropDateTimeEnd) == nil && e.Props.Get(ical.PropDuration) == nil {
		s.end = s.start.AddDate(0, 0, 1) // a day is not always 24 hours
	}
	if s.end.Before(s.start) {
		return s, sdk.Fail("bad_calendar", fmt.Sprintf("event %q ends before it starts", text(e, ical.PropUID)))
	}
	return s, nil
}

func (c *calendar) timeless(e *ical.Event, err error) error {
	return sdk.Fail("bad_calendar", fmt.Sprintf("event %q: %v", text(e, ical.PropUID), err))
}

// between gives what takes place in the window, by start. An event with a
// RECURRENCE-ID stands for that occurrence of its series.
func (c *calendar) between(from, to time.Time) ([]occurrence, error) {
	moved := map[string]bool{}
	for i := range c.events {
		if prop := c.events[i].Props.Get(ical.PropRecurrenceID); prop != nil {
			at, err := prop.DateTime(c.zone)
			if err != nil {
				return nil, c.timeless(&c.events[i], err)
			}
			moved[series(&c.events[i], at)] = true
		}
	}
	var found []occurrence
	for i := range c.events {
		e := &c.events[i]
		first, err := c.span(e)
		if err != nil {
			return nil, err
		}
		starts, err := c.starts(e, first, to)
		if err != nil {
			return nil, err
		}
		for _, start := range starts {
			if e.Props.Get(ical.PropRecurrenceID) == nil && moved[series(e, start)] {
				continue
			}
			o := occurrence{span{start, first.endFor(start), first.allDay}, e}
			if o.start.Before(to) && (o.end.After(from) || (o.end.Equal(o.start) && !o.start.Before(from))) {
				found = append(found, o)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b occurrence) int { return a.start.Compare(b.start) })
	return found, nil
}

func series(e *ical.Event, at time.Time) string {
	return fmt.Sprint(text(e, ical.PropUID), "\x00", at.Unix())
}

// endFor keeps the length of whole days in days, and of all else in time.
func (s span) endFor(start time.Time) time.Time {
	if s.allDay {
		return start.AddDate(0, 0, int(s.end.Sub(s.start).Hours()+12)/24)
	}
	return start.Add(s.end.Sub(s.start))
}

// starts are all times up to the end of the window at which the event begins.
func (c *calendar) starts(e *ical.Event, first span, to time.Time) ([]time.Time, error) {
	rule, err := e.Props.RecurrenceRule()
	if err != nil {
		return nil, c.timeless(e, err)
	}
	set := rrule.Set{}
	if rule != nil {
		if rule.Freq == rrule.MINUTELY || rule.Freq == rrule.SECONDLY {
			return nil, sdk.Fail("bad_rule", fmt.Sprintf("event %q repeats by the minute or second", text(e, ical.PropUID)))
		}
		rule.Dtstart = first.start
		made, err := rrule.NewRRule(*rule)
		if err != nil {
			return nil, sdk.Fail("bad_rule", fmt.Sprintf("event %q: %v", text(e, ical.PropUID), err))
		}
		set.RRule(made)
	}
	set.DTStart(first.start)
	set.RDate(first.start) // the start counts, whatever the rule says
	for name, add := range map[string]func(time.Time){ical.PropRecurrenceDates: set.RDate, ical.PropExceptionDates: set.ExDate} {
		dates, err := c.dates(e, name)
		if err != nil {
			return nil, err
		}
		for _, at := range dates {
			add(at)
		}
	}
	var out []time.Time
	next := set.Iterator()
	for n := 0; ; n++ {
		at, ok := next()
		if !ok || !at.Before(to) {
			return out, nil
		}
		if n == maxSteps {
			return nil, sdk.Fail("bad_rule", fmt.Sprintf("event %q repeats more than %d times before the end of the window", text(e, ical.PropUID), maxSteps))
		}
		if len(out) == 0 || !out[len(out)-1].Equal(at) {
			out = append(out, at)
		}
	}
}

// dates are those of a property with lists of them.
func (c *calendar) dates(e *ical.Event, name string) (out []time.Time, err error) {
	for _, prop := range e.Props.Values(name) {
		for value := range strings.SplitSeq(prop.Value, ",") {
			one := ical.Prop{Name: prop.Name, Params: prop.Params, Value: value}
			at, err := one.DateTime(c.zone)
			if err != nil {
				return nil, c.timeless(e, err)
			}
			out = append(out, at)
		}
	}
	return out, nil
}
