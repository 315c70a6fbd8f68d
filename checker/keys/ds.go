package keys

import (
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// WriteDS writes the DS records that belong at the parent of a zone now, in the syntax of zone files. What is too
// early stands in comments, so that whatever the text is fed to publishes nothing that would harm: then the exit
// code is 1.
func WriteDS(w io.Writer, z *Zone) (code int, err error) {
	var out strings.Builder
	records, notes, code := z.ds()
	for _, note := range notes {
		out.WriteString(wrap("; ", note, "; ") + "\n")
	}
	for _, ds := range records {
		line := fmt.Sprintf("%s IN DS %d %d %d %s\n", ds.Hdr.Name, ds.KeyTag, ds.Algorithm, ds.DigestType, strings.ToUpper(ds.Digest))
		if code != report.ExitFine {
			line = "; " + line
		}
		out.WriteString(line)
	}
	_, err = io.WriteString(w, terminal.CleanLines(out.String()))
	return code, err
}

// ds are the records of a zone for its parent, what to know about them, and whether they belong there now.
func (z *Zone) ds() (records []*dns.DS, notes []string, code int) {
	v := z.view
	if v.Err != nil {
		return nil, []string{z.Error}, report.ExitUnknown
	}
	sets := v.State.Sets()
	ids, code := sets.Apex, report.ExitMend
	switch early := z.early(); {
	case !v.Served():
		for _, k := range v.Found {
			if k.Role != keyroll.ZSK {
				ids = append(ids, k.ID)
			}
		}
		notes = append(notes, "No server has taken these keys over yet: the parent's DS stay as they are.")
	case len(v.Lost) > 0:
		notes = append(notes, fmt.Sprintf("Files of %s are missing: the parent's DS stay as they are.", v.Lost[0]))
	case z.Status == GoingInsecure:
		return nil, []string{z.Zone + " goes insecure: have the parent remove its DS."}, report.ExitFine
	case z.Status == Insecure:
		return nil, []string{z.Zone + " is not signed: no DS belongs at the parent."}, report.ExitFine
	case len(sets.CDS) > 0:
		ids, code = sets.CDS, report.ExitFine
	case early != nil && early.State == keyroll.Unsure.String():
		notes = append(notes, "Nobody knows yet what caches have of these keys: the parent's DS stay as they are"+until(early)+".")
	case early != nil:
		notes = append(notes, "Too early"+until(early)+": caches have the zone without these keys, and would find it bogus.")
	}
	for _, p := range z.Parent {
		if len(p.Others) > 0 {
			notes = append(notes, fmt.Sprintf("%s also has a DS of %s, which is no key of this folder: one of another signer of the zone stays.", p.Server, p.Others[0]))
			break
		}
	}
	for _, id := range ids {
		if key := v.Public[id]; key != nil {
			records = append(records, key.ToDS(dns.SHA256))
		}
	}
	return records, notes, code
}

// early is the first key that the parent may not be told of yet.
func (z *Zone) early() *Key {
	for i := range z.Keys {
		if z.Keys[i].SignsDNSKEY {
			return &z.Keys[i]
		}
	}
	return nil
}

func until(k *Key) string {
	if k.Until.IsZero() {
		return ""
	}
	return " until " + moment(k.Until) + " UTC"
}
