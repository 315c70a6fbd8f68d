package e2e

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// above are plugins that the chain has above caa. Some want each message as a dns.Msg, and have CoreDNS pack it.
var above = []string{"", "prometheus 127.0.0.1:0", "log", "errors", "bufsize 1400", "loadbalance", "nsid x", "rewrite name exact nothing.invalid nowhere.invalid",
	"tsig {\n secret key.example. c2VjcmV0\n}"}

// sized are names whose answers grow from a few octets to more than any datagram has, in steps of about 30 octets. They
// are long, so that the answer is far longer where names are not compressed.
func sized(apex string) (policy, data string, questions []dns.Question) {
	const long = "a-label-that-makes-the-names-of-the-answer-rather-long"
	var p, d strings.Builder
	for i := range 48 {
		name := fmt.Sprintf("n%d.%s", i, long)
		var accounts []string
		for j := range 1 + i/4 {
			accounts = append(accounts, fmt.Sprintf("https://ca.example/acct/%d%s", 100+j, strings.Repeat("0", i%4*8)))
			fmt.Fprintf(&d, "%s 300 MX %d m%d\n", name, j, j)
		}
		fmt.Fprintf(&p, "      %s: {issue: [{issuer: letsencrypt, accounts: [%s]}]}\n", name, strings.Join(accounts, ", "))
		questions = append(questions, dns.Question{Name: name + "." + apex, Qtype: dns.TypeCAA, Qclass: dns.ClassINET},
			dns.Question{Name: name + "." + apex, Qtype: dns.TypeMX, Qclass: dns.ClassINET})
	}
	return p.String(), d.String(), append(questions,
		dns.Question{Name: "nope." + strings.Repeat(long+".", 3) + apex, Qtype: dns.TypeA, Qclass: dns.ClassINET})
}

// RFC 6891 6.2.3, RFC 9715 3.2: an answer over UDP has at most the octets that the client offers and 1232, whatever is
// above caa in the chain, and says so when it does not fit.
func TestNoDatagramIsTooLong(t *testing.T) {
	t.Parallel()
	orgKey, netKey := world.NewKey(t, "example.org"), world.NewKey(t, "example.net")
	files, questions := map[string]string{}, []dns.Question{}
	for _, apex := range []string{"example.org", "example.net", "example.com"} {
		nodes, data, asked := sized(apex + ".")
		servers := ""
		if apex == "example.org" {
			servers = "    nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]\n"
		}
		files[apex+".yaml"] = "version: 1\nissuers:\n  letsencrypt: {domain: letsencrypt.org}\nzones:\n  " + apex + ":\n" + servers + "    issue: [letsencrypt]\n    names:\n" + nodes
		files[apex+".db"] = "$ORIGIN " + apex + ".\n@ 300 SOA ns h 1 7200 3600 1209600 60\n@ 300 NS ns\nns 300 A 127.0.0.1\n" + data
		questions = append(questions, asked...)
	}
	maps.Copy(files, orgKey.Files)
	maps.Copy(files, netKey.Files)
	var corefile strings.Builder
	var ports []int
	for i, plugins := range above {
		port := "$PORT"
		if ports = append(ports, 0); i > 0 {
			ports[i] = int(world.FreeAddr(t).Port())
			port = fmt.Sprint(ports[i])
		}
		for _, block := range []string{
			"example.org key file $DIR/" + orgKey.Name, "example.net key file $DIR/" + netKey.Name, "example.com unsigned",
		} {
			apex, keys, _ := strings.Cut(block, " ")
			fmt.Fprintf(&corefile, `%[1]s:%[2]s {
    bind $ADDR ::1
    %[3]s
    caa $DIR/%[1]s.yaml {
        %[4]s
    }
    file $DIR/%[1]s.db
}
`, apex, port, plugins, keys)
		}
	}
	server := world.CoreDNS(t, corefile.String(), files)
	ports[0] = int(server.Addr.Port())
	alone := net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[0]))
	whole := map[bool][]int{}
	for _, edns := range []bool{false, true} {
		for _, q := range questions {
			whole[edns] = append(whole[edns], len(exchangeSigned(t, "tcp", alone, sizeAsked(q, edns, 1232))))
		}
	}
	for i, plugins := range above {
		name, _, _ := strings.Cut(plugins, " ")
		t.Run("below "+name, func(t *testing.T) {
			t.Parallel()
			for _, host := range []string{"127.0.0.1", "::1"} {
				addr := net.JoinHostPort(host, fmt.Sprint(ports[i]))
				for _, size := range []int{0, 512, 1232, 1400, 4096} {
					for j, q := range questions {
						checkSize(t, name, addr, sizeAsked(q, size > 0, size), min(max(size, 512), 1232), whole[size > 0][j])
					}
				}
			}
		})
	}
}

func sizeAsked(q dns.Question, edns bool, size int) *dns.Msg {
	m := new(dns.Msg)
	m.Id, m.Question = dns.Id(), []dns.Question{q}
	if edns {
		m.SetEdns0(uint16(size), true)
	}
	return m
}

// checkSize asks over UDP. whole is the length of the answer as caa has it.
func checkSize(t *testing.T, chain, addr string, asked *dns.Msg, limit, whole int) {
	t.Helper()
	q := asked.Question[0]
	ours := q.Qtype == dns.TypeCAA || !strings.HasSuffix(q.Name, "example.com.")
	if chain == "tsig" {
		if !ours {
			return // CoreDNS does not cut what is signed so
		}
		asked.SetTsig("key.example.", dns.HmacSHA256, 300, time.Now().Unix())
	}
	wire := exchangeSigned(t, "udp", addr, asked)
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	plain := ours && m.Rcode == dns.RcodeSuccess && chain != "tsig" && chain != "nsid" // which add to the answer
	switch {
	case len(wire) > limit:
		t.Errorf("%s %s at %s: %d octets, want at most %d", q.Name, dns.Type(q.Qtype), addr, len(wire), limit)
	case plain && m.Truncated != (whole > limit):
		t.Errorf("%s %s at %s: truncated: %v, and all of it has %d octets, of %d", q.Name, dns.Type(q.Qtype), addr, m.Truncated, whole, limit)
	case plain && m.Truncated && len(m.Answer)+len(m.Ns) > 0:
		t.Errorf("%s %s at %s: truncated, with records:\n%v", q.Name, dns.Type(q.Qtype), addr, m)
	}
}

// exchangeSigned sends a question, signed where it is to be, and returns the answer as it came.
func exchangeSigned(t *testing.T, network, addr string, m *dns.Msg) []byte {
	t.Helper()
	conn, err := dns.DialTimeout(network, addr, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.TsigSecret = map[string]string{"key.example.": "c2VjcmV0"}
	conn.UDPSize = dns.MaxMsgSize
	conn.SetDeadline(time.Now().Add(limit))
	if err := conn.WriteMsg(m.Copy()); err != nil {
		t.Fatal(err)
	}
	answer, err := conn.ReadMsgHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
