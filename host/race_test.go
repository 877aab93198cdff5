//go:build race

package host

// raceBuild says that the race detector's shadow stands beside all memory.
const raceBuild = true
