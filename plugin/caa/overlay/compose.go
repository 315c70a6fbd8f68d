package overlay

import (
	"context"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file is the second phase: it makes the answer from what was gathered. It asks nobody.

// composing is one answer in the making.
type composing struct {
	composer zones.Composer
	question Question
	dnames   map[string]uint32 // the TTLs of the DNAME that the answer has: a chain may come by one again
}

// compose adds all that was found on the way.
func (c *composing) compose(ctx context.Context, w *way) error {
	for i := range w.aliases {
		if err := c.alias(ctx, &w.aliases[i]); err != nil {
			return err
		}
	}
	for _, rr := range w.foreign {
		if err := c.composer.Answer.RR(dnswire.Answer, rr); err != nil {
			return err
		}
	}
	switch {
	case w.local != nil:
		key := w.local.Key(c.question.Type, c.question.DO)
		return c.composer.Add(ctx, *w.local, key)
	case !w.ends:
		return nil
	}
	switch d := &w.end; {
	case d.kind == cut:
		return c.referral(ctx, d)
	case c.question.asksSigning(d.view.Zone, d.kind):
		return c.signing(ctx, d)
	case c.question.denies(d.view.Zone, d.kind):
		return c.denial(ctx, d)
	default:
		set, keep, err := c.setOf(d)
		if err != nil {
			return err
		}
		return c.put(ctx, dnswire.Answer, d, set, set.TTL, keep)
	}
}

// alias adds CNAME or, for a name under DNAME, that and the CNAME made from it, which has no
// signature of its own (RFC 6672 5.3.1).
func (c *composing) alias(ctx context.Context, d *nameData) error {
	set, err := dataSet(d.set)
	if err != nil {
		return err
	}
	if set.Type == dns.TypeCNAME {
		return c.put(ctx, dnswire.Answer, d, set, set.TTL, zonesign.Found)
	}
	ttl, again := c.dnames[set.Owner]
	if !again {
		if c.dnames == nil {
			c.dnames = map[string]uint32{}
		}
		ttl, c.dnames[set.Owner] = set.TTL, set.TTL
		if err := c.put(ctx, dnswire.Answer, d, set, ttl, zonesign.Found); err != nil {
			return err
		}
	}
	made, err := zonesign.NewRRset(&dns.CNAME{Hdr: header(d.view.Name, dns.TypeCNAME, ttl), Target: d.target})
	if err != nil {
		return err
	}
	return c.composer.Answer.Add(dnswire.Answer, made, made.TTL, zonesign.Signatures{})
}

// signing answers NSEC, or RRSIG with those of one RRset, because all of them would make the answer an amplifier
// (RFC 8482 4.1).
func (c *composing) signing(ctx context.Context, d *nameData) error {
	if !c.question.denies(d.view.Zone, d.kind) {
		set, keep, err := c.setOf(d)
		if err != nil {
			return err
		}
		return c.onlySignatures(ctx, d, set, set.TTL, keep)
	}
	nsec, err := d.view.Zone.Denial.NSEC(d.view.Name, d.bitmap, d.negative)
	if err != nil {
		return err
	}
	for _, set := range nsec {
		if c.question.Type == dns.TypeNSEC {
			err = c.put(ctx, dnswire.Answer, d, set, d.negative, zonesign.Missing)
		} else {
			err = c.onlySignatures(ctx, d, set, d.negative, zonesign.Missing)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// onlySignatures adds them with or without DO: RRSIGs are what was asked for (RFC 4035 3.1).
func (c *composing) onlySignatures(ctx context.Context, d *nameData, set zonesign.RRset, ttl uint32, keep zonesign.Keep) error {
	sigs, err := c.composer.Signer.Sign(ctx, d.view.Zone.Keys.Set, set, keep)
	if err != nil {
		return err
	}
	return c.composer.Answer.Signatures(dnswire.Answer, set, ttl, sigs)
}

// setOf is the RRset that answers at a name: the contents' or the data's.
func (c *composing) setOf(d *nameData) (set zonesign.RRset, keep zonesign.Keep, err error) {
	z, qtype := d.view.Zone, c.question.Type
	switch {
	case d.view.Owns(qtype):
		set, _ = d.view.Set(qtype)
		return set, zonesign.Kept, nil
	case d.kind == exists && ours(qtype):
		set, _ = d.view.Set(dns.TypeCAA)
		if d.view.Kept() {
			return set, zonesign.Kept, nil
		}
		return set, zonesign.Found, nil
	case qtype == dns.TypeSOA && len(d.set) == 0:
		return z.SOA(), zonesign.Found, nil
	}
	set, err = dataSet(d.set)
	return set, zonesign.Found, err
}

// dataSet is the wire form of an RRset of the data. A TTL over a week would outlive its signatures, and
// resolvers cap it there (RFC 8767 4).
func dataSet(rrs []dns.RR) (zonesign.RRset, error) {
	set, err := zonesign.NewRRset(rrs...)
	set.TTL = min(set.TTL, zonesign.MaxTTL)
	return set, err
}

// denial adds SOA (RFC 2308 3) and, signed, the proof (RFC 9824 3).
func (c *composing) denial(ctx context.Context, d *nameData) error {
	z := d.view.Zone
	if err := c.put(ctx, dnswire.Authority, d, d.soaSet, d.negative, zonesign.Found); err != nil {
		return err
	}
	signed := c.composer.Signs(z)
	if d.kind == noName && (c.question.CO || !signed) {
		c.composer.Answer.SetRcode(dns.RcodeNameError) // else NOERROR with NXNAME says so (RFC 9824 3.1, 5.1)
	}
	if !signed {
		return nil
	}
	return c.proof(ctx, d, d.view.Name)
}

// proof adds what proves that a name has no types but those of the bitmap.
func (c *composing) proof(ctx context.Context, d *nameData, name string) error {
	nsec, err := d.view.Zone.Denial.NSEC(name, d.bitmap, d.negative)
	if err != nil {
		return err
	}
	for _, set := range nsec {
		if err := c.put(ctx, dnswire.Authority, d, set, d.negative, zonesign.Missing); err != nil {
			return err
		}
	}
	return nil
}

// referral leads to the servers of the zone under a cut: NS and addresses as they are, for they are not
// the zone's to sign, and what proves that zone signed or unsigned (RFC 4035 3.1.4).
func (c *composing) referral(ctx context.Context, d *nameData) error {
	answer := c.composer.Answer
	answer.Refer()
	ns, err := dataSet(d.set)
	if err != nil {
		return err
	}
	if err := answer.Add(dnswire.Authority, ns, ns.TTL, zonesign.Signatures{}); err != nil {
		return err
	}
	if c.composer.Signs(d.view.Zone) {
		if err := c.delegation(ctx, d); err != nil {
			return err
		}
	}
	for _, rr := range d.glue {
		if err := answer.RR(dnswire.Additional, rr); err != nil {
			return err
		}
	}
	return nil
}

// delegation adds the DS of a cut or the proof that it has none.
func (c *composing) delegation(ctx context.Context, d *nameData) error {
	if len(d.ds) == 0 {
		return c.proof(ctx, d, d.owner)
	}
	set, err := dataSet(d.ds)
	if err != nil {
		return err
	}
	return c.put(ctx, dnswire.Authority, d, set, set.TTL, zonesign.Found)
}

// put adds an RRset of a zone and, where they were asked for, its signatures.
func (c *composing) put(ctx context.Context, in dnswire.Section, d *nameData, set zonesign.RRset, ttl uint32, keep zonesign.Keep) error {
	d.view.Zone.Keys.See(ttl)
	return c.composer.Put(ctx, in, d.view.Zone, set, ttl, keep)
}
