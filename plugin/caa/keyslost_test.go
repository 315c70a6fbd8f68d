package caa

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

// keeping is a zone with a key that its parent names, and a state folder.
func keeping(t *testing.T, parent *registry, options string) *clocked {
	t.Helper()
	h := buildRolling(t, testPolicy, "state "+t.TempDir()+"\nroll backup-age 1h\n"+options, nil, parent)
	h.run(t, 6*time.Hour, func() { parent.follow(t, h.built, "example.org.") })
	return h
}

// dnskeys are the keys that are served, each as text.
func (c *clocked) dnskeys(t *testing.T) (keys []string) {
	t.Helper()
	for _, rr := range typesOf(ask(t, c, question("example.org.", dns.TypeDNSKEY), true), dns.TypeDNSKEY) {
		keys = append(keys, rr.(*dns.DNSKEY).PublicKey)
	}
	slices.Sort(keys)
	return keys
}

// losses are the ways in which a folder loses the keys of example.org, and whether only that zone is hit.
var losses = map[string]func(t *testing.T, dir string){
	"the folder is moved away": func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".away")) },
	"the folder is emptied": func(t *testing.T, dir string) {
		must(t, os.Rename(dir, dir+".away"))
		must(t, os.Mkdir(dir, 0o700))
	},
	"the folder cannot be read": func(t *testing.T, dir string) {
		must(t, os.Rename(dir, dir+".away"))
		must(t, os.WriteFile(dir, nil, 0o600))
	},
	"the zone's files are removed": func(t *testing.T, dir string) { removeFiles(t, dir, "Kexample.org.*") },
	"the zone's key files are removed": func(t *testing.T, dir string) {
		removeFiles(t, dir, "Kexample.org.*.key")
		removeFiles(t, dir, "Kexample.org.*.private")
	},
	"the private halves are removed": func(t *testing.T, dir string) { removeFiles(t, dir, "Kexample.org.*.private") },
	"a private half is cut": func(t *testing.T, dir string) {
		paths, err := filepath.Glob(filepath.Join(dir, "Kexample.org.*.private"))
		must(t, errors.Join(err, os.Rename(paths[0], paths[0]+".away"), os.WriteFile(paths[0], []byte("Priv"), 0o600)))
	},
	"another server's folder is in its place": func(t *testing.T, dir string) {
		other := buildRolling(t, testPolicy, "", nil, &registry{})
		other.run(t, 6*time.Hour, func() {})
		must(t, os.Rename(dir, dir+".away"))
		must(t, os.CopyFS(dir, os.DirFS(other.loader.cfg.keyDir)))
	},
	"another server's folder is merged into it": func(t *testing.T, dir string) {
		other := buildRolling(t, testPolicy, "", nil, &registry{})
		other.run(t, 6*time.Hour, func() {})
		removeFiles(t, dir, "Kexample.org.keyroll")
		removeFiles(t, other.loader.cfg.keyDir, ".lock")
		removeFiles(t, other.loader.cfg.keyDir, "Ksub*")
		must(t, os.CopyFS(dir, os.DirFS(other.loader.cfg.keyDir)))
	},
}

func removeFiles(t *testing.T, dir, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	for _, path := range paths {
		must(t, os.Remove(path))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Keys in use are not replaced because files are missing: with or without a DS at the parent they stay served, for
// however long, with an error and a metric; what the server holds can be written back, and the zone goes on.
func TestKeysOutliveTheirFolder(t *testing.T) {
	t.Parallel()
	for _, ds := range []bool{true, false} {
		for name, lose := range losses {
			t.Run(fmt.Sprintf("%s, DS %v", name, ds), func(t *testing.T) {
				t.Parallel()
				parent := &registry{}
				h := keeping(t, parent, "")
				if !ds {
					parent.has("example.org.")
				}
				dir := h.loader.cfg.keyDir
				before := h.dnskeys(t)
				lose(t, dir)
				h.run(t, 5*time.Hour, func() { h.wantSecure(t, parent, "example.org.") })
				if got := h.dnskeys(t); !slices.Equal(got, before) {
					t.Fatalf("%q are served in the place of %q", got, before)
				}
				status := h.status("example.org.")
				if !status.Problems["keys-lost"] && !status.Problems["folder-lost"] && !status.Problems["keys-unreadable"] {
					t.Errorf("nothing shows it: %v", status)
				}
				if messages := strings.Join(status.Messages, "\n"); !strings.Contains(messages, "caacheck keys restore") {
					t.Errorf("reported %q", messages)
				}
				// Back, into a folder that is there.
				if name == "the folder cannot be read" {
					must(t, os.Remove(dir))
				}
				must(t, os.MkdirAll(dir, 0o700))
				there := contents(t, dir)
				folder := keyfolder.New(dir)
				send := func(e keyfolder.Errand) keyfolder.Errand {
					t.Helper()
					sent, err := folder.Send(e, h.at)
					must(t, err)
					for range 5 { // as the watch does
						h.at = h.at.Add(2 * time.Second)
						h.run(t, 0, func() {})
					}
					answer, err := folder.Answer(sent)
					must(t, err)
					must(t, folder.Remove(sent))
					return answer
				}
				// To start with new keys would lose the only copy.
				if answer := send(keyfolder.Errand{Verb: keyfolder.StartNew, Zone: "example.org."}); !strings.Contains(answer.Failed["example.org."], "caacheck keys restore") || !slices.Equal(h.dnskeys(t), before) {
					t.Fatalf("keys new: %+v, %q", answer, h.dnskeys(t))
				}
				answer := send(keyfolder.Errand{Verb: keyfolder.Restore})
				if answer.Answered.IsZero() || len(answer.Failed) > 0 || !slices.Contains(answer.Zones, "example.org.") {
					t.Fatalf("%+v", answer)
				}
				wantKept(t, there, contents(t, dir))
				if status := h.status("example.org."); status.Problems["keys-lost"] || status.Problems["folder-lost"] || status.Problems["keys-unreadable"] {
					t.Errorf("after keys restore: %v", status)
				}
				// The copy is good for a restart, and the next roll goes through.
				h = h.restart(t, nil, parent)
				if got := h.dnskeys(t); !slices.Equal(slices.DeleteFunc(got, func(k string) bool { return !slices.Contains(before, k) }), before) {
					t.Fatalf("after a restart: %q, want %q", got, before)
				}
				h.run(t, 5*time.Hour, func() { parent.follow(t, h.built, "example.org."); h.wantSecure(t, parent, "example.org.") })
				if _, refused, err := folder.Ask("example.org.", h.at, keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK, Urgent: true}); err != nil || refused != nil {
					t.Fatal(refused, err)
				}
				h.run(t, 2*24*time.Hour, func() { parent.follow(t, h.built, "example.org."); h.wantSecure(t, parent, "example.org.") })
				if after := h.dnskeys(t); len(after) != 1 || slices.Equal(after, before) {
					t.Errorf("the roll: %q after %q, %v", after, before, h.states("example.org."))
				}
			})
		}
	}
}

// contents are the key files and states of a folder, by name and text.
func contents(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(dir, "K*"))
	must(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		must(t, err)
		if !strings.HasPrefix(filepath.Base(path), "Ksub") { // it is stepped
			all[string(text)] = true
		}
	}
	return all
}

// wantKept sees that nothing that was in a folder is overwritten but times.
func wantKept(t *testing.T, before, after map[string]bool) {
	t.Helper()
	for text := range before {
		if key, _, _ := strings.Cut(text, "Created:"); !after[text] && !slices.ContainsFunc(keysOf(after), func(a string) bool { return strings.HasPrefix(a, key) }) {
			t.Errorf("lost from the folder: %q", text[:min(len(text), 40)])
		}
	}
}

func keysOf(m map[string]bool) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// When the folder is back as it was, the zone goes on by itself.
func TestFolderComesBack(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := keeping(t, parent, "")
	dir, before := h.loader.cfg.keyDir, h.dnskeys(t)
	must(t, os.Rename(dir, dir+".away"))
	h.run(t, 5*time.Hour, func() { h.wantSecure(t, parent, "example.org.") })
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("the folder was made, and cannot be moved back")
	}
	must(t, os.Rename(dir+".away", dir))
	h.run(t, 3*time.Minute, func() { h.wantSecure(t, parent, "example.org.") })
	if status := h.status("example.org."); len(status.Problems) > 0 || len(status.Messages) > 0 {
		t.Errorf("%v", status)
	}
	if got := h.dnskeys(t); !slices.Equal(got, before) {
		t.Errorf("%q, want %q", got, before)
	}
}

// The state of a zone is missing and its keys are there: a running server goes on from what it holds.
func TestStateAloneIsLost(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := keeping(t, parent, "")
	before := fmt.Sprint(h.states("example.org."))
	removeFiles(t, h.loader.cfg.keyDir, "Kexample.org.keyroll")
	h.run(t, time.Hour, func() { h.wantSecure(t, parent, "example.org.") })
	state, err := keyfolder.New(h.loader.cfg.keyDir).State("example.org.")
	if got := fmt.Sprint(h.states("example.org.")); err != nil || got != before || len(state.Keys) == 0 {
		t.Errorf("%s, want %s; written %v, %v", got, before, state, err)
	}
}

// A zone that had keys, the record or its parent's DS, is refused alone at a start without them, and served once
// they are back or people want new ones.
func TestStartWithoutKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options string
		ds      bool // the parent has one
		dead    bool // and does not answer
		forget  bool // there is no record
		want    string
	}{
		{"a record and a DS", "", true, false, false, "the record"},
		{"a record alone", "", false, false, false, "the record"},
		{"a record, and a parent that is silent", "", false, true, false, "the record"},
		{"a DS alone", "", true, false, true, "no served key matches the parent's DS"},
		{"a record of which half was written", "", false, false, false, "cannot be read"},
		{"neither", "", false, false, true, ""},
		{"a record, and orphan", "orphan example.org", true, false, false, "the record"},
		{"no record, and orphan", "orphan example.org", true, false, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parent := &registry{}
			h := keeping(t, parent, c.options)
			dir, before := h.loader.cfg.keyDir, h.dnskeys(t)
			if c.want == "cannot be read" {
				records, err := filepath.Glob(filepath.Join(h.loader.cfg.stateDir, "*.keys.json"))
				must(t, err)
				must(t, os.Truncate(records[0], 100))
			}
			if c.forget {
				removeFiles(t, h.loader.cfg.stateDir, "*.keys.json")
			}
			if !c.ds {
				parent.has("example.org.")
			}
			if c.dead {
				parent.dead = errors.New("timeout")
			}
			away := t.TempDir()
			paths, err := filepath.Glob(filepath.Join(dir, "Kexample.org.*"))
			must(t, err)
			for _, path := range paths {
				must(t, os.Rename(path, filepath.Join(away, filepath.Base(path))))
			}
			h = h.restart(t, nil, parent)
			servfail := func() bool {
				return ask(t, h, question("www.example.org.", dns.TypeCAA), true).Rcode == dns.RcodeServerFailure
			}
			if m := ask(t, h, question("sub.example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeSuccess {
				t.Errorf("the other zone: %v", m)
			}
			if c.want == "" {
				if servfail() {
					t.Errorf("a new zone is refused: %v", h.status("example.org."))
				}
				return
			}
			messages := strings.Join(h.status("example.org.").Messages, "\n")
			for _, says := range []string{c.want, "example.org is not served"} {
				if !strings.Contains(messages, says) {
					t.Errorf("reported %q, want %q", messages, says)
				}
			}
			if !servfail() || !h.status("example.org.").Problems["zone-refused"] {
				t.Errorf("not refused: %v", h.status("example.org."))
			}
			h.run(t, 2*time.Hour, func() {})
			if keys, _ := filepath.Glob(filepath.Join(dir, "Kexample.org.*")); !servfail() || len(keys) > 0 {
				t.Errorf("later: %q", keys)
			}
			folder := keyfolder.New(dir)
			errand, err := folder.Send(keyfolder.Errand{Verb: keyfolder.StartNew, Zone: "example.org."}, h.at)
			must(t, err)
			h.run(t, time.Minute, func() {})
			answer, err := folder.Answer(errand)
			must(t, err)
			must(t, folder.Remove(errand))
			accepted := !c.ds && !c.dead || c.options != ""
			if answer.Answered.IsZero() || accepted != (answer.Refused == nil && len(answer.Failed) == 0) || accepted == servfail() {
				t.Errorf("keys new: %+v, SERVFAIL %v", answer, servfail())
			}
			if accepted {
				return
			}
			for _, path := range paths {
				must(t, os.Rename(filepath.Join(away, filepath.Base(path)), path))
			}
			parent.mu.Lock()
			parent.dead = nil
			parent.mu.Unlock()
			h.run(t, 2*time.Minute, func() {})
			if got := h.dnskeys(t); servfail() || !slices.Equal(got, before) {
				t.Errorf("with the files back: %q, want %q; %v", got, before, h.status("example.org."))
			}
		})
	}
}

// The whole folder is missing at a start: each zone that had keys is refused, and it is not made.
func TestStartWithoutFolder(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := keeping(t, parent, "")
	dir, before := h.loader.cfg.keyDir, h.dnskeys(t)
	must(t, os.Rename(dir, dir+".away"))
	h = h.restart(t, nil, parent)
	for _, q := range []*dns.Msg{question("example.org.", dns.TypeSOA), question("www.sub.example.org.", dns.TypeCAA), question("sub.example.org.", dns.TypeDS)} {
		if m := ask(t, h, q, true); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%v", m)
		}
	}
	must(t, os.Rename(dir+".away", dir))
	h.run(t, 2*time.Minute, func() {})
	if got := h.dnskeys(t); !slices.Equal(got, before) {
		t.Errorf("%q, want %q", got, before)
	}
}

// A damaged file of one zone keeps that zone from being served after a restart, and no other.
func TestDamagedFileOfOneZone(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"Kexample.org.*.private", "Kexample.org.*.key", "Kexample.org.keyroll"} {
		parent := &registry{}
		h := keeping(t, parent, "")
		paths, err := filepath.Glob(filepath.Join(h.loader.cfg.keyDir, pattern))
		must(t, err)
		whole, err := os.ReadFile(paths[0])
		must(t, err)
		must(t, os.WriteFile(paths[0], whole[:len(whole)/2], 0o600))
		h = h.restart(t, nil, parent)
		if m := ask(t, h, question("example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %v", pattern, m)
		}
		// The zone above is refused, and so its child's DS is not denied; the child itself is served.
		if m := ask(t, h, question("sub.example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: the other zone: %v", pattern, m)
		}
		must(t, os.WriteFile(paths[0], whole, 0o600))
		h.run(t, 2*time.Minute, func() {})
		if m := ask(t, h, question("example.org.", dns.TypeCAA), true); m.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: repaired: %v, %v", pattern, m, h.status("example.org."))
		}
	}
}

// When CoreDNS loads its Corefile again, the new instance has what the old one holds.
func TestReloadWithoutFolder(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := keeping(t, parent, "")
	before := h.dnskeys(t)
	stop := make(chan struct{})
	defer close(stop)
	go keyring.Watch(h.loader.block.keys, stop, func() {})
	must(t, os.Rename(h.loader.cfg.keyDir, h.loader.cfg.keyDir+".away")) // at once, for the server writes
	for end := time.Now().Add(time.Minute); !h.status("example.org.").Problems["folder-lost"]; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing shows that the folder is lost")
		}
	}
	again := h.restart(t, nil, parent)
	if got := again.dnskeys(t); !slices.Equal(got, before) {
		t.Errorf("%q, want %q", got, before)
	}
	again.wantSecure(t, parent, "example.org.")
}

// A broken key file that is no key of the zone is a warning: it keeps no zone from being served.
func TestStrayKeyFile(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h := keeping(t, parent, "")
	before := h.dnskeys(t)
	for _, ending := range []string{".key", ".private"} {
		must(t, os.WriteFile(filepath.Join(h.loader.cfg.keyDir, "Kexample.org.+013+00002"+ending), nil, 0o600))
	}
	h.run(t, time.Hour, func() { h.wantSecure(t, parent, "example.org.") })
	h = h.restart(t, nil, parent)
	if got, messages := h.dnskeys(t), strings.Join(h.status("example.org.").Messages, "\n"); !slices.Equal(got, before) || !strings.Contains(messages, "is not used: delete") {
		t.Errorf("%q, want %q; %s", got, before, messages)
	}
}

// moving is keeping, with another folder of keys to go to.
func moving(t *testing.T, parent *registry) (h *clocked, from, to string) {
	t.Helper()
	h = keeping(t, parent, "roll keep 12h")
	from = h.loader.cfg.keyDir
	return h, from, filepath.Join(filepath.Dir(from), "keyz")
}

// inFolder is the same block with another folder of keys.
func (c *clocked) inFolder(dir string) *clocked {
	cfg := *c.loader.cfg
	cfg.keyDir = dir
	return &clocked{built: &built{loader: &loader{cfg: &cfg}}, at: c.at}
}

// key auto names another folder, as after a typing error: at a start each zone that had keys is refused, and nothing is
// made; it is served again when the path is set back, when the zone's files are in the new folder, or when people want
// new keys.
func TestKeysInAnotherFolder(t *testing.T) {
	t.Parallel()
	move := func(t *testing.T, from, to string) {
		t.Helper()
		must(t, os.MkdirAll(to, 0o700))
		paths, err := filepath.Glob(filepath.Join(from, "K*"))
		must(t, err)
		for _, path := range paths {
			must(t, os.Rename(path, filepath.Join(to, filepath.Base(path))))
		}
	}
	for name, out := range map[string]func(t *testing.T, h *clocked, parent *registry, from, to string) *clocked{
		"the path is set back": func(t *testing.T, h *clocked, parent *registry, from, _ string) *clocked {
			return h.inFolder(from).restart(t, nil, parent)
		},
		"the files are moved": func(t *testing.T, h *clocked, _ *registry, from, to string) *clocked {
			move(t, from, to)
			h.run(t, time.Minute, func() {})
			return h
		},
		"the files are moved before": nil,
		"the files are copied": func(t *testing.T, h *clocked, _ *registry, from, to string) *clocked {
			must(t, os.CopyFS(to, os.DirFS(from)))
			h.run(t, time.Minute, func() {})
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := &registry{}
			h, from, to := moving(t, parent)
			before := h.dnskeys(t)
			if out == nil {
				move(t, from, to)
			}
			h = h.inFolder(to).restart(t, nil, parent)
			if out != nil {
				for _, zone := range []string{"example.org.", "sub.example.org."} {
					if m := ask(t, h, question(zone, dns.TypeSOA), true); m.Rcode != dns.RcodeServerFailure {
						t.Errorf("%v", m)
					}
				}
				h.run(t, time.Hour, func() {})
				if made, _ := filepath.Glob(filepath.Join(to, "K*")); len(made) > 0 {
					t.Errorf("made %q", made)
				}
				reported := strings.Join(h.status("example.org.").Messages, "\n")
				for _, says := range []string{"example.org is not served", from, to, "Set key auto back to " + from, "move or copy", "caacheck keys new " + to + " example.org"} {
					if !strings.Contains(reported, says) {
						t.Errorf("reported %q, want %q", reported, says)
					}
				}
				h = out(t, h, parent, from, to)
			}
			if got := h.dnskeys(t); !slices.Equal(got, before) {
				t.Fatalf("%q, want %q; %v", got, before, h.status("example.org."))
			}
			h.run(t, 5*time.Hour, func() { parent.follow(t, h.built, "example.org."); h.wantSecure(t, parent, "example.org.") })
			if status := h.status("example.org."); len(status.Problems) > 0 || len(status.Messages) > 0 {
				t.Errorf("%v", status)
			}
		})
	}
}

// People want new keys in another folder.
func TestNewKeysInAnotherFolder(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h, _, to := moving(t, parent)
	parent.has("example.org.")
	before := h.dnskeys(t)
	h = h.inFolder(to).restart(t, nil, parent)
	must(t, os.Mkdir(to, 0o700))
	_, err := keyfolder.New(to).Send(keyfolder.Errand{Verb: keyfolder.StartNew, Zone: "example.org."}, h.at)
	must(t, err)
	h.run(t, time.Minute, func() {})
	after := h.dnskeys(t)
	if len(after) != 1 || slices.Equal(after, before) {
		t.Fatalf("%q after %q", after, before)
	}
	h = h.restart(t, nil, parent)
	if got := h.dnskeys(t); !slices.Equal(got, after) {
		t.Errorf("after a restart %q, want %q", got, after)
	}
	if m := ask(t, h, question("sub.example.org.", dns.TypeSOA), true); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the zone of which nobody wants new keys: %v", m)
	}
}

// The record of a folder that a zone has left says nothing when the zone comes back with keys that it has rolled to since.
func TestZoneComesBackToItsFolder(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h, from, to := moving(t, parent)
	must(t, os.Rename(from, to))
	h = h.inFolder(to).restart(t, nil, parent)
	before := h.dnskeys(t)
	step := func() { parent.follow(t, h.built, "example.org."); h.wantSecure(t, parent, "example.org.") }
	h.run(t, 5*time.Hour, step)
	if _, refused, err := keyfolder.New(to).Ask("example.org.", h.at, keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK, Urgent: true}); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	h.run(t, 4*24*time.Hour, step)
	after := h.dnskeys(t)
	if len(after) != 1 || slices.Equal(after, before) {
		t.Fatalf("the roll: %q after %q", after, before)
	}
	must(t, os.Rename(to, from))
	parent.mu.Lock()
	parent.dead = errors.New("timeout") // else its DS would show which keys are right
	parent.mu.Unlock()
	h = h.inFolder(from).restart(t, nil, parent)
	if got := h.dnskeys(t); !slices.Equal(got, after) {
		t.Fatalf("%q, want %q; %v", got, after, h.status("example.org."))
	}
}

// When CoreDNS loads a Corefile with another folder, the new instance serves on with the keys that the old one holds, and
// writes them there when people ask for it.
func TestReloadWithAnotherFolder(t *testing.T) {
	t.Parallel()
	parent := &registry{}
	h, from, to := moving(t, parent)
	before := h.dnskeys(t)
	stop := make(chan struct{})
	go keyring.Watch(h.loader.block.keys, stop, func() {})
	var again *clocked
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if again = h.inFolder(to).restart(t, nil, parent); again.status("example.org.").Problems["folder-lost"] {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the watch has not begun: %v", again.status("example.org."))
		}
	}
	close(stop)
	if got := again.dnskeys(t); !slices.Equal(got, before) {
		t.Fatalf("%q, want %q", got, before)
	}
	again.run(t, 5*time.Hour, func() { again.wantSecure(t, parent, "example.org.") })
	reported := strings.Join(again.status("example.org.").Messages, "\n")
	for _, says := range []string{from, to, "do not restart", "Set key auto back to " + from, "caacheck keys restore " + to, "caacheck keys new " + to + " example.org"} {
		if !strings.Contains(reported, says) {
			t.Errorf("reported %q, want %q", reported, says)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("the folder was made")
	}
	must(t, os.Mkdir(to, 0o700))
	_, err := keyfolder.New(to).Send(keyfolder.Errand{Verb: keyfolder.Restore}, again.at)
	must(t, err)
	again.run(t, time.Minute, func() { again.wantSecure(t, parent, "example.org.") })
	again = again.restart(t, nil, parent)
	if got := again.dnskeys(t); !slices.Equal(got, before) || len(again.status("example.org.").Problems) > 0 {
		t.Errorf("%q, want %q; %v", got, before, again.status("example.org."))
	}
}

// A block without keys of its own yet is new where another block serves the zone with the recorded keys of its own folder,
// as views do, and not where that folder has lost them.
func TestKeysOfAnotherBlock(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		parent := &registry{}
		h, from, to := moving(t, parent)
		parent.has("example.org.")
		n := h.inFolder(to)
		keys := n.loader.cfg.keyring()
		keys.Now, keys.Ask, keys.Notify = func() time.Time { return h.at }, parent.observe, parent.notify
		keys.OwnedElsewhere = func(zone, folder string) bool { return zone == "example.org." && folder == from }
		if lost {
			removeFiles(t, from, "Kexample.org.*")
		}
		b, err := prepare(n.loader.cfg, keys, nil)
		must(t, err)
		n.built = b
		must(t, n.start())
		n.run(t, time.Minute, func() {})
		served := ask(t, n, question("example.org.", dns.TypeSOA), true).Rcode == dns.RcodeSuccess
		if served == lost {
			t.Errorf("lost %v: served %v; %v", lost, served, n.status("example.org."))
		}
		if m := ask(t, n, question("sub.example.org.", dns.TypeSOA), true); m.Rcode != dns.RcodeServerFailure {
			t.Errorf("a zone that no other block has: %v", m)
		}
		if got := h.restart(t, nil, parent).status("example.org.").Problems["zone-refused"]; got != lost {
			t.Errorf("lost %v: the first block refuses it: %v", lost, got)
		}
	}
}
