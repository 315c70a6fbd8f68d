package dnssec

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// maxVerifications bounds the signatures that are tried over one RRset, so that a zone with many
// keys of one tag does not buy time here (CVE-2023-50387). Unbound tries 8 and 16 of it.
const maxVerifications = 16

// Keys are the authenticated keys of one zone.
type Keys struct {
	Zone   string // canonical
	RRs    []*dns.DNSKEY
	Memory *Memory // of what has verified; nil for none
}

// Supported reports whether signatures of an algorithm can be verified here.
func Supported(algorithm uint8) bool {
	return slices.Contains([]uint8{dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519}, algorithm)
}

// SupportedDS reports whether a DS record counts here: of a known algorithm and digest type. RFC 4509 3 would leave
// SHA-1 out beside SHA-256, as BIND does; unbound, with which Let's Encrypt resolves, takes any: see [Disputed].
func SupportedDS(ds *dns.DS) bool {
	return Supported(ds.Algorithm) && slices.Contains([]uint8{dns.SHA1, dns.SHA256, dns.SHA384}, ds.DigestType)
}

func supportedDS(set []*dns.DS) []*dns.DS { return filter(set, SupportedDS) }

func filter(set []*dns.DS, counts func(*dns.DS) bool) []*dns.DS {
	var out []*dns.DS
	for _, ds := range set {
		if counts(ds) {
			out = append(out, ds)
		}
	}
	return out
}

// WithSHA1 reports whether signatures of an algorithm rest on SHA-1, which some validators do not accept (RFC 9905 2).
func WithSHA1(algorithm uint8) bool {
	return algorithm == dns.RSASHA1 || algorithm == dns.RSASHA1NSEC3SHA1
}

// stricter are the validators that ignore DS records which count here, while others are left.
var stricter = []struct {
	name   string
	counts func(*dns.DS) bool
}{
	{"ignore SHA-1 digests beside others (RFC 4509 3)", func(ds *dns.DS) bool { return ds.DigestType != dns.SHA1 }},
	{"do not accept SHA-1 (RFC 9905 2)", func(ds *dns.DS) bool { return ds.DigestType != dns.SHA1 && !WithSHA1(ds.Algorithm) }},
}

// Disputed returns why some validators find a zone bogus that Authenticate makes secure: of the DS records, those that they
// count lead to no key. It is Secure where none does. A zone without DS records that they count is unsigned to them.
func Disputed(zone string, ds []*dns.DS, set RRset, memory *Memory, now time.Time) Result {
	usable := supportedDS(ds)
	for _, v := range stricter {
		counted := filter(usable, v.counts)
		if len(counted) == 0 || len(counted) == len(usable) {
			continue
		}
		if _, result := Authenticate(zone, counted, set, memory, now); result.Status == Bogus {
			result.Detail = "validators that " + v.name + " find it bogus: " + result.Detail
			return result
		}
	}
	return Result{Status: Secure}
}

// Authenticate makes a zone's DNSKEY RRset its Keys: a key that one of the DS records names must
// sign it (RFC 4035 5.2). The DS records are the parent's, themselves validated, or the trust anchor.
// A zone with DS records of unknown algorithms alone is Insecure. memory, which may be nil, serves here and
// wherever the keys do.
func Authenticate(zone string, ds []*dns.DS, set RRset, memory *Memory, now time.Time) (Keys, Result) {
	zone = dns.CanonicalName(zone)
	usable := supportedDS(ds)
	if len(usable) == 0 {
		return Keys{}, insecure(AlgorithmUnknown, records(ds), "no DS record of %s has a supported algorithm and digest type", zone)
	}
	named := namedKeys(usable, set)
	if len(named) == 0 {
		return Keys{}, bogus(KeyMissing, append(records(usable), set.RRs...), "no DNSKEY of %s matches %s", zone, describeDS(usable))
	}
	result := VerifyRRset(set, Keys{zone, named, memory}, now)
	if result.Status != Secure {
		if result.Reason == SignatureNoKey {
			result.Reason, result.Detail = KeyUnsigned, "the key that the DS matches does not sign the DNSKEY RRset of "+zone
		}
		return Keys{}, result
	}
	result.Reason = Matched
	result.Evidence = append(records(usable), result.Evidence...)
	return Keys{zone, dnskeys(set), memory}, result
}

func dnskeys(set RRset) []*dns.DNSKEY {
	var keys []*dns.DNSKEY
	for _, rr := range set.RRs {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// namedKeys are the keys of a DNSKEY RRset that a DS record names. A revoked key does not count (RFC 5011 2.1).
func namedKeys(ds []*dns.DS, set RRset) []*dns.DNSKEY {
	var named []*dns.DNSKEY
	for _, key := range dnskeys(set) {
		if key.Flags&dns.ZONE != 0 && key.Flags&dns.REVOKE == 0 && slices.ContainsFunc(ds, func(d *dns.DS) bool { return Names(d, key) }) {
			named = append(named, key)
		}
	}
	return named
}

// Names reports whether a DS record is one of a key.
func Names(ds *dns.DS, key *dns.DNSKEY) bool {
	if ds.KeyTag != key.KeyTag() || ds.Algorithm != key.Algorithm {
		return false
	}
	made := key.ToDS(ds.DigestType)
	return made != nil && strings.EqualFold(made.Digest, ds.Digest)
}

// VerifyRRset looks for one signature over an RRset that a key of its zone made (RFC 4035 5.3). When
// none will do, the result is that of the nearest miss.
func VerifyRRset(set RRset, keys Keys, now time.Time) Result {
	if len(set.Sigs) == 0 {
		return bogus(SignatureMissing, set.evidence(), "%s %s has no signature", set.Name, dns.TypeToString[set.Type])
	}
	nearest := Result{Status: Bogus}
	budget := maxVerifications
	for _, sig := range set.Sigs {
		result := verifySignature(set, sig, keys, now, &budget)
		if result.Status == Secure {
			return result
		}
		if nearness[result.Reason] > nearness[nearest.Reason] {
			nearest = result
		}
	}
	return nearest
}

// nearness orders the ways in which a signature fails by how little was missing.
var nearness = map[Reason]int{SignatureMisfit: 1, AlgorithmUnknown: 2, SignatureNoKey: 3, SignatureTooMany: 4, SignatureWrong: 5, SignatureEarly: 6, SignatureExpired: 7}

func verifySignature(set RRset, sig *dns.RRSIG, keys Keys, now time.Time, budget *int) Result {
	seen := set.evidence()
	what := set.Name + " " + dns.TypeToString[set.Type]
	signer := dns.CanonicalName(sig.SignerName)
	switch {
	case signer != keys.Zone || !dns.IsSubDomain(keys.Zone, set.Name) || set.Type == dns.TypeDS && !dnsname.Below(set.Name, keys.Zone):
		return bogus(SignatureMisfit, seen, "%s is signed by %s, not by its zone %s", what, signer, keys.Zone)
	case int(sig.Labels) > ownerLabels(set.Name):
		return bogus(SignatureMisfit, seen, "the signature over %s has more labels than the name", what)
	case int(sig.Labels) < dns.CountLabel(keys.Zone):
		return bogus(SignatureMisfit, seen, "the signature over %s is for a wildcard above the zone %s", what, keys.Zone)
	case !Supported(sig.Algorithm):
		return bogus(AlgorithmUnknown, seen, "%s is signed with algorithm %d, which is not supported", what, sig.Algorithm)
	}
	candidates := candidateKeys(keys, sig)
	if len(candidates) == 0 {
		return bogus(SignatureNoKey, seen, "%s is signed with key %d, which is not in the DNSKEY RRset of %s", what, sig.KeyTag, keys.Zone)
	}
	for _, key := range candidates {
		if *budget--; *budget < 0 {
			return bogus(SignatureTooMany, seen, "%s has more keys and signatures than a validator will try", what)
		}
		if keys.Memory.verify(sig, key, set.exact()) != nil {
			continue
		}
		if result := timeliness(sig, what, now); result.Status != Secure {
			result.Evidence = seen
			return result
		}
		result := Result{Status: Secure, Reason: Signed, Evidence: seen}
		if int(sig.Labels) < ownerLabels(set.Name) {
			result.Wildcard = dnsname.Wildcard(dnsname.Suffix(set.Name, int(sig.Labels)))
		}
		return result
	}
	return bogus(SignatureWrong, seen, "the signature over %s with key %d does not verify", what, sig.KeyTag)
}

func candidateKeys(keys Keys, sig *dns.RRSIG) []*dns.DNSKEY {
	var out []*dns.DNSKEY
	for _, key := range keys.RRs {
		if key.Flags&dns.ZONE != 0 && key.Protocol == 3 && key.Algorithm == sig.Algorithm && key.KeyTag() == sig.KeyTag {
			out = append(out, key)
		}
	}
	return out
}

// timeliness reads a signature's times in serial arithmetic (RFC 4034 3.1.5).
func timeliness(sig *dns.RRSIG, what string, now time.Time) Result {
	switch begin, end := Validity(sig, now); {
	case now.After(end):
		return bogus(SignatureExpired, nil, "the signature over %s expired at %s", what, end.UTC().Format(time.RFC3339))
	case now.Before(begin):
		return bogus(SignatureEarly, nil, "the signature over %s is not valid before %s", what, begin.UTC().Format(time.RFC3339))
	}
	return Result{Status: Secure}
}

// Validity is a signature's period, its 32-bit times read as those nearest to now (RFC 4034 3.1.5).
func Validity(sig *dns.RRSIG, now time.Time) (begin, end time.Time) {
	at := func(t uint32) time.Time {
		return time.Unix(now.Unix()+int64(int32(t-uint32(now.Unix()))), 0)
	}
	return at(sig.Inception), at(sig.Expiration)
}

// ownerLabels counts a name's labels as RRSIG does: a leading asterisk does not count (RFC 4034 3.1.3).
func ownerLabels(name string) int {
	if n := dns.CountLabel(name); !dnsname.IsWildcard(name) {
		return n
	} else {
		return n - 1
	}
}

func records(ds []*dns.DS) []dns.RR {
	out := make([]dns.RR, len(ds))
	for i, d := range ds {
		out[i] = d
	}
	return out
}

func describeDS(ds []*dns.DS) string {
	tags := make([]string, len(ds))
	for i, d := range ds {
		tags[i] = strconv.Itoa(int(d.KeyTag))
	}
	return "DS " + strings.Join(tags, ", ")
}
