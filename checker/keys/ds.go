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

// WriteDS writes the DS records that belong at the parent of a zone now, in zone file syntax. Where that is too early,
// they are comments, so that a program that reads them publishes nothing that would do harm, and the exit code is 1.
func WriteDS(w io.Writer, z *Zone) (code int, err error) {
	var out strings.Builder
	records, notes, code := z.ds()
	for _, note := range notes {
		out.WriteString(report.Wrap("; ", note, "; ", dsColumns) + "\n")
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

// dsColumns is the width of the comments.
const dsColumns = 80

// ds returns the records of a zone for its parent, notes about them, and whether they belong there now, as an exit code.
func (z *Zone) ds() (records []*dns.DS, notes []string, code int) {
	v := z.view
	if v.Err != nil {
		return nil, []string{z.Error}, report.ExitUnknown
	}
	var waits []keyroll.Wait
	if v.Report != nil {
		waits = v.Report.Waits
	}
	d, code := v.State.Delegation(waits), report.ExitWrong
	switch {
	case !v.Served():
		d.Keys = nil
		for _, k := range v.Found {
			if k.Role != keyroll.ZSK {
				d.Keys = append(d.Keys, k.ID)
			}
		}
		notes = append(notes, "No server uses these keys yet: do not change the DS records at the parent.")
	case len(v.Lost) > 0:
		notes = append(notes, fmt.Sprintf("Files of %s are missing: do not change the DS records at the parent.", v.Lost[0]))
	case d.Advice == keyroll.Remove || d.Advice == keyroll.NoDS:
		return nil, []string{d.Note(z.Zone)}, report.ExitFine
	case d.Advice == keyroll.Publish:
		code = report.ExitFine
	default:
		notes = append(notes, d.Note(z.Zone))
	}
	for _, p := range z.Parent {
		if len(p.Others) > 0 {
			notes = append(notes, fmt.Sprintf("%s also has a DS of %s, which is not a key of this folder: leave it if it is of another signer of the zone.", p.Server, p.Others[0]))
			break
		}
	}
	return d.DS(v.Public), notes, code
}
