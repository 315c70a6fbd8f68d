package keys

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll/keyfolder"
)

var update = flag.Bool("update", false, "write the golden files")

const day = 24 * time.Hour

var epoch = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// server keeps the keys of zones in a folder by a clock of its own, below a parent that follows CDS.
type server struct {
	t       testing.TB
	dir     string
	now     time.Time
	set     keyroll.Settings
	zones   []string
	ds      map[string][]*dns.DS
	follows bool
	silent  error // why the parent's second server does not answer
}

func serve(t testing.TB, now time.Time, zones ...string) *server {
	return &server{t: t, dir: t.TempDir(), now: now, set: keyroll.DefaultSettings(), zones: zones, ds: map[string][]*dns.DS{}, follows: true}
}

func (s *server) step() (wake time.Time) {
	s.t.Helper()
	results, err := keyfolder.New(s.dir).Update(s.now, func(zone string, z keyroll.Zone, found []keyroll.Key, keys []*dns.DNSKEY) keyroll.Decision {
		parent := []keyroll.Observation{keyroll.Observe("a.parent.test", s.ds[zone], keys), keyroll.Observe("b.parent.test", s.ds[zone], keys)}
		parent[1].Err = s.silent
		return keyroll.Step(z, keyroll.Input{Now: s.now, Settings: s.set, DataTTL: time.Hour, KeyTTL: time.Hour, Found: found, Parent: parent})
	}, s.zones...)
	if err != nil {
		s.t.Fatal(err)
	}
	wake = s.now.Add(day)
	for zone, r := range results {
		if r.Err != nil {
			s.t.Fatal(r.Err)
		}
		if wake.After(r.Wake) {
			wake = r.Wake
		}
		if s.follows && (len(r.Sets.CDS) > 0 || r.Sets.Delete) {
			s.ds[zone] = nil
			for _, id := range r.Sets.CDS {
				ds := r.Keys[id].DNSKEY.ToDS(dns.SHA256)
				ds.Hdr.Ttl = 86400
				s.ds[zone] = append(s.ds[zone], ds)
			}
		}
	}
	return wake
}

// until runs for some time.
func (s *server) until(d time.Duration) *server {
	s.t.Helper()
	for end := s.now.Add(d); ; {
		wake := s.step()
		if wake.After(end) {
			s.now = end
			s.step()
			return s
		}
		s.now = wake
	}
}

func (s *server) ask(zone string, r keyroll.Request) {
	s.t.Helper()
	if _, refused, err := keyfolder.New(s.dir).Ask(zone, s.now, r); err != nil || refused != nil {
		s.t.Fatal(err, refused)
	}
}

func (s *server) report() *Report {
	s.t.Helper()
	r, err := FromFolder(s.dir, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

var planned = keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK}
var urgent = keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK, Urgent: true}

// worlds are folders in every condition, with the exit code of each.
func worlds(t *testing.T) map[string]struct {
	s    *server
	code int
} {
	type world = struct {
		s    *server
		code int
	}
	in := map[string]world{}
	add := func(name string, code int, s *server) { in[name] = world{s, code} }
	add("new", 0, serve(t, epoch, "example.org.").until(time.Hour))
	add("at rest", 0, serve(t, epoch, "example.org.").until(day))

	coming := serve(t, epoch, "example.org.").until(day)
	coming.ask("example.org.", planned)
	coming.step()
	add("a roll is planned", 0, coming)

	rolling := serve(t, epoch, "example.org.").until(day)
	rolling.ask("example.org.", urgent)
	add("a CSK rolls", 0, rolling.until(12*time.Hour))

	ignored := serve(t, epoch, "example.org.").until(day)
	ignored.ask("example.org.", urgent)
	ignored.follows, ignored.set.Patience = false, 12*time.Hour
	add("the parent does not follow", 1, ignored.until(day))

	silent := serve(t, epoch, "example.org.")
	silent.silent = fmt.Errorf("read 127.0.0.1: i/o timeout")
	add("the parent is silent", 1, silent.until(day))

	split := serve(t, epoch, "example.org.")
	split.set.Split = true
	split.until(day)
	split.ask("example.org.", keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.ZSK, Urgent: true})
	add("a ZSK rolls", 0, split.until(3*time.Hour))

	leaving := serve(t, epoch, "example.org.").until(day)
	leaving.ask("example.org.", keyroll.Request{Verb: keyroll.GoInsecure})
	add("insecure soon", 0, leaving.until(time.Hour))

	gone := serve(t, epoch, "example.org.").until(day)
	gone.ask("example.org.", keyroll.Request{Verb: keyroll.GoInsecure})
	add("insecure", 0, gone.until(30*time.Hour))

	queued := serve(t, epoch, "example.org.").until(day)
	queued.ask("example.org.", planned)
	add("a request waits", 0, queued)

	stale := serve(t, epoch, "example.org.").until(day)
	stale.now = stale.now.Add(5 * time.Hour)
	add("nobody serves", 1, stale)

	back := serve(t, epoch, "example.org.").until(day)
	back.now = back.now.Add(5 * time.Hour)
	back.step()
	add("after a stop", 0, back)

	orphan := serve(t, epoch, "example.org.").until(day)
	orphan.ds["example.org."] = []*dns.DS{{KeyTag: 7, Algorithm: 13}}
	orphan.step()
	add("a DS without a key", 1, orphan)

	lost := serve(t, epoch, "example.org.").until(day)
	remove(t, lost.dir, "K*.key")
	add("a key is lost", 1, lost)

	damaged := serve(t, epoch, "example.org.", "example.net.").until(day)
	if err := os.WriteFile(filepath.Join(damaged.dir, "Kexample.org.keyroll"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	add("a damaged state", 2, damaged)

	taken := serve(t, epoch, "example.org.").until(day)
	remove(t, taken.dir, "*.keyroll")
	add("not taken over", 0, taken)

	add("nothing", 0, serve(t, epoch))
	return in
}

func remove(t *testing.T, dir, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatal(err, paths)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func checkJSON(t *testing.T, schema *jsonschema.Schema, r *Report) {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// Every condition, as people see it: lines are short, the exit code says it in one number, the document keeps to
// its schema, and no line of a private file is in either. The golden file is read as text.
func TestFolders(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	in := worlds(t)
	var all strings.Builder
	names := make([]string, 0, len(in))
	for name := range in {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w := in[name]
		r := w.s.report()
		if code := r.ExitCode(); code != w.code {
			t.Errorf("%s: exit %d, want %d: %+v", name, code, w.code, r.Zones)
		}
		checkJSON(t, schema, r)
		r.Folder = "DIR" // whose length differs from run to run
		for i := range r.Zones {
			r.Zones[i].Error = strings.ReplaceAll(r.Zones[i].Error, w.s.dir, "DIR")
		}
		var text, ds bytes.Buffer
		if err := r.WriteText(&text, true, 80); err != nil {
			t.Fatal(err)
		}
		for i := range r.Zones {
			code, err := WriteDS(&ds, &r.Zones[i])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&ds, "exit %d\n", code)
		}
		shown := regexp.MustCompile(`[0-9A-F]{64}`).ReplaceAllString(ds.String(), "DIGEST")
		fmt.Fprintf(&all, "== %s\n%s", name, stable(text.String()+"-- ds\n"+shown))
		private, err := filepath.Glob(filepath.Join(w.s.dir, "*.private"))
		if err != nil {
			t.Fatal(err)
		}
		var document bytes.Buffer
		if err := r.WriteJSON(&document); err != nil {
			t.Fatal(err)
		}
		for _, path := range private {
			secret, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, value, _ := strings.Cut(string(secret), "PrivateKey: ")
			value, _, _ = strings.Cut(value, "\n")
			if strings.Contains(text.String()+document.String(), value) {
				t.Errorf("%s: the private half is shown", name)
			}
		}
	}
	got := all.String()
	for _, line := range strings.Split(got, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("a line is longer than 80 characters: %q", line)
		}
	}
	const file = "testdata/folders.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%v; go test -update writes it. Got\n%s", err, got)
	}
}

// stable gives keys the tags 10001, 10002 and so on, as they come.
func stable(text string) string {
	seen := map[string]string{}
	name := func(tag string) string {
		tag = strings.TrimLeft(tag, "0")
		if seen[tag] == "" {
			seen[tag] = fmt.Sprintf("%05d", 10000+len(seen)+1)
		}
		return seen[tag]
	}
	text = regexp.MustCompile(`013\+\d{5}`).ReplaceAllStringFunc(text, func(id string) string { return "013+" + name(id[4:]) })
	return regexp.MustCompile(`IN DS \d+ `).ReplaceAllStringFunc(text, func(ds string) string { return "IN DS " + name(strings.Fields(ds)[2]) + " " })
}

// While a server steps, each request is answered: begun, planned or refused; without one it stays queued and can be
// taken back.
func TestAsk(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	const zone = "example.org."
	start := time.Now().Add(-2 * day)
	s := serve(t, start, zone).until(2 * day)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			state, err := keyfolder.New(s.dir).State(zone)
			if err != nil {
				t.Error(err)
				return
			}
			if len(state.Requests) == 0 {
				time.Sleep(time.Millisecond)
				continue
			}
			s.now = time.Now()
			s.step()
		}
	}()
	asked := func(r *Report, err error) *Report {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		checkJSON(t, schema, r)
		return r
	}
	for _, c := range []struct {
		request keyroll.Request
		result  Result
		code    int
		says    string
	}{
		{planned, Planned, 0, "not begun yet: roll the CSK"},
		{keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.ZSK}, Refused, 1, "refused to roll the ZSK: the zone has no such key"},
		{keyroll.Request{Verb: keyroll.RetireKey, Key: keyroll.ID{Algorithm: 13, Tag: 1}}, Refused, 1, "013+00001"},
		{keyroll.Request{Verb: keyroll.CallOff}, Begun, 0, "begun: cancel"},
		{urgent, Begun, 0, "begun: roll the CSK at once"},
		{keyroll.Request{Verb: keyroll.GoInsecure}, Begun, 0, "going insecure"},
		{planned, Refused, 1, "the zone is set to go insecure"},
		{keyroll.Request{Verb: keyroll.ComeBack}, Begun, 0, "begun: stay signed or sign again"},
	} {
		r := asked(Ask(t.Context(), s.dir, zone, c.request, time.Minute))
		var out bytes.Buffer
		if err := r.WriteText(&out, true, 80); err != nil {
			t.Fatal(err)
		}
		if r.Asked.Result != c.result || r.ExitCode() != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: %+v, exit %d\n%s", c.request, r.Asked, r.ExitCode(), out.String())
		}
	}
	asked(Ask(t.Context(), s.dir, zone, planned, time.Minute))
	if r := asked(Cancel(t.Context(), s.dir, zone, time.Minute)); r.Asked.Result != Begun || len(r.Zones[0].Rolls) > 0 {
		t.Errorf("a planned roll is canceled: %+v", r.Asked)
	}
	stop()
	<-done

	r := asked(Ask(t.Context(), s.dir, zone, planned, 10*time.Millisecond))
	if r.Asked.Result != Queued || r.ExitCode() != 2 || len(r.Zones[0].Requests) != 1 {
		t.Errorf("%+v, exit %d", r.Asked, r.ExitCode())
	}
	if r := asked(Cancel(t.Context(), s.dir, zone, time.Minute)); r.Asked.Result != Canceled || r.Asked.What != "roll the CSK" || len(r.Zones[0].Requests) > 0 || r.ExitCode() != 0 {
		t.Errorf("%+v, exit %d", r.Asked, r.ExitCode())
	}
	if r := asked(Cancel(t.Context(), s.dir, zone, time.Minute)); r.Asked.What != "there was no request" {
		t.Errorf("%+v", r.Asked)
	}
}

// A request that a server has picked up is waited for as long as the server gets on, is not taken back, and never ends with
// the advice to start with new keys.
func TestRestoreThatTakesLong(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	const wait, zones = 400 * time.Millisecond, 4
	for _, c := range []struct {
		name     string
		picks    bool // the server picks the request up, and does so many zones
		does     int
		result   Result
		code     int
		says     string
		leftOver int
	}{
		{"no server", false, 0, Unanswered, 2, "caacheck keys new", 0},
		{"a server that gets on", true, zones, Done, 0, "done: write the keys held in memory", 0},
		{"a server that stops", true, 2, InProgress, 2, "2 of 4 zones are done", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			folder := keyfolder.New(dir)
			server := func() error {
				var found []keyfolder.Errand
				for ; len(found) == 0; time.Sleep(time.Millisecond) {
					if t.Context().Err() != nil {
						return t.Context().Err()
					}
					found = folder.Errands(folder.Watch().Look(), time.Now())
				}
				e := found[0]
				err := folder.PickUp(&e, time.Now(), zones)
				for n := 0; n < c.does && err == nil; n++ {
					time.Sleep(wait * 6 / 10)
					e.Progress.Done++
					err = folder.Reply(e, time.Now(), false)
				}
				if c.does == zones && err == nil {
					e.Zones = []string{"example.org."}
					err = folder.Reply(e, time.Now(), true)
				}
				return err
			}
			ended := make(chan error, 1)
			if c.picks {
				go func() { ended <- server() }()
			} else {
				ended <- nil
			}
			var seen []int
			r, err := Restore(t.Context(), dir, wait, func(done, total int) {
				if seen = append(seen, done); total != zones {
					t.Errorf("%d zones", total)
				}
			})
			if err = errors.Join(err, <-ended); err != nil {
				t.Fatal(err)
			}
			checkJSON(t, schema, r)
			var out bytes.Buffer
			if err := r.WriteText(&out, true, 0); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(out.String()), " ")
			if r.Asked.Result != c.result || r.ExitCode() != c.code || !strings.Contains(text, c.says) || c.picks && strings.Contains(text, "keys new") {
				t.Errorf("%+v, exit %d\n%s", r.Asked, r.ExitCode(), text)
			}
			if c.picks && (!slices.IsSorted(seen) || len(seen) == 0 || seen[len(seen)-1] < c.does-1) {
				t.Errorf("progress %v", seen)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*.keyrequest")); err != nil || len(left) != c.leftOver {
				t.Errorf("left %q, %v", left, err)
			}
		})
	}
}

// The request is canceled while a command waits for its answer.
func TestRequestThatIsGone(t *testing.T) {
	t.Parallel()
	const zone = "example.org."
	s := serve(t, time.Now().Add(-day), zone).until(day)
	folder := keyfolder.New(s.dir)
	r, _, err := folder.Ask(zone, time.Now(), planned)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.TakeBack(zone); err != nil {
		t.Fatal(err)
	}
	o := &Outcome{Request: Request{What: describe(r), Asked: r.Asked}}
	if err := o.await(t.Context(), folder, zone, time.Minute); err == nil || !strings.Contains(err.Error(), "it was canceled") {
		t.Error(err)
	}
}

func TestParseZone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Example.ORG": "example.org.", ".": ".", "0/25.2.0.192.in-addr.arpa.": "0/25.2.0.192.in-addr.arpa.",
		"bücher.example": "xn--bcher-kva.example.", "": "", "a..b": "", "bücher..example": "",
	} {
		if got, err := ParseZone(text); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
