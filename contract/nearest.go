package contract

import (
	"strings"

	"github.com/writ-run/writ"
)

// clip bounds what of a caller's text an error repeats.
func clip(s string) string { return writ.Clip(s, 80) }

// Nearest is the candidate with the least edit distance, or "" where all are
// far: more than a third of it would have to change.
func Nearest(word string, candidates []string) string {
	if len(word) > 200 { // the distance is quadratic, and no key is that long
		return ""
	}
	best, least := "", 0
	for _, c := range candidates {
		// A missing prefix is the usual slip: intent.submit.
		if strings.EqualFold(c, "controlPlane."+word) {
			return c
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); best == "" || d < least {
			best, least = c, d
		}
	}
	if least > len(best)/3 {
		return ""
	}
	return best
}

// NearestEvent is the key of an event that is likely meant by word, or "".
func NearestEvent(word string) string {
	keys := make([]string, 0, len(events))
	for _, e := range events {
		keys = append(keys, e.Key)
	}
	if near := Nearest(word, keys); near != "" {
		return near
	}
	return Nearest("controlPlane."+word, keys)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
