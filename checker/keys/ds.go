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
		line := keyroll.TextOf(ds) + "\n"
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
	var waits []keyroll.Wait
	if v.Report != nil {
		waits = v.Report.Waits
	}
	d, code := v.State.Delegation(waits), report.ExitMend
	switch {
	case !v.Served():
		d.Keys = nil
		for _, k := range v.Found {
			if k.Role != keyroll.ZSK {
				d.Keys = append(d.Keys, k.ID)
			}
		}
		notes = append(notes, "No server has taken these keys over yet: the parent's DS stay as they are.")
	case len(v.Lost) > 0:
		notes = append(notes, fmt.Sprintf("Files of %s are missing: the parent's DS stay as they are.", v.Lost[0]))
	case d.Advice == keyroll.Remove || d.Advice == keyroll.NoDS:
		return nil, []string{d.Note(z.Zone)}, report.ExitFine
	case d.Advice == keyroll.Publish:
		code = report.ExitFine
	default:
		notes = append(notes, d.Note(z.Zone))
	}
	for _, p := range z.Parent {
		if len(p.Others) > 0 {
			notes = append(notes, fmt.Sprintf("%s also has a DS of %s, which is no key of this folder: one of another signer of the zone stays.", p.Server, p.Others[0]))
			break
		}
	}
	return d.DS(v.Public), notes, code
}
