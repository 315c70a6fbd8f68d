package issuers

import (
	"slices"
	"strings"
	"testing"
)

func TestMisspelt(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"letsencrpyt.org":  "letsencrypt.org", // two neighbours swapped
		"letsencryp.org":   "letsencrypt.org", // one missing
		"letssencrypt.org": "letsencrypt.org", // one too many
		"letsencrypt.orf":  "letsencrypt.org", // one wrong
		"letencrpyt.org":   "letsencrypt.org", // two slips in a long name
		"digicret.com":     "digicert.com",
		"globalsgin.com":   "globalsign.com",
		"letsencripto.org": "letsencrypt.org", // three letters off
		"letsenkripd.org":  "letsencrypt.org",
		"godady.com":       "godaddy.com",
		"godadi.com":       "", // two slips in a short one
		"ssk.com":          "", // one slip in a short label, which others have
		"letsencrypt.org":  "", // known
		"entrust.com":      "", // known, as a reseller, and one letter from nothing
		"swissign.com":     "", // known, as retired, and one letter from swisssign.com
		"comodoca.com":     "", // known, as deprecated
		// matching is exact on the whole name: no host of a CA authorises it
		"www.letsencrypt.org":                  "letsencrypt.org",
		"api.letsencrypt.org":                  "letsencrypt.org",
		"acme-v02.api.letsencrypt.org":         "letsencrypt.org",
		"acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
		"acme-v03.api.letsencrypt.org":         "letsencrypt.org",
		"acme-api.actalis.com":                 "actalis.it", // below none of its names
		"acme.zerossl.com":                     "sectigo.com",
		"www.zerossl.com":                      "sectigo.com",
		"www.comodoca.com":                     "sectigo.com",
		"www.letsencrypt.com":                  "letsencrypt.org",
		"www.digicert.com":                     "", // listed as it is
		"www.globalsign.com":                   "globalsign.com",
		"lencr.org":                            "letsencrypt.org",
		// another top-level domain, or none
		"letsencrypt.com":   "letsencrypt.org",
		"letsencrpyt.com":   "letsencrypt.org",
		"letsencrypt.co.uk": "letsencrypt.org",
		"digicert.net":      "digicert.com",
		"sectigo.org":       "sectigo.com",
		"digicert":          "digicert.com",
		"letsencrypt":       "letsencrypt.org",
		"lets-encrypt":      "letsencrypt.org",
		"zerossl":           "sectigo.com",
		"amazon":            "amazon.com",
		// a private CA's, or anybody's
		"ca.corp.example":          "",
		"letsencrypt.corp.example": "",
		"digicert.internal":        "",
		"pebble.letsencrypt.org":   "",
		"pki.microsoft.com":        "",
		"acme.corp.example":        "",
		"www.corp.example":         "",
		"ssl.net":                  "",
		"web.de":                   "",
		"ca":                       "",
		"com":                      "",
		"":                         "",
		".":                        "",
	} {
		if got := Misspelt(name); got != want {
			t.Errorf("Misspelt(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestMeant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"letsencrypt": "letsencrypt.org", "Let's Encrypt": "letsencrypt.org", "letsencrypt.com": "letsencrypt.org",
		"acme-v02.api.letsencrypt.org": "letsencrypt.org", "LetsEncrpyt.org": "letsencrypt.org", "letsencrypt.org": "letsencrypt.org",
		"ca.corp.example": "", "": "", ".": "", "é": "",
	} {
		if got := Meant(text); got != want {
			t.Errorf("Meant(%q) = %q, want %q", text, got, want)
		}
	}
}

// RFC 8657 3: the URI is compared whole, so one of another CA or of another environment meets nothing.
func TestCheckAccount(t *testing.T) {
	t.Parallel()
	const letters, staging, google = "https://acme-v02.api.letsencrypt.org/acme/acct/1", "https://acme-staging-v02.api.letsencrypt.org/acme/acct/1", "https://dv.acme-v02.api.pki.goog/account/x"
	for _, tt := range []struct {
		domain, uri string
		want        AccountFault
	}{
		{"letsencrypt.org", letters, NoFault},
		{"letsencrypt.org", staging, Staging},
		{"letsencrypt.org", google, AnotherCA},
		{"sectigo.com", staging, AnotherCA},
		{"sectigo.com", "https://acme.zerossl.com/v2/DV90/account/x", NoFault},
		{"ca.corp.example", google, NoFault},
		{"letsencrypt.org", "https://ca.corp.example/1", NoFault},
	} {
		if got, ca := CheckAccount(tt.domain, tt.uri); got != tt.want || (ca == nil) != (tt.uri == "https://ca.corp.example/1") {
			t.Errorf("CheckAccount(%q, %q) = %q, %v; want %q", tt.domain, tt.uri, got, ca, tt.want)
		}
	}
}

// The nearness tells CAs apart: without its own entry no name of a CA is taken for another operator's, but
// one pair, whose first is DigiCert's as well.
func TestNoCAIsMisspeltForAnother(t *testing.T) {
	t.Parallel()
	alike := map[string]string{"cybertrust.ne.jp": "cybertrust.co.jp"} // name: what it would be taken for
	for _, ca := range directory().cas {
		for _, name := range slices.Concat(ca.Domains, ca.Retired) {
			if near := Misspelt(name); near != "" {
				t.Errorf("%s, which the directory knows, is taken for %s", name, near)
			}
			if near := nearest(name, func(other string) bool { return !ca.Answers(other) }); near != "" && alike[name] != near {
				t.Errorf("%s of %s would be taken for %s", name, ca.Operator, near)
			}
		}
	}
}

// Names of companies, of newspapers, of places and of private CAs are nobody's slip.
func TestOrdinaryNamesAreNotMisspelt(t *testing.T) {
	t.Parallel()
	names := strings.Fields(`
		wikipedia.org apple.com yahoo.com ebay.com netflix.com linkedin.com github.com gitlab.com mozilla.org debian.org kernel.org
		ibm.com hp.com dell.com intel.com amd.com nvidia.com oracle.com sap.com siemens.com bosch.de basf.com bayer.com vw.de bmw.de
		nestle.com unilever.com shell.com bp.com total.com eni.it enel.it tim.it orange.fr free.fr sfr.fr telefonica.es vodafone.com
		kpmg.com pwc.com ey.com deloitte.com mckinsey.com hsbc.com ubs.com ing.nl abnamro.nl rabobank.nl dnb.no nordea.com seb.se
		nytimes.com bbc.co.uk cnn.com lemonde.fr spiegel.de zeit.de elpais.com repubblica.it nrk.no svt.se yle.fi dr.dk orf.at srf.ch
		ethz.ch tum.de mit.edu stanford.edu ox.ac.uk cam.ac.uk kth.se aalto.fi sorbonne.fr unibo.it uva.nl kuleuven.be
		berlin.de paris.fr london.gov.uk wien.gv.at zuerich.ch oslo.kommune.no nasa.gov army.mil europa.eu un.org who.int
		tesla.com toyota.jp honda.com sony.jp hitachi.com fujitsu.com rakuten.co.jp samsung.com lg.com hyundai.com tencent.com baidu.com
		alibaba.com huawei.com xiaomi.com tata.com infosys.com petrobras.com.br mercadolibre.com shopify.com stripe.com paypal.com
		visma.com vista.com delta.com costco.com target.com walmart.com ikea.com lego.com adidas.com puma.com
		ca.example.org pki.example.com acme.example.net step-ca.example.org vault.corp.example smallstep.com ejbca.org dogtag.internal
		disco.com intrust.net netrust.net certisign.com.br
		root-ca.lan ca01.ad.contoso.com certs.bank.example rootca.test
	`)
	if len(names) < 130 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		if near := Misspelt(name); near != "" {
			t.Errorf("%s is taken for %s", name, near)
		}
	}
}

func TestOfLabel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"digicert": "digicert.com", "DigiCert": "digicert.com", "letsencrypt": "letsencrypt.org", "google": "pki.goog",
		"digicert.com": "", "digicert.net": "", "ca": "", "corp": "", "ssl": "", "": "",
	} {
		if got := OfLabel(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
