package zones

import "time"

// Serial returns the serial of a zone's SOA after a change: the Unix time of the change or, where that is not greater
// than the previous serial by the arithmetic of RFC 1982, one more than that. 0 stands for no previous serial and is
// never returned. So a serial grows with every change, also after the previous one was lost, as long as changes are
// more than a second apart on the whole.
func Serial(previous uint32, changed time.Time) uint32 {
	serial := uint32(changed.Unix())
	if previous != 0 && int32(serial-previous) <= 0 {
		serial = previous + 1
	}
	return max(serial, 1)
}
