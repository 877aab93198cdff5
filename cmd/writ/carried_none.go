//go:build !firstparty

package main

// carriedSkills is the archive of first-party skills: none in a build without them.
var carriedSkills []byte
