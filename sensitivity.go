package writ

import "slices"

// Sensitivity is who may know data, as far as its labels say. The zero value is
// that nobody asked.
type Sensitivity string

// The sensitivities, mildest first.
const (
	SensitivityPublic  Sensitivity = "public"
	SensitivityPrivate Sensitivity = "private" // LabelPrivate
	SensitivitySecret  Sensitivity = "secret"  // LabelSecret
)

// Rank orders sensitivities from 0; whatever is unknown is above them all.
func (s Sensitivity) Rank() int {
	if i := slices.Index([]Sensitivity{SensitivityPublic, SensitivityPrivate, SensitivitySecret}, s); i >= 0 {
		return i
	}
	return 3
}

// Valid reports whether s is one of the sensitivities.
func (s Sensitivity) Valid() bool { return s.Rank() <= SensitivitySecret.Rank() }

// SensitivityOf data with these labels.
func SensitivityOf(labels []Label) Sensitivity {
	switch {
	case slices.Contains(labels, LabelSecret):
		return SensitivitySecret
	case slices.Contains(labels, LabelPrivate):
		return SensitivityPrivate
	}
	return SensitivityPublic
}

// Sensitivity is the highest that the grant reaches: private where it names none,
// and public where what it names is unknown.
func (g *Grant) Sensitivity() Sensitivity {
	switch {
	case g.MaxSensitivity == "":
		return SensitivityPrivate
	case !g.MaxSensitivity.Valid():
		return SensitivityPublic
	}
	return g.MaxSensitivity
}

// ForSensitivity reports whether a step may have data of this sensitivity under the
// grant. Questions of plans from before it was asked say none.
func (g *Grant) ForSensitivity(s Sensitivity) bool {
	return s == "" || g.Sensitivity().Rank() >= s.Rank()
}
