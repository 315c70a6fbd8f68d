package parent

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

const (
	typeDSYNC    = 66 // RFC 9859 6.1; the library does not know it
	schemeNotify = 1  // RFC 9859 2.3: by a NOTIFY message
	dsyncLabel   = "_dsync."
	dsyncFixed   = 5 // octets before the target
)

// dsync is the RDATA of a DSYNC record (RFC 9859 2.1).
type dsync struct {
	rrtype uint16 // the type whose changes the target accepts NOTIFY for
	scheme uint8
	port   uint16
	target string
}

func parseDSYNC(rdata []byte) (dsync, error) {
	if len(rdata) <= dsyncFixed {
		return dsync{}, errors.New("the DSYNC record is too short")
	}
	target, end, err := dns.UnpackDomainName(rdata, dsyncFixed)
	if err != nil {
		return dsync{}, fmt.Errorf("the target of the DSYNC record: %w", err)
	}
	// A compressed name is longer than what is there, and may lead anywhere.
	again := make([]byte, len(rdata))
	if n, err := dns.PackDomainName(target, again, dsyncFixed, nil, false); err != nil || end != len(rdata) || n != end {
		return dsync{}, errors.New("the target of the DSYNC record is not one uncompressed name")
	}
	return dsync{binary.BigEndian.Uint16(rdata), rdata[2], binary.BigEndian.Uint16(rdata[3:]), dns.CanonicalName(target)}, nil
}

// wantsCDS reports whether it asks for NOTIFY(CDS). Port and scheme 0 are to be ignored.
func (d dsync) wantsCDS() bool {
	return d.rrtype == dns.TypeCDS && d.scheme == schemeNotify && d.port != 0
}

// endpoint finds where the parent accepts NOTIFY for a zone's new CDS, in the steps of RFC 9859 4.1; ok
// reports whether it does at all.
func (r *round) endpoint(ctx context.Context, zone string) (d dsync, ok bool, err error) {
	if zone == "." {
		return dsync{}, false, nil
	}
	above := dnsname.Parent(zone) // until an answer says that the parent is further up

	for labels := true; ; { // whether those of the zone stand before _dsync
		name := dnsname.Join(dsyncLabel, above)
		if labels {
			name = strings.TrimSuffix(zone, strings.TrimPrefix(above, ".")) + name
		}
		m, err := r.resolve(ctx, name, typeDSYNC)
		if err != nil {
			return dsync{}, false, err
		}
		if d, ok, positive := readDSYNC(m); positive {
			return d, ok, nil
		}
		switch apex, found := soaOwner(m, above); {
		case found && apex != above:
			above, labels = apex, true
		case labels:
			labels = false
		default:
			return dsync{}, false, nil
		}
	}
}

// readDSYNC takes the record that asks for NOTIFY(CDS) from an answer, where there is one; positive reports
// whether there is any DSYNC, which ends the search. Records that cannot be read ask for nothing.
func readDSYNC(m *dns.Msg) (d dsync, ok, positive bool) {
	for _, rr := range m.Answer {
		unknown, is := rr.(*dns.RFC3597)
		if !is || unknown.Hdr.Rrtype != typeDSYNC {
			continue
		}
		positive = true
		rdata, err := hex.DecodeString(unknown.Rdata)
		if err != nil {
			continue
		}
		if d, err := parseDSYNC(rdata); err == nil && d.wantsCDS() {
			return d, true, true
		}
	}
	return dsync{}, false, positive
}
