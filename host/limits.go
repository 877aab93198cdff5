package host

import (
	"time"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
)

// Limits of one run: what holds where a manifest says nothing, and the most that
// it may ask for.
const (
	DefaultMemory abi.Bytes = 64 << 20 // a stock Go skill starts with 3 MiB
	MaxMemory     abi.Bytes = 1 << 30

	DefaultTime = abi.Duration(10 * time.Second) // with the time of its tool calls
	MaxTime     = abi.Duration(time.Hour)

	// Fuel, in instructions as package meter counts them: a core spends one to three
	// of them in a nanosecond, so the defaults of fuel and time end a tight loop at
	// about the same place, and so do their maxima. A stock Go skill takes 270,000 to
	// read and write a short JSON document, one in C 500.
	DefaultFuel = 10_000_000_000
	MaxFuel     = 10_000_000_000_000

	DefaultCalls = 100
	MaxCalls     = 10_000 // each is three journal records

	DefaultOutput abi.Bytes = 1 << 20
	MaxOutput     abi.Bytes = 16 << 20
)

// Limits that a manifest cannot change.
const (
	// MaxArguments of one tool call: above the plan's own limit of 1 MiB.
	MaxArguments = 4 << 20
	// MaxFailure of a guest: a typical error message is about 200 bytes.
	MaxFailure = 8 << 10
	// MaxGuestOutput is how much of what a run prints is passed on.
	MaxGuestOutput = 64 << 10
	// MaxVars is the size of all variables of an Extism plug-in, the Extism
	// default; each counts 40 bytes besides its name and value.
	MaxVars = 1 << 20

	pageBytes = 64 << 10
)

// EffectiveLimits fills in the defaults. CodeInvalid where a limit is negative or
// above its maximum.
func EffectiveLimits(l abi.Limits) (abi.Limits, error) {
	for _, bound := range []struct {
		name             string
		value            *int64
		initial, maximum int64
	}{
		{"memory", (*int64)(&l.Memory), int64(DefaultMemory), int64(MaxMemory)},
		{"time", (*int64)(&l.Time), int64(DefaultTime), int64(MaxTime)},
		{"output", (*int64)(&l.Output), int64(DefaultOutput), int64(MaxOutput)},
	} {
		if err := effective(bound.name, bound.value, bound.initial, bound.maximum); err != nil {
			return abi.Limits{}, err
		}
	}
	calls := int64(l.Calls)
	if err := effective("calls", &calls, DefaultCalls, MaxCalls); err != nil {
		return abi.Limits{}, err
	}
	l.Calls = int(calls)
	if l.Fuel > MaxFuel {
		return abi.Limits{}, outside("fuel", l.Fuel, MaxFuel)
	}
	if l.Fuel == 0 {
		l.Fuel = DefaultFuel
	}
	return l, nil
}

func effective(name string, value *int64, initial, maximum int64) error {
	if *value < 0 || *value > maximum {
		return outside(name, *value, maximum)
	}
	if *value == 0 {
		*value = initial
	}
	return nil
}

func outside[T int64 | uint64](name string, value, maximum T) error {
	return writ.Errorf(writ.CodeInvalid, "limits: "+name, "%d is outside 0 to %d", value, maximum).
		WithFix("lower limits.%s in the skill's manifest", name)
}
