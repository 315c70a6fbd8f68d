package issuance

// Named returns the Issuer Domain Names that an RRset names and that could get what a request asks for, in
// lower case and each as often as it is named; anyone is whether every issuer could. Account and method are
// not asked about: a dialect in which they bind permits none that the request does not have. The names are
// those for which Decide permits, found in one pass over the RRset.
func Named(rrset RRset, req Request, d Dialect) (domains []string, anyone bool) {
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
