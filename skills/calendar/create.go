package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"

	"github.com/writ-run/writ/sdk"
)

// CreateIn is the input of create.
type CreateIn struct {
	Summary     string   `json:"summary"`
	Start       string   `json:"start" doc:"RFC 3339, or a day such as 2026-01-31 for a whole day"`
	End         string   `json:"end,omitempty" doc:"As start; an hour or a day later if absent"`
	TimeZone    string   `json:"timeZone,omitempty" doc:"IANA name in which the event repeats; UTC if absent"`
	Description string   `json:"description,omitempty"`
	Location    string   `json:"location,omitempty"`
	Repeats     string   `json:"repeats,omitempty" doc:"A rule such as FREQ=WEEKLY;COUNT=4"`
	UID         string   `json:"uid,omitempty" doc:"Name of the event; made of what it says if absent"`
	Organizer   string   `json:"organizer,omitempty" doc:"Email address"`
	Attendees   []string `json:"attendees,omitempty" doc:"Email addresses"`
}

// CreateOut is the output of create.
type CreateOut struct {
	ICS string `json:"ics"`
	UID string `json:"uid"`
}

const product = "-//Writ//writ/calendar//EN"

var addressForm = regexp.MustCompile(`^[^\s@:;,<>"]{1,64}@[A-Za-z0-9.-]{1,190}$`)

func create(_ *sdk.Context, in CreateIn) (CreateOut, error) {
	if strings.TrimSpace(in.Summary) == "" {
		return CreateOut{}, sdk.Fail("empty", "an event needs a summary")
	}
	e := ical.NewEvent()
	if err := in.when(e); err != nil {
		return CreateOut{}, err
	}
	if err := in.who(e); err != nil {
		return CreateOut{}, err
	}
	if in.UID == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{in.Summary, in.Start, in.End, in.Location, in.Organizer}))
		in.UID = hex.EncodeToString(sum[:16]) + "@writ"
	}
	for name, value := range map[string]string{
		ical.PropUID: in.UID, ical.PropSummary: in.Summary, ical.PropDescription: in.Description, ical.PropLocation: in.Location,
	} {
		if value != "" {
			e.Props.SetText(name, strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", "\n"), "\r", "\n"))
		}
	}
	e.Props.SetDateTime(ical.PropDateTimeStamp, time.Now().UTC())
	c := ical.NewCalendar()
	c.Props.SetText(ical.PropVersion, "2.0")
	c.Props.SetText(ical.PropProductID, product)
	c.Children = append(c.Children, e.Component)
	var b strings.Builder
	if err := ical.NewEncoder(&b).Encode(c); err != nil {
		return CreateOut{}, bad(err)
	}
	return CreateOut{ICS: b.String(), UID: in.UID}, nil
}

// when sets start, end and rule.
func (in *CreateIn) when(e *ical.Event) error {
	zone, err := zoneOf(in.TimeZone)
	if err != nil {
		return err
	}
	set, parse, length := e.Props.SetDateTime, func(text string) (time.Time, error) { return time.Parse(time.RFC3339, text) }, time.Hour
	if len(in.Start) == len(time.DateOnly) {
		set, parse, length = e.Props.SetDate, func(text string) (time.Time, error) { return time.ParseInLocation(time.DateOnly, text, time.UTC) }, 24*time.Hour
		zone = time.UTC // a day is the same day everywhere
	}
	start, err := parse(in.Start)
	end := start.Add(length)
	if err == nil && in.End != "" {
		end, err = parse(in.End)
	}
	if err != nil || !start.Before(end) {
		return sdk.Fail("bad_time", "start and end: want two times such as 2026-01-31T12:00:00Z or two days such as 2026-01-31, the end the later one")
	}
	set(ical.PropDateTimeStart, start.In(zone))
	set(ical.PropDateTimeEnd, end.In(zone))
	if in.Repeats == "" {
		return nil
	}
	rule, err := rrule.StrToROption(in.Repeats)
	if err != nil {
		return sdk.Fail("bad_rule", err.Error())
	}
	e.Props.SetRecurrenceRule(rule)
	return nil
}

func (in *CreateIn) who(e *ical.Event) error {
	for _, one := range append([]string{in.Organizer}, in.Attendees...) {
		if one != "" && !addressForm.MatchString(one) {
			return sdk.Fail("bad_address", fmt.Sprintf("%q is no email address", one))
		}
	}
	add := func(name, address string) {
		prop := ical.NewProp(name)
		prop.Value = "mailto:" + address
		e.Props.Add(prop)
	}
	if in.Organizer != "" {
		add(ical.PropOrganizer, in.Organizer)
	}
	for _, address := range in.Attendees {
		add(ical.PropAttendee, address)
	}
	return nil
}
