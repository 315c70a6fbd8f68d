package policy

import (
	"strings"

	"github.com/coredns-caa/caa/plugin/pkg/yamlpos"
)

// Removed is an issuer that the policy gives up on purpose, at a name or everywhere. Nothing that the policy being
// replaced, or a zone's data, require of it there counts any more.
type Removed struct {
	Domain   string   // its Issuer Domain Name, in lower case, no trailing dot
	Name     string   // canonical, without the `*.`; "": at all names
	Wildcard bool     // its wildcard certificates alone; else all others
	Pos      Position // of the name or, for all names, of the entry
}

// givenUp is a Removed as it is looked up.
type givenUp struct {
	domain, name string
	wildcard     bool
}

// GivesUp reports whether the policy lists an issuer, by its Issuer Domain Name in lower case, under removed for a
// canonical name or for all names.
func (s *Snapshot) GivesUp(domain, name string, wildcard bool) bool {
	return s.givenUp[givenUp{domain, name, wildcard}] || s.givenUp[givenUp{domain: domain}]
}

// removedEntry is an entry of `removed` while it is read.
type removedEntry struct {
	domain string
	names  *yamlpos.Node
}

var removedRows = map[string]row[removedEntry]{
	"issuer": func(c *compiler, e *removedEntry, _, v *yamlpos.Node) { e.domain = c.removedIssuer(v) },
	"names":  func(_ *compiler, e *removedEntry, _, v *yamlpos.Node) { e.names = v },
	"even_if_in_use": func(c *compiler, _ *removedEntry, key, _ *yamlpos.Node) {
		c.wrong(key, "%s is reserved for a later version of the language, and is not in this version yet; remove it", key.Value)
	},
}

func (c *compiler) readRemoved(n *yamlpos.Node) {
	c.snap.givenUp = map[givenUp]bool{}
	for item := range c.list(n, "removed") {
		var e removedEntry
		switch {
		case !fields(c, item, "an entry of removed", removedRows, &e):
			continue
		case e.domain == "":
			c.wrong(item, "an entry of removed has no issuer; write issuer: DOMAIN")
			continue
		case e.names == nil:
			c.removed(Removed{Domain: e.domain, Pos: c.pos(item)}, item)
			continue
		case e.names.Kind == yamlpos.Sequence && e.names.Len() == 0:
			c.wrong(e.names, "names is an empty list; list a name, or leave the key out to give up the issuer at all names")
		}
		for one := range c.list(e.names, "names") {
			host, wildcard := strings.CutPrefix(c.text(one, "a name"), "*.")
			if host == "" {
				continue
			}
			if name, ok := c.domain(one, host, "the name"); ok {
				c.removed(Removed{e.domain, name, wildcard, c.pos(one)}, one)
			}
		}
	}
}

// removed notes one issuer at one name.
func (c *compiler) removed(r Removed, n *yamlpos.Node) {
	key := givenUp{r.Domain, r.Name, r.Wildcard}
	if c.snap.givenUp[key] {
		c.wrong(n, "%s is listed twice in removed for this; remove one", yamlpos.Shorten(r.Domain))
		return
	}
	c.snap.givenUp[key] = true
	c.snap.Removed = append(c.snap.Removed, r)
}

// removedIssuer reads a key of `issuers` or an Issuer Domain Name: an issuer that is given up everywhere is declared no
// more.
func (c *compiler) removedIssuer(n *yamlpos.Node) string {
	text := c.text(n, "an issuer")
	switch issuer := c.issuers[text]; {
	case text == "":
		return ""
	case issuer != nil:
		return issuerKey(issuer.Domain)
	case strings.Contains(text, ".") && isIssuerDomain(text):
		return issuerKey(text)
	}
	c.wrong(n, "the issuer %q is not declared under issuers; write its Issuer Domain Name, such as letsencrypt.org", yamlpos.Shorten(text))
	return ""
}
