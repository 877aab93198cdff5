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

// TimeOf converts t; the zero time.Time becomes the zero Time.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
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

// UnmarshalJSON accepts any RFC 3339 time and null.
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
	*t = TimeOf(parsed)
	return nil
}
