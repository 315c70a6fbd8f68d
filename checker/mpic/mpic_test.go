package mpic

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// What an RRset is written as is that RRset again, whatever octets it has.
func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	octets := func(least, most int) string {
		out := make([]byte, least+r.IntN(most))
		for i := range out {
			out[i] = byte(r.IntN(256))
			if r.IntN(4) == 0 {
				out[i] = `\" ;0`[r.IntN(5)]
			}
		}
		return string(out)
	}
	for range 500 {
		var want issuance.RRset
		for range r.IntN(4) {
			want = append(want, issuance.Property{Flags: uint8(r.IntN(256)), Tag: octets(1, 15), Value: octets(0, 600)})
		}
		wire, err := json.Marshal(RecordsOf(want))
		if err != nil {
			t.Fatal(err)
		}
		var records Records
		if err := json.Unmarshal(wire, &records); err != nil {
			t.Fatal(err)
		}
		if got, err := records.RRset(); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q came back as %q, %v (by %s)", want, got, err, wire)
		}
	}
}

// The document has a string, Open MPIC sends a list.
func TestRecordsOfOthers(t *testing.T) {
	t.Parallel()
	want := issuance.RRset{{Flags: 0, Tag: "issue", Value: "ca.example; accounturi=https://ca.example/1"}, {Flags: 128, Tag: "tbs", Value: `a"b`}}
	for _, text := range []string{
		`["0 issue \"ca.example; accounturi=https://ca.example/1\"", "128 tbs \"a\\\"b\""]`,
		`"0 issue \"ca.example; accounturi=https://ca.example/1\"\n128  tbs \"a\\034b\"\n"`,
	} {
		var records Records
		if err := json.Unmarshal([]byte(text), &records); err != nil {
			t.Fatal(err)
		}
		if got, err := records.RRset(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{`"issue ca.example"`, `"0 issue"`, `"256 issue \"x\""`, `"0 issue \"x\" y"`, `"0 issue \"x"`, `["0 issue \"x\"\n0 issue \"y\""]`, `"0 issue é"`} {
		var records Records
		if err := json.Unmarshal([]byte(text), &records); err != nil {
			t.Fatal(err)
		}
		if got, err := records.RRset(); err == nil {
			t.Errorf("%s was read as %q", text, got)
		}
	}
	for _, text := range []string{"null", `""`, "[]"} {
		var records Records
		if err := json.Unmarshal([]byte(text), &records); err != nil || len(records) != 0 {
			t.Errorf("%s: %q, %v", text, records, err)
		}
	}
	var records Records
	if err := json.Unmarshal([]byte(`{"a": 1}`), &records); err == nil {
		t.Error("an object was taken for records")
	}
	if _, err := Records(strings.Split(strings.Repeat("0 a b\n", maxRecords+1), "\n")).RRset(); err == nil {
		t.Error("more records than an answer holds were taken")
	}
	if _, err := (Records{`0 issue "` + strings.Repeat(`\`+"000", 65536) + `"`}).RRset(); err == nil {
		t.Error("a longer record than an answer holds was taken")
	}
}

func TestCertificateTypes(t *testing.T) {
	t.Parallel()
	for _, kind := range []issuance.CertificateType{issuance.TLS, issuance.SMIME} {
		word, ok := CertificateType(kind)
		if back, ok2 := ParseCertificateType(word); !ok || !ok2 || back != kind {
			t.Errorf("%v is %q, which is %v", kind, word, back)
		}
	}
	if kind, ok := ParseCertificateType(""); !ok || kind != issuance.TLS {
		t.Error("without a type it is not TLS")
	}
	if _, ok := ParseCertificateType("vmc"); ok {
		t.Error("the API has no mark certificates")
	}
}

// Whatever an agent sends as records is an RRset that is written and read as itself, or an error.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(`"0 issue \"ca.example\"\n128 tbs \"\\255\\\"\""`))
	f.Add([]byte(`["0 issue ;", null]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var records Records
		if json.Unmarshal(data, &records) != nil {
			return
		}
		rrset, err := records.RRset()
		if err != nil {
			return
		}
		if again, err := RecordsOf(rrset).RRset(); err != nil || !slices.Equal(again, rrset) {
			t.Errorf("%q became %q, %v", rrset, again, err)
		}
	})
}
