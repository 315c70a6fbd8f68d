//go:build !race

package keyroll

// raceDetector makes explorations smaller.
const raceDetector = false
