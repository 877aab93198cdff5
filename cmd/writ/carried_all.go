//go:build firstparty

package main

import _ "embed"

// carriedSkills is the archive of first-party skills, which `make` puts there.
//
//go:embed firstparty.shelf
var carriedSkills []byte
