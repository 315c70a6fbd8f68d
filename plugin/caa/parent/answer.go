package parent

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// answer is what one server of the parent has for a zone, or why it did not say.
type answer struct {
	ds  []*dns.DS // none: there is no DS
	err error
}

// read takes a message for what a server of the parent says of a zone.
func read(m *dns.Msg, zone string) answer {
	if err := answersAsParent(m, zone); err != nil {
		return answer{err: err}
	}
	var set []*dns.DS
	for _, rr := range m.Answer {
		if ds, ok := rr.(*dns.DS); ok && dns.CanonicalName(ds.Hdr.Name) == zone {
			set = append(set, ds)
		}
	}
	return answer{ds: set}
}

// ErrNoName is an answer of a server of the parent that there is no such name: the zone is not delegated yet.
var ErrNoName = errors.New("it answered NXDOMAIN")

// answersAsParent says why a message is no answer of a server of the parent. One of the child's, which says
// with authority that there is no DS (RFC 4035 3.1.4.1), must not be taken for the parent's.
func answersAsParent(m *dns.Msg, zone string) error {
	switch {
	case m.Rcode == dns.RcodeNameError && m.Authoritative:
		return ErrNoName
	case m.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("it answered %s", dns.RcodeToString[m.Rcode])
	case !m.Authoritative:
		return errors.New("it is not authoritative for the parent zone")
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeDS && dns.CanonicalName(rr.Header().Name) == zone {
			return nil
		}
	}
	for _, rr := range m.Ns {
		if owner := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && owner != zone && dns.IsSubDomain(owner, zone) {
			return nil
		}
	}
	return errors.New("its answer has neither a DS nor the parent's denial of one")
}
