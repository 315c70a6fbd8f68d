package quorum

import (
	"fmt"
	"math"
)

// Region is the service region of a Regional Internet Registry.
type Region string

// The five regions.
const (
	AFRINIC Region = "AFRINIC"
	APNIC   Region = "APNIC"
	ARIN    Region = "ARIN"
	LACNIC  Region = "LACNIC"
	RIPENCC Region = "RIPE NCC"
)

// Regions are all of them.
func Regions() []Region { return []Region{AFRINIC, APNIC, ARIN, LACNIC, RIPENCC} }

// MinDistance is, in km, what makes two perspectives distinct (BR 3.2.2.9).
const MinDistance = 500

// earthRadius is the mean one, in km (IUGG). The sphere is right to 0.5 %.
const earthRadius = 6371.0088

// Coordinates are of WGS 84, in degrees.
type Coordinates struct {
	Latitude  float64 `json:"latitude"`  // -90 to 90, north is positive
	Longitude float64 `json:"longitude"` // -180 to 180, east is positive
}

// Valid returns what is wrong with coordinates.
func (c Coordinates) Valid() error {
	if !(math.Abs(c.Latitude) <= 90) {
		return fmt.Errorf("the latitude is from -90 to 90 degrees, not %v", c.Latitude)
	}
	if !(math.Abs(c.Longitude) <= 180) {
		return fmt.Errorf("the longitude is from -180 to 180 degrees, not %v", c.Longitude)
	}
	return nil
}

// Distance returns the straight-line distance to other coordinates in km, through the Earth: "straight-line" is the
// text's word, and the stricter reading.
func (c Coordinates) Distance(other Coordinates) float64 {
	a, b := c.vector(), other.vector()
	var sum float64
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return earthRadius * math.Sqrt(sum)
}

// vector is the point on the unit sphere.
func (c Coordinates) vector() [3]float64 {
	lat, lon := c.Latitude*math.Pi/180, c.Longitude*math.Pi/180
	return [3]float64{math.Cos(lat) * math.Cos(lon), math.Cos(lat) * math.Sin(lon), math.Sin(lat)}
}
