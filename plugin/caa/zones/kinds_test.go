package zones

import "github.com/miekg/dns"

// A kind that only tests know, in the one zone that they give it: a row is all that a new kind of record takes.
func init() {
	kinds = append(kinds, kind{name: "test", overData: true, records: func(p *plan) []dns.RR {
		if p.policy.Name != "kind.example." {
			return nil
		}
		return []dns.RR{&dns.TXT{Hdr: header("_new.kind.example.", dns.TypeTXT, 300), Txt: []string{"a new kind"}}}
	}})
}
