package outside

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/test/world"
)

// delv is BIND's validator, with a world's anchor. What it validates it has from unbound, which is asked to pass on
// (CD) what it takes for bogus itself.
type delv struct {
	program, anchors string
	through          netip.AddrPort
}

func (s served) delv(t *testing.T, through netip.AddrPort) delv {
	t.Helper()
	d := delv{world.Program(t, "delv"), filepath.Join(t.TempDir(), "anchors"), through}
	world.WriteFile(t, d.anchors, fmt.Sprintf("trust-anchors { . static-ds %d %d %d %q; };\n", s.anchor.KeyTag, s.anchor.Algorithm, s.anchor.DigestType, s.anchor.Digest))
	return d
}

// status is what delv makes of a question: of several links the weakest counts.
func (d delv) status(t *testing.T, name string, rrtype uint16) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), d.program, "@"+d.through.Addr().String(), "-p", fmt.Sprint(d.through.Port()),
		"-a", d.anchors, "+root=.", "+cdflag", "+nocrypto", name, dns.TypeToString[rrtype]).CombinedOutput()
	output := strings.ReplaceAll(string(out), "resolution failed: ncache", "") // a denial is no failure
	switch {
	case strings.Contains(output, "resolution failed"):
		return "bogus"
	case strings.Contains(output, "unsigned answer"):
		return "insecure"
	case strings.Contains(output, "pending validation"): // a denial whose SOA fails
		return "bogus"
	case strings.Contains(output, "fully validated"):
		return "secure"
	}
	t.Errorf("delv says of %s %s (%v):\n%s", name, dns.TypeToString[rrtype], err, output)
	return ""
}

// agrees reports whether delv's status is the checker's, but for three things that BIND sees differently. Where
// opt-out leaves room for an unsigned delegation, it takes the denial for secure all the same, and only sets no
// AD bit (RFC 5155 9.2), and what has a wrong signature there for unsigned; and it leaves a SHA-1 DS out beside a
// stronger one, which is the finding ds-sha1-alone where that one fits no key (RFC 4509 3).
func agrees(status string, a resolve.Answer) bool {
	switch {
	case status == fromChecker(a).status:
		return true
	case status == "secure":
		return a.Result.Reason == dnssec.OptOut
	case status == "insecure":
		return a.Result.Status == dnssec.Bogus && slices.ContainsFunc(a.Seen, optsOut)
	case status == "bogus":
		return leansOnSHA1(a)
	}
	return false
}

// optsOut reports whether a message has an NSEC3 with the opt-out flag (RFC 5155 3.1.2.1).
func optsOut(o resolve.Observation) bool {
	return o.Msg != nil && slices.ContainsFunc(o.Msg.Ns, func(rr dns.RR) bool {
		nsec3, ok := rr.(*dns.NSEC3)
		return ok && nsec3.Flags&1 != 0
	})
}

// leansOnSHA1 reports whether a zone on the way to an answer has a SHA-1 DS beside a stronger one.
func leansOnSHA1(a resolve.Answer) bool {
	zones := []*resolve.Zone{a.Zone}
	for _, link := range a.Chain {
		zones = append(zones, link.Zone)
	}
	for _, z := range zones {
		for ; z != nil; z = z.Parent {
			sha1 := func(ds *dns.DS) bool { return ds.DigestType == dns.SHA1 }
			stronger := func(ds *dns.DS) bool { return !sha1(ds) && dnssec.Supported(ds.Algorithm) }
			if slices.ContainsFunc(z.DS, sha1) && slices.ContainsFunc(z.DS, stronger) {
				return true
			}
		}
	}
	return false
}
