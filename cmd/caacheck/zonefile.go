package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
	"github.com/coredns-caa/caa/plugin/pkg/zonecaa"
)

var errNoSOA = errors.New("there is no SOA record, so it is no whole zone")

// parseError is the text of the parser's errors, which do not show their position otherwise.
var parseError = regexp.MustCompile(`^(?:dns: )?(?s:(.*)) at line: (\d+):(\d+)$`)

// positioned is a parser's error in the form FILE:LINE:COLUMN: TEXT.
func positioned(file string, err error) string {
	if m := parseError.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Sprintf("%s:%s:%s: %s", file, m[2], m[3], m[1])
	}
	return file + ": " + err.Error()
}

// maxZoneFile bounds what is read of a zone file, in octets: some ten million records.
const maxZoneFile = 1 << 30

// readZone reads the CAA of a zone file (RFC 1035 5): a master file, or what dig AXFR prints. Without an origin, names that
// are relative are relative to the only zone of the policy.
func readZone(file, origin string, p *policy.Snapshot, stdin io.Reader) (*zonecaa.Zone, error) {
	text, err := zoneText(file, stdin)
	if err != nil {
		return nil, err
	}
	if file == "-" {
		file = "standard input"
	}
	if origin != "" {
		name, err := dnsname.Parse(origin)
		if err != nil {
			return nil, fmt.Errorf("--origin: %w", err)
		}
		return parseZone(file, text, name)
	}
	zone, err := parseZone(file, text, "")
	if err == nil {
		return zone, nil
	}
	if len(p.Zones) == 1 {
		return parseZone(file, text, p.Zones[0].Name)
	}
	if errors.Is(err, errNoSOA) {
		return nil, err
	}
	return nil, fmt.Errorf("%w; if its names are relative to the zone, add --origin ZONE", err)
}

func zoneText(file string, stdin io.Reader) ([]byte, error) {
	if file != "-" {
		text, err := regularfile.ReadOrPipe(file, maxZoneFile)
		if err != nil {
			return nil, cannotOpen(file, err)
		}
		return text, nil
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxZoneFile+1))
	if err == nil && len(text) > maxZoneFile {
		err = errors.New("standard input is longer than a gigabyte")
	}
	return text, err
}

// parseZone parses a zone file with an origin, "" for none. The zone is that of its SOA.
func parseZone(file string, text []byte, origin string) (*zonecaa.Zone, error) {
	parser := dns.NewZoneParser(bytes.NewReader(text), origin, "")
	parser.SetDefaultTTL(3600)
	var records []dns.RR
	apex := ""
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		switch rr.Header().Rrtype {
		case dns.TypeSOA:
			if apex == "" {
				apex = dns.CanonicalName(rr.Header().Name)
			}
		case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
			continue // most of a signed zone, and nothing of its CAA
		}
		records = append(records, rr)
	}
	if err := parser.Err(); err != nil {
		return nil, errors.New(positioned(file, err))
	}
	if apex == "" {
		return nil, fmt.Errorf("%s: %w", file, errNoSOA)
	}
	return zonecaa.Read(apex, slices.Values(records)), nil
}
