package keyring

import (
	"time"
)

// reminder is how often it is logged again that a zone is bogus, or that a file of cosigner is of no use: as often as
// that a policy is refused.
const reminder = 10 * time.Minute

// lasting is something wrong that is logged now and then while it lasts.
type lasting struct {
	text string    // "": nothing is
	last time.Time // when it was logged
}

// log notes what is wrong now, "" for nothing, and logs it where it is time; over is logged when it has ended.
func (l *lasting) log(now time.Time, text string, logged func(any), over string) {
	switch {
	case text != "" && (text != l.text || now.Sub(l.last) >= reminder):
		logged(text)
		l.last = now
	case text == "" && l.text != "":
		log.Info(over)
	}
	l.text = text
}
