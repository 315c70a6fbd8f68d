package finding

import (
	"context"

	"github.com/coredns-caa/caa/checker/climb"
)

// Collect asks every address of every server of the zones of a climb.
func (k *Collector) Collect(ctx context.Context, c climb.Climb) *Case {
	out := &Case{Climb: c, Now: k.Resolver.Now()}
	names := namesByZone(c)
	for _, zn := range names {
		out.Surveys = append(out.Surveys, k.survey(ctx, zn.zone, zn.names, c.Name))
	}
	out.Cuts = k.cuts(ctx, c)
	out.Others, out.Aliases, out.Targets = k.others(ctx, out), k.aliases(ctx, out), k.targets(ctx, out)
	out.Mail = k.mailboxes(ctx, c)
	out.Private, out.OneServer = k.private(), k.Resolver.OneServer()
	return out
}

// private reports whether the root's own servers have no address of the Internet.
func (k *Collector) private() bool {
	for _, a := range k.Resolver.Roots() {
		if !reserved(a) {
			return false
		}
	}
	return true
}
