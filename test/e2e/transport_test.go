package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/coredns-caa/caa/test/world"
)

// limit is how long an answer may take before the test fails.
const limit = 30 * time.Second

// way is a way that a question can take.
type way struct {
	scheme string // of CoreDNS's server block
	kdig   string // kdig's option for it; "-" where Debian's kdig has none
	client func(t *testing.T, addr string, conf *tls.Config) exchange
}

// exchange sends a question and returns the answer.
type exchange func(*dns.Msg) (*dns.Msg, error)

var transports = map[string]way{
	"UDP":             {"dns", "+notcp +ignore", classic("udp")},
	"TCP":             {"dns", "+tcp", classic("tcp")},
	"DoT (RFC 7858)":  {"tls", "+tls", classic("tcp-tls")},
	"DoH (RFC 8484)":  {"https", "+https", overHTTPS},
	"DoH3 (RFC 9114)": {"https3", "-", overHTTP3},
	"DoQ (RFC 9250)":  {"quic", "+quic", overQUIC},
}

func classic(network string) func(*testing.T, string, *tls.Config) exchange {
	return func(_ *testing.T, addr string, conf *tls.Config) exchange {
		client := dns.Client{Net: network, TLSConfig: conf, Timeout: limit, UDPSize: dns.MaxMsgSize}
		return func(m *dns.Msg) (*dns.Msg, error) {
			answer, _, err := client.Exchange(m, addr)
			return answer, err
		}
	}
}

func overHTTPS(t *testing.T, addr string, conf *tls.Config) exchange {
	transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return overHTTP(addr, transport)
}

func overHTTP3(t *testing.T, addr string, conf *tls.Config) exchange {
	transport := &http3.Transport{TLSClientConfig: conf}
	t.Cleanup(func() { transport.Close() })
	return overHTTP(addr, transport)
}

func overHTTP(addr string, transport http.RoundTripper) exchange {
	client := http.Client{Transport: transport, Timeout: limit}
	return func(m *dns.Msg) (*dns.Msg, error) {
		wire, err := m.Pack()
		if err != nil {
			return nil, err
		}
		response, err := client.Post("https://"+addr+"/dns-query", "application/dns-message", bytes.NewReader(wire))
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("HTTP status %s", response.Status)
		}
		return read(response.Body)
	}
}

// overQUIC asks on one connection, each time on a new stream. The answer ends with the stream.
func overQUIC(t *testing.T, addr string, conf *tls.Config) exchange {
	conf = conf.Clone()
	conf.NextProtos = []string{"doq"}
	conn, err := quic.DialAddr(t.Context(), addr, conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	return func(m *dns.Msg) (*dns.Msg, error) {
		wire, err := m.Pack()
		if err != nil {
			return nil, err
		}
		stream, err := conn.OpenStreamSync(t.Context())
		if err != nil {
			return nil, err
		}
		stream.SetDeadline(time.Now().Add(limit))
		if _, err := stream.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
			return nil, err
		}
		stream.Close()
		if _, err := io.CopyN(io.Discard, stream, 2); err != nil {
			return nil, err
		}
		return read(stream)
	}
}

func read(r io.Reader) (*dns.Msg, error) {
	wire, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(wire)
}

// longPolicy has an RRset that no UDP answer holds, and one that fits into 1232 octets but not 512.
func longPolicy() string {
	accounts := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("'https://acme-v02.api.letsencrypt.org/acme/acct/%d'", 100000+i))
		}
		return strings.Join(list, ", ")
	}
	return `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
zones:
  example.org:
    nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]
    issue: [letsencrypt]
    names:
      long: {issue: [{issuer: letsencrypt, accounts: [` + accounts(60) + `]}]}
      middling: {issue: [{issuer: letsencrypt, accounts: [` + accounts(6) + `]}]}
`
}

// everyTransport serves the policy over all of them, and returns the address of each by its scheme.
// The plugins before caa in the chain decide how it writes: plugins are further lines of the block.
func everyTransport(t *testing.T, policy, plugins string) (map[string]string, *tls.Config) {
	t.Helper()
	certificate := world.NewCertificate(t)
	key := world.NewKey(t, "example.org")
	files := map[string]string{"policy.yaml": policy, "cert.pem": certificate.Cert, "key.pem": certificate.Key}
	maps.Copy(files, key.Files)
	addrs, keys := map[string]string{}, []string{"example.org:$PORT"}
	for _, scheme := range []string{"tls", "https", "https3", "quic"} {
		addr := world.FreeAddr(t)
		addrs[scheme] = addr.String()
		keys = append(keys, fmt.Sprintf("%s://example.org:%d", scheme, addr.Port()))
	}
	server := world.CoreDNS(t, strings.Join(keys, " ")+` {
    bind $ADDR
    errors
    `+plugins+`
    tls $DIR/cert.pem $DIR/key.pem
    caa $DIR/policy.yaml {
        key file $DIR/`+key.Name+`
    }
}
`, files)
	addrs["dns"] = server.Addr.String()
	return addrs, &tls.Config{RootCAs: certificate.Pool, ServerName: "127.0.0.1"}
}

func askDO(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.Id = 0 // RFC 8484 4.1, RFC 9250 4.2.1
	m.SetEdns0(1232, true)
	return m
}

// chains are plugins that may be before caa. Where none of them reads messages, these are written as they were prepared,
// else as CoreDNS writes any message.
var chains = map[string]struct {
	plugins string
	// cuts are the transports where CoreDNS itself takes a stream for datagrams and cuts at 512
	// octets what was asked without EDNS.
	cuts []string
}{
	"alone":            {"", nil},
	"below prometheus": {"prometheus 127.0.0.1:0", nil},
	"below log":        {"log", []string{"DoQ (RFC 9250)", "DoH3 (RFC 9114)"}},
}

// Each transport gives the same signed answers, whichever plugins are before caa.
func TestTransports(t *testing.T) {
	t.Parallel()
	for chain, above := range chains {
		t.Run(chain, func(t *testing.T) {
			t.Parallel()
			addrs, conf := everyTransport(t, longPolicy(), above.plugins)
			for name, transport := range transports {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					ask := transport.client(t, addrs[transport.scheme], conf.Clone())
					key := askKey(t, ask)
					for _, c := range questions {
						answer, err := ask(c.ask.Copy())
						if err != nil {
							t.Errorf("%s: %v", c.name, err)
							continue
						}
						if c.ask.IsEdns0() == nil && slices.Contains(above.cuts, name) {
							if !answer.Truncated {
								t.Errorf("%s: CoreDNS no longer truncates over %s: take this exception away", c.name, name)
							}
							continue
						}
						c.check(t, c.name, answer, name == "UDP", key)
					}
				})
			}
		})
	}
}

func askKey(t *testing.T, ask exchange) *dns.DNSKEY {
	t.Helper()
	answer, err := ask(askDO("example.org.", dns.TypeDNSKEY))
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range answer.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			return key
		}
	}
	t.Fatalf("no DNSKEY:\n%v", answer)
	return nil
}

// wanted is what a question is answered with.
type wanted struct {
	name    string
	ask     *dns.Msg
	rcode   int
	records int  // CAA records in the answer
	tooLong bool // for UDP
	signed  bool
	opt     bool // whether there is an OPT record; its DO bit is the question's
}

var questions = []wanted{
	{name: "CAA", ask: askDO("www.example.org.", dns.TypeCAA), records: 1, signed: true, opt: true},
	{name: "NODATA", ask: askDO("www.example.org.", dns.TypeMX), signed: true, opt: true},
	{name: "the question's case is kept", ask: askDO("WwW.eXaMPle.oRg.", dns.TypeCAA), records: 1, signed: true, opt: true},
	{name: "a set longer than any datagram", ask: askDO("long.example.org.", dns.TypeCAA), records: 60, tooLong: true, signed: true, opt: true},
	{name: "a set that fits 1232 octets", ask: askDO("middling.example.org.", dns.TypeCAA), records: 6, signed: true, opt: true},
	{name: "RFC 1035 4.2.1: 512 octets without EDNS", ask: with(askDO("middling.example.org.", dns.TypeCAA), withoutEDNS), records: 6, tooLong: true},
	{name: "RFC 6891 6.2.5: never below 512 octets", ask: with(askDO("www.example.org.", dns.TypeCAA), size(100)), records: 1, signed: true, opt: true},
	{name: "RFC 3225 3: no DO, no signatures", ask: with(askDO("www.example.org.", dns.TypeCAA), noDO), records: 1, opt: true},
	{name: "RFC 4035 3.1.6: CD is copied", ask: with(askDO("www.example.org.", dns.TypeCAA), cd), records: 1, signed: true, opt: true},
	{name: "RFC 6891 6.1.2: an unknown option is ignored", ask: with(askDO("www.example.org.", dns.TypeCAA), unknownOption), records: 1, signed: true, opt: true},
	{name: "RFC 6891 6.1.3: BADVERS", ask: with(askDO("www.example.org.", dns.TypeCAA), version1), rcode: dns.RcodeBadVers, opt: true},
}

func with(m *dns.Msg, change func(*dns.Msg)) *dns.Msg { change(m); return m }

func withoutEDNS(m *dns.Msg) { m.Extra = nil }
func noDO(m *dns.Msg)        { m.IsEdns0().SetDo(false) }
func cd(m *dns.Msg)          { m.CheckingDisabled = true }
func version1(m *dns.Msg)    { m.IsEdns0().SetVersion(1) }
func unknownOption(m *dns.Msg) {
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("?")}}
}
func size(n uint16) func(*dns.Msg) {
	return func(m *dns.Msg) { m.IsEdns0().SetUDPSize(n) }
}

func (c wanted) check(t *testing.T, name string, answer *dns.Msg, udp bool, key *dns.DNSKEY) {
	t.Helper()
	truncated, records := false, c.records
	if udp && c.tooLong {
		truncated, records = true, 0
	}
	opt := answer.IsEdns0()
	switch {
	case answer.Rcode != c.rcode || answer.Truncated != truncated || answer.Question[0] != c.ask.Question[0],
		len(world.Texts(answer.Answer, dns.TypeCAA)) != records,
		answer.CheckingDisabled != c.ask.CheckingDisabled,
		(opt != nil) != c.opt,
		opt != nil && (opt.Version() != 0 || len(opt.Option) > 0):
		t.Errorf("%s: want rcode %d, truncated: %v, %d records of CAA, OPT: %v; got\n%v", name, c.rcode, truncated, records, c.opt, answer)
		return
	}
	for _, rr := range answer.Answer {
		if rr.Header().Name != c.ask.Question[0].Name {
			t.Errorf("%s: the owner name is %s", name, rr.Header().Name)
		}
	}
	switch signatures := world.Texts(slices.Concat(answer.Answer, answer.Ns), dns.TypeRRSIG); {
	case truncated || c.rcode != 0:
	case c.signed:
		checkSignatures(t, key, answer)
		if !opt.Do() {
			t.Errorf("%s: DO is not copied", name)
		}
	case len(signatures) > 0 || opt != nil && opt.Do():
		t.Errorf("%s: signed, but nobody asked for it:\n%v", name, answer)
	}
}

// The same with a client that is not ours.
func TestTransportsByKdig(t *testing.T) {
	t.Parallel()
	kdig := world.Program(t, "kdig")
	addrs, _ := everyTransport(t, longPolicy(), "")
	for name, transport := range transports {
		if transport.kdig == "-" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, port, _ := strings.Cut(addrs[transport.scheme], ":")
			args := append([]string{"@" + host, "-p", port, "+dnssec", "+noall", "+answer", "+header"}, strings.Fields(transport.kdig)...)
			out, err := exec.CommandContext(t.Context(), kdig, append(args, "long.example.org", "CAA")...).CombinedOutput()
			want := 60
			if name == "UDP" {
				want = 0
			}
			if got := strings.Count(string(out), "\tCAA\t"); err != nil || got != want || strings.Contains(string(out), " tc") != (want == 0) {
				t.Errorf("%d records, want %d; %v\n%s", got, want, err, out)
			}
		})
	}
}
