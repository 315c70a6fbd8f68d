//go:build !race

package world

// buildFlags make the server that is tested as the test is: without the race detector.
var buildFlags []string
