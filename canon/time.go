package canon

import (
	"encoding/json"
	"fmt"
	"time"
)

// Time is a moment in nanoseconds since the Unix epoch, UTC. In JSON it is RFC
// 3339 with exactly nine fraction digits; in CBOR it is the integer.
// The zero Time is "not set" and is written as null in JSON.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000000Z"

// The moments that 64 bits of nanoseconds reach, in whole years.
const (
	firstYear = 1678
	lastYear  = 2261
)

// TimeOf converts t; the zero time.Time becomes the zero Time. A moment before
// 1678 or after 2261 becomes the nearest that can be said.
func TimeOf(t time.Time) Time {
	switch year := t.UTC().Year(); {
	case t.IsZero():
		return 0
	case year < firstYear:
		t = time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > lastYear:
		t = time.Date(lastYear+1, 1, 1, 0, 0, 0, -1, time.UTC)
	}
	return Time(t.UnixNano())
}

// Std is the standard library's form of t, in UTC.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// Add moves t by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// String is the JSON form without quotes, or "" where t is not set.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Std().Format(timeLayout)
}

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(t.String())
}

// UnmarshalJSON accepts null and any RFC 3339 time from 1678 to 2261 but the
// epoch itself, which would mean that no time is set.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("time: want an RFC 3339 string: %w", err)
	}
	parsed, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("time: want an RFC 3339 string: %w", err)
	}
	if year := parsed.UTC().Year(); year < firstYear || year > lastYear || parsed.UnixNano() == 0 {
		return fmt.Errorf("time: %s cannot be said: want a moment from %d to %d, not the epoch", clip(s), firstYear, lastYear)
	}
	*t = TimeOf(parsed)
	return nil
}
