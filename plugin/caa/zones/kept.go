package zones

import (
	"sync/atomic"

	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
)

// Key is which of a name's answers a message is: a type, and whether DNSSEC was asked for. All types that a name does
// not have share one, NoData.
type Key uint32

const (
	// NoData is the key of the denial: type 0 exists nowhere.
	NoData Key = 0
	// DNSSECOK is the DO bit (RFC 3225), above the type.
	DNSSECOK Key = 1 << 16
)

func (k Key) rrtype() uint16 { return uint16(k) }
func (k Key) do() bool       { return k&DNSSECOK != 0 }

// prepared is an answer that is kept.
type prepared struct {
	*dnswire.Message
	name string // canonical
	key  Key
}

// answerList holds the few answers of one name, copied on write.
type answerList struct{ list atomic.Pointer[[]*prepared] }

func (l *answerList) get(k Key) *prepared {
	if list := l.list.Load(); list != nil {
		for _, m := range *list {
			if m.key == k {
				return m
			}
		}
	}
	return nil
}

func (l *answerList) put(m *prepared) {
	for {
		old := l.list.Load()
		list := []*prepared{m}
		if old != nil {
			for _, other := range *old {
				if other.key != m.key {
					list = append(list, other)
				}
			}
		}
		if l.list.CompareAndSwap(old, &list) {
			return
		}
	}
}
