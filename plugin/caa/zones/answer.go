package zones

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

	"github.com/coredns/coredns/plugin/pkg/cache"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

// This file makes and keeps the answers that the contents of a zone give by themselves.

// Key says which answer a question for qtype gets at the name.
func (v View) Key(qtype uint16, do bool) Key {
	key := NoData
	switch {
	case v.has(qtype):
		key = Key(qtype)
	case (qtype == dns.TypeRRSIG || qtype == dns.TypeNSEC) && v.Zone.Signed():
		key = Key(qtype) // these exist beside an alias, too (RFC 4034 4, RFC 4035 2.5)
	case qtype == dns.TypeANY || v.alias != "":
		key = Key(v.first())
	}
	if do {
		key |= DNSSECOK
	}
	return key
}

// TransientAnswers bounds the answers kept for names that the contents do not name: at 600 to 900 octets each some ten
// megabytes, enough for the hosts of a large site to be answered from memory.
const TransientAnswers = 16384

// answers are those that are kept, and what makes new ones. Names that the contents name hold theirs themselves; all
// others share a bounded cache, so that a flood of random names pushes out nothing that a CA needs.
type answers struct {
	signer    *zonesign.Signer
	now       func() time.Time
	transient *cache.Cache[*prepared]
	seed      maphash.Seed
}

func newAnswers(signer *zonesign.Signer, now func() time.Time) *answers {
	return &answers{signer: signer, now: now, transient: cache.New[*prepared](TransientAnswers), seed: maphash.MakeSeed()}
}

// answer is the prepared answer to a question: one that was made before, or a new one.
func (a *answers) answer(ctx context.Context, v View, k Key) (*dnswire.Message, error) {
	now := a.now()
	kept := a.kept(v, k)
	if kept != nil && kept.Fresh(now) {
		return kept.Message, nil
	}
	made, err := a.make(ctx, v, k)
	if err != nil {
		if kept != nil && kept.Alive(now) {
			return kept.Message, nil // the last valid one, while the signing fails
		}
		return nil, err
	}
	a.keep(v, &prepared{made, v.Name, k})
	return made, nil
}

func (a *answers) kept(v View, k Key) *prepared {
	if v.known != nil {
		return v.known.answers.get(k)
	}
	m, ok := a.transient.Get(a.cacheKey(v.Name, k))
	if !ok || m.name != v.Name || m.key != k {
		return nil // absent, or another name with the same hash (coredns/coredns#3953)
	}
	return m
}

func (a *answers) keep(v View, m *prepared) {
	if v.known != nil {
		v.known.answers.put(m)
		return
	}
	a.transient.Add(a.cacheKey(m.name, m.key), m)
}

func (a *answers) cacheKey(name string, k Key) uint64 {
	return maphash.Comparable(a.seed, name) ^ uint64(k)*0x9E3779B97F4A7C15
}

// make makes an answer.
func (a *answers) make(ctx context.Context, v View, k Key) (*dnswire.Message, error) {
	GrowStack()
	b, err := dnswire.NewBuilder(v.Name)
	if err != nil {
		return nil, err
	}
	if err := (&Composer{a.signer, b, k.do()}).Add(ctx, v, k); err != nil {
		b.Release()
		return nil, err
	}
	return b.Finish(), nil
}

// GrowStack makes room at once for the plugins that are asked, for what is made of their answers, and for what a crypto
// library needs. The goroutine of a query begins with little, and to double that again and again, deeper each
// time, costs a tenth of an answer.
//
//go:noinline
func GrowStack() byte {
	var room [8 << 10]byte
	return room[sink]
}

var sink uint8 // unknown to the compiler, which would else do without the room

// Composer adds RRsets of zones, signed where that was asked for, to an answer in the making.
type Composer struct {
	Signer *zonesign.Signer
	Answer *dnswire.Builder
	DO     bool // DNSSEC was asked for
}

var errNoSuchSet = errors.New("the name has no RRset of that type")

// Add adds the answer with a key at a name of the contents.
func (c *Composer) Add(ctx context.Context, v View, k Key) error {
	switch rrtype := k.rrtype(); rrtype {
	case uint16(NoData):
		return c.denial(ctx, v)
	case dns.TypeRRSIG:
		return c.onlySignatures(ctx, v)
	case dns.TypeNSEC:
		nsec, err := v.nsec()
		if err != nil {
			return err
		}
		return c.putAll(ctx, dnswire.Answer, v, nsec)
	}
	set, ok := v.Set(k.rrtype())
	if !ok {
		return errNoSuchSet
	}
	if err := c.put(ctx, dnswire.Answer, v, set); err != nil || set.Type != dns.TypeNS {
		return err
	}
	return c.glue(ctx, v.Zone)
}

// glue adds the addresses that go with NS: those of the servers inside the zone.
func (c *Composer) glue(ctx context.Context, z *Zone) error {
	for _, server := range z.Policy.Nameservers {
		if len(server.Addresses) == 0 {
			continue
		}
		at := z.At(server.Name)
		for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if set, ok := at.Set(rrtype); ok {
				if err := c.put(ctx, dnswire.Additional, at, set); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// onlySignatures answers RRSIG with those of one RRset: all would be a reflector's delight, and an
// empty answer would contradict the NSEC (RFC 8482 4.1).
func (c *Composer) onlySignatures(ctx context.Context, v View) error {
	set, ok := v.Set(v.first())
	if !ok {
		return errNoSuchSet
	}
	sigs, err := c.Signer.Sign(ctx, v.Zone.Keys.Set, set, v.keep())
	if err != nil {
		return err
	}
	return c.Answer.Signatures(dnswire.Answer, set, set.TTL, sigs)
}

// denial answers that the name has no such type: SOA (RFC 2308 3) and, signed, what proves it.
func (c *Composer) denial(ctx context.Context, v View) error {
	if err := c.put(ctx, dnswire.Authority, v.Zone.At(v.Zone.Name()), v.Zone.soa); err != nil || !c.Signs(v.Zone) {
		return err
	}
	nsec, err := v.nsec()
	if err != nil {
		return err
	}
	return c.putAll(ctx, dnswire.Authority, v, nsec)
}

// nsec is the denial of all types that the name does not have (RFC 9824 3.2).
func (v View) nsec() ([]zonesign.RRset, error) {
	bitmap, err := zonesign.NewBitmap(v.Types()...)
	if err != nil {
		return nil, err
	}
	return v.Zone.Denial.NSEC(v.Name, bitmap, v.Zone.TTL.Negative)
}

func (c *Composer) putAll(ctx context.Context, in dnswire.Section, v View, sets []zonesign.RRset) error {
	for _, set := range sets {
		if err := c.put(ctx, in, v, set); err != nil {
			return err
		}
	}
	return nil
}

func (c *Composer) put(ctx context.Context, in dnswire.Section, v View, set zonesign.RRset) error {
	return c.Put(ctx, in, v.Zone, set, set.TTL, v.keep())
}

// keep says how long the signer keeps the signatures of the name: those of names without end are made and forgotten.
func (v View) keep() zonesign.Keep {
	if v.Kept() {
		return zonesign.Kept
	}
	return zonesign.Transient
}

// Put adds an RRset of a zone, with a TTL that is at most its own, and its signatures where they were asked for.
func (c *Composer) Put(ctx context.Context, in dnswire.Section, z *Zone, set zonesign.RRset, ttl uint32, keep zonesign.Keep) error {
	if !c.Signs(z) {
		return c.Answer.Add(in, set, ttl, zonesign.Signatures{})
	}
	sigs, err := c.Signer.Sign(ctx, z.Keys.Set, set, keep)
	if err != nil {
		return err
	}
	return c.Answer.Add(in, set, ttl, sigs)
}

// Signs reports whether signatures go with the RRsets of a zone in this answer.
func (c *Composer) Signs(z *Zone) bool { return c.DO && z.Signed() }
