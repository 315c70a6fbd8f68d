package finding

import (
	"fmt"
	"slices"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// sign is one sign of a fault: in one reply, or of one name, RRset, server or zone.
type sign struct {
	zone     string    // that the fault is in
	cause    string    // what is wrong, without the servers and the items; signs of different causes are different findings
	server   string    // with its address, for people; "" for no server in particular
	item     string    // the name or RRset that it affects; "" for the zone as a whole
	when     time.Time // since when, or until when, if that is known
	evidence []string
	fix      string // concrete; "" for that of the rule
}

// Sign is a sign of a fault, with the row of the table that it belongs to.
type Sign struct {
	sign
	rule *rule
}

func signf(zone, format string, args ...any) sign {
	return sign{zone: dnsname.Bare(zone), cause: fmt.Sprintf(format, args...)}
}

// at is the sign at one server.
func (s sign) at(server string) sign {
	s.server = server
	return s
}

// of is the sign of one name or RRset.
func (s sign) of(item string) sign {
	s.item = dnsname.Bare(item)
	return s
}

// seen is the sign with evidence.
func (s sign) seen(evidence ...string) sign {
	s.evidence = append(slices.Clone(s.evidence), evidence...)
	return s
}

// fixed is the sign with a concrete fix; "" leaves the rule's.
func (s sign) fixed(format string, args ...any) sign {
	s.fix = fmt.Sprintf(format, args...)
	return s
}

// Signs returns the signs of every rule in a case, without those that another rule's finding explains.
func Signs(c *Case) []Sign {
	var out []Sign
	parent := row(parentServerFails)
	for i := range tables() {
		r := &tables()[i]
		if r.find == nil {
			continue
		}
		for _, s := range r.find(c) {
			switch {
			case r.content || !c.registry(s.zone) || c.OneServer && s.server != "": // which is asked for all zones
				out = append(out, Sign{s, r})
			case r.about == aboutServers: // a fault of the registry's server, which the zone's owner can only report
				s.fix = ""
				out = append(out, Sign{s, parent})
			case r.catalog.Severity == catalog.Error:
				out = append(out, Sign{s.fixed("report it to the operator of %s", s.zone), r})
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(out), func(s Sign) bool {
		return slices.ContainsFunc(out, func(other Sign) bool { return other.explains(s) })
	})
}

// explains reports whether a sign is only a symptom of another one.
func (s Sign) explains(other Sign) bool {
	return slices.Contains(s.rule.symptoms, other.rule.catalog.Code) && s.zone == other.zone && (s.server == "" || other.server == "" || s.server == other.server)
}

// All returns the findings of one name, the worst first.
func All(c *Case) []Finding {
	found := Gather(func(yield func(string, []Sign) bool) { yield(dnsname.Bare(c.Climb.Name), Signs(c)) })
	Rank(found)
	var out []Finding
	for _, f := range found {
		out = append(out, f.Finding)
	}
	return out
}

// perAddress makes a rule of a condition on each address. Its evidence is the extended errors that the address sent.
func perAddress(is func(address) (cause string, found bool)) func(*Case) []sign {
	return func(c *Case) []sign {
		var signs []sign
		for _, s := range c.Surveys {
			for _, a := range s.by {
				if cause, found := is(a); found {
					signs = append(signs, signf(s.Zone.Name, "%s", cause).at(a.id).seen(a.errors()...))
				}
			}
		}
		return signs
	}
}

// perZone makes a rule of a condition on each zone.
func perZone(is func(Survey) (sign, bool)) func(*Case) []sign {
	return func(c *Case) []sign {
		var signs []sign
		for _, s := range c.Surveys {
			if found, is := is(s); is {
				signs = append(signs, found)
			}
		}
		return signs
	}
}
