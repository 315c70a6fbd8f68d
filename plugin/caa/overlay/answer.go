package overlay

import (
	"context"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnswire"
)

// Answer answers a question about a canonical name of a zone, and calls write with the message, which lasts as long as
// the call. Errors: OtherZone, where the name is in another zone of the next plugin's; ErrNobody, where no plugin has
// data of the zone; a LostError, where the next plugin gave no answer that can be used; and write's.
func (o *Overlay) Answer(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, z *zones.Zone, name string, write func(*dnswire.Message) error) error {
	zones.GrowStack()
	g := newGathering(o, w, r, QuestionOf(r))
	way, err := g.gather(ctx, z, name)
	if err != nil {
		return err
	}
	if way.prepared {
		// What CAs ask most: the answer is prepared.
		v := z.At(name)
		m, err := o.zones.Answer(ctx, v, v.Key(dns.TypeCAA, g.question.DO))
		if err != nil {
			return err
		}
		return write(m)
	}
	b, err := dnswire.NewBuilder(name)
	if err != nil {
		return err
	}
	defer b.Release()
	c := composing{composer: zones.Composer{Signer: o.zones.Signer(), Answer: b, DO: g.question.DO}, question: g.question}
	if err := c.compose(ctx, way); err != nil {
		return err
	}
	return write(b.Borrow())
}
