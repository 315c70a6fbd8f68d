package policygen_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
)

// A generator that writes only refused or only accepted policies tests nothing: without damage most must
// load, with it most must not, and every key of the language must be met.
func TestText(t *testing.T) {
	t.Parallel()
	const runs = 500
	loaded := func(o policygen.Options) (n int, all string) {
		var texts strings.Builder
		for seed := range uint64(runs) {
			text := policygen.Text(rand.New(rand.NewPCG(seed, 0)), o)
			texts.Write(text)
			if _, err := policy.Load("caa.yaml", text); err == nil {
				n++
			} else if o.Damage == 0 && testing.Verbose() {
				t.Logf("seed %d: %v", seed, err)
			}
		}
		return n, texts.String()
	}
	if n, all := loaded(policygen.Options{}); n < runs*8/10 {
		t.Errorf("%d of %d policies without damage load", n, runs)
	} else {
		for _, key := range []string{"version", "ttl", "report", "issuers", "domain", "accounts", "methods", "unlisted", "default", "zones", "names", "nameservers", "addresses",
			"issue", "issuewild", "issuemail", "issuevmc", "contact", "properties", "critical", "challenge", "certificates", "issuer", "account", "method", "type", "\n...\n"} {
			if !strings.Contains(all, key) {
				t.Errorf("no policy has %q", key)
			}
		}
	}
	if n, _ := loaded(policygen.Options{Damage: 0.1}); n > runs*2/10 || n == 0 {
		t.Errorf("%d of %d damaged policies load", n, runs)
	}
}

// What the generator writes is text whatever was damaged, and a damaged text is never what would keep the
// rest from being read: YAML's parser must get past it often enough.
func TestDamageIsReadable(t *testing.T) {
	t.Parallel()
	for _, o := range []policygen.Options{{Damage: 0.02}, {Damage: 0.3}, {Damage: 0.3, Hostile: true}, {Size: 12, Damage: 0.01, Hostile: true}} {
		const runs = 200
		read := 0
		for seed := range uint64(runs) {
			text := policygen.Text(rand.New(rand.NewPCG(seed, 1)), o)
			if !utf8.Valid(text) {
				t.Fatalf("%+v, seed %d: not UTF-8:\n%q", o, seed, text)
			}
			if file, _ := policy.Parse("caa.yaml", text); file != nil {
				read++
			}
		}
		if read < runs*9/10 {
			t.Errorf("%+v: %d of %d texts are YAML to the parser", o, read, runs)
		}
	}
}

func TestEqualSourcesEqualTexts(t *testing.T) {
	t.Parallel()
	for _, o := range []policygen.Options{{}, {Size: 30}, {Damage: 0.2}, {Damage: 0.5, Hostile: true}} {
		one, other := policygen.Text(rand.New(policygen.Source([]byte("seed"))), o), policygen.Text(rand.New(policygen.Source([]byte("seed"))), o)
		if !bytes.Equal(one, other) {
			t.Errorf("%+v: two texts of one source:\n%s\n%s", o, one, other)
		}
	}
}
