package resolve

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

//go:embed root.hints
var rootHints string

//go:embed root.ds
var rootDS string

func internetHints() []dns.RR   { return mustRecords(rootHints) }
func internetAnchors() []dns.RR { return mustRecords(rootDS) }

func mustRecords(text string) []dns.RR {
	rrs, err := Records(text, "embedded")
	if err != nil {
		panic(err) // the tests read both
	}
	return rrs
}

// Records reads a file of records in zone file syntax, as root hints and trust anchors are written.
// Names are fully qualified, and a TTL need not be given. Nothing else is read along ($INCLUDE).
func Records(text, file string) ([]dns.RR, error) {
	parser := dns.NewZoneParser(strings.NewReader(text), ".", file)
	parser.SetDefaultTTL(3600)
	parser.SetIncludeAllowed(false)
	var rrs []dns.RR
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		rrs = append(rrs, rr)
	}
	if err := parser.Err(); err != nil {
		return nil, err
	}
	if len(rrs) == 0 {
		return nil, fmt.Errorf("%s has no records", file)
	}
	return rrs, nil
}
