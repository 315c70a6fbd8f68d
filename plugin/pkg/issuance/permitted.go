package issuance

// Permitted returns the Issuer Domain Names in an RRset whose CAs may issue what a request asks for, in lower case
// and each as often as the RRset has it; anyone is whether every CA may. The request's Issuers do not count; its
// account and method do, in the dialects in which parameters bind. The names are those for which Decide permits,
// found in one pass over the RRset.
func Permitted(rrset RRset, req Request, d Dialect) (domains []string, anyone bool) {
	if req.Issuers = nil; Decide(rrset, req, d).Permitted {
		return nil, true
	}
	if Decide(rrset, req, d).Reason == CriticalUnknown {
		return nil, false
	}
	tag := req.DecidingTag(rrset)
	for _, p := range rrset {
		if !equalFold(p.Tag, tag) {
			continue
		}
		v, err := d.Syntax.parse(p.Value)
		if err != nil || v.Domain == "" {
			continue
		}
		req.Issuers = []string{lower(v.Domain)}
		if d.judge(p, req) == Authorized {
			domains = append(domains, req.Issuers[0])
		}
	}
	return domains, false
}
