package main

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/pflag"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// options are what the command line asks for.
type options struct {
	issuers                         []string
	account, method                 string
	kind                            issuance.CertificateType
	at                              time.Time // zero for now
	names, policy                   string
	hints, anchor, server, resolver string
	perspectives                    string
	port                            uint16
	concurrency                     int     // as in resolve.Config
	rate                            float64 // as in resolve.Config
	timeout, patience               time.Duration
	json, verbose, quiet            bool
	junit, sarif, html              string
	observations, history           string
}

// requestFlags say which names and requests are checked, and by which rules.
func (o *options) requestFlags(fs *pflag.FlagSet) {
	o.issuerFlag(fs, "check this CA, by its Issuer Domain Name, such as letsencrypt.org; a private CA's will do; may be repeated")
	variable(fs, "account", "URI", "", "the account's URI (RFC 8657); by default whichever the CAA records name", func(s string) (err error) { o.account, err = certname.ParseAccount(s); return err })
	variable(fs, "method", "LABEL", "", "the validation method's label, such as dns-01 or ca-tbr-7; by default whichever the CAA records name", func(s string) (err error) { o.method, err = certname.ParseMethod(s); return err })
	o.kind = issuance.TLS
	choice(fs, &o.kind, "type", "tls", "the type of certificate: tls, smime or vmc", word[issuance.CertificateType]{"tls", issuance.TLS}, word[issuance.CertificateType]{"smime", issuance.SMIME}, word[issuance.CertificateType]{"vmc", issuance.VMC})
	fs.StringVar(&o.names, "names", "", "read more names from `FILE`, one a line; - for standard input")
	fs.StringVar(&o.policy, "policy", "", "check what the plugin's policy `FILE` requires")
	variable(fs, "at", "DATE", "", "judge by the rules of that date, such as 2027-03-15; by default today's", func(text string) (err error) {
		if o.at, err = time.Parse(time.DateOnly, text); err != nil {
			return want("a date, such as 2027-03-15")
		}
		return nil
	})
}

// issuerFlag adds each issuer once.
func (o *options) issuerFlag(fs *pflag.FlagSet, help string) {
	variable(fs, "issuer", "DOMAIN", "", help, func(text string) error {
		issuer, err := certname.ParseIssuer(text)
		if err == nil && !slices.Contains(o.issuers, issuer) {
			o.issuers = append(o.issuers, issuer)
		}
		return err
	})
}

// perspectiveFlags say from where else to ask.
func (o *options) perspectiveFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.perspectives, "perspectives", "", "ask from every perspective that `FILE` declares, and apply the quorum rule that binds CAs (Baseline Requirements 3.2.2.9)")
	duration(fs, &o.patience, "perspective-timeout", perspective.DefaultLimit, "how long one perspective may take for one answer")
}

// targetFlags have one server alone asked.
func (o *options) targetFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.server, "server", "", "ask only the authoritative server at `ADDRESS`, such as 192.0.2.1 or 192.0.2.1:5353")
	fs.StringVar(&o.resolver, "resolver", "", "ask only the resolver at `ADDRESS`; its answers are validated all the same")
}

// rootFlags say where look-ups start.
func (o *options) rootFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.hints, "root-hints", "", "take the root's NS records and addresses from `FILE`; by default the Internet's")
	fs.StringVar(&o.anchor, "trust-anchor", "", "take DS or DNSKEY records of the root or another zone from `FILE`; by default the Internet's")
	o.port = resolve.DefaultPort
	count(fs, &o.port, 1, 65535, "port", fmt.Sprint(resolve.DefaultPort), "the port of name servers, for test networks")
}

// paceFlags say how questions are sent.
func (o *options) paceFlags(fs *pflag.FlagSet) {
	duration(fs, &o.timeout, "timeout", resolve.DefaultTimeout, "how long to wait for one reply; over UDP there are two tries")
	rate(fs, &o.rate, "rate", "questions a second to one address; 0 for no limit (default 50, to a resolver 1000)")
	count(fs, &o.concurrency, 1, noLimit, "concurrency", "", "questions at a time to one address (default 4, to a resolver 32)")
}

// askFlags are those of all commands that look names up.
func (o *options) askFlags(f *flags) {
	o.rootFlags(f.group(whereToAsk))
	o.paceFlags(f.group(howToAsk))
}

// jsonFlag is that of the commands whose result is a document, too.
func (o *options) jsonFlag(f *flags, help string) {
	f.group(output).BoolVar(&o.json, "json", false, help)
}

// world is where look-ups start, with the files that say so read.
func (o options) world() (check.World, error) {
	if o.server != "" && o.resolver != "" {
		return check.World{}, fmt.Errorf("--server and --resolver exclude each other")
	}
	w := check.World{Port: o.port, Timeout: o.timeout, Concurrency: o.concurrency, Rate: o.rate}
	var err error
	if w.Server, err = address("server", o.server, w.Port); err != nil {
		return w, err
	}
	if w.Resolver, err = address("resolver", o.resolver, w.Port); err != nil {
		return w, err
	}
	if w.Hints, err = records(o.hints); err != nil {
		return w, err
	}
	w.Anchors, err = records(o.anchor)
	return w, err
}

// maxRecords bounds a file of root servers or trust anchors, in octets: IANA's take 4,000.
const maxRecords = 1 << 20

// records reads a file of records; nil without one.
func records(file string) ([]dns.RR, error) {
	if file == "" {
		return nil, nil
	}
	data, err := regularfile.ReadOrPipe(file, maxRecords)
	if err != nil {
		return nil, cannotOpen(file, err)
	}
	return resolve.Records(string(data), file)
}

// address reads an IP address of a flag, whose port may be given; the zero one without a text.
func address(flag, text string, port uint16) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, port), nil
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, badValue(flag, text, want("an IP address: 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53"))
	}
	return addr, nil
}
