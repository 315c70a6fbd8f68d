package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/coredns-caa/caa/checker/agent"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/test/lab"
)

const token = "s3cret-of-the-test"

// document is the published OpenAPI document (open-mpic-specification 3.5.0, MIT) as JSON Schema: the
// two differ in `nullable`.
var document = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	text, err := os.ReadFile("../mpic/testdata/open-mpic/openapi.yaml")
	if err != nil {
		return nil, err
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	return c, c.AddResource("mpic.json", asSchema(tree))
})

func asSchema(tree any) any {
	switch node := tree.(type) {
	case []any:
		for i := range node {
			node[i] = asSchema(node[i])
		}
	case map[string]any:
		for key := range node {
			node[key] = asSchema(node[key])
		}
		if node["nullable"] == true {
			delete(node, "nullable")
			return map[string]any{"anyOf": []any{node, map[string]any{"type": "null"}}}
		}
	case int:
		return float64(node)
	}
	return tree
}

func validate(t *testing.T, schema string, body []byte) error {
	t.Helper()
	c, err := document()
	if err != nil {
		t.Fatal(err)
	}
	compiling.Lock()
	s, err := c.Compile("mpic.json#/components/schemas/" + schema)
	compiling.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return s.Validate(value)
}

var compiling sync.Mutex // a compiler is for one at a time

// offer serves an agent whose world is a lab.
func offer(t *testing.T, change func(*agent.Config)) string {
	t.Helper()
	silent := func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }
	l := lab.New(t, map[string]lab.Hook{"ns.silent.test.": silent},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "silent.test.", Servers: []string{"ns.silent.test."}},
		lab.Zone{Name: "unsigned.test.", Servers: []string{"ns.silent.test."}, Unsigned: true},
		lab.Zone{Name: "ok.test.", Servers: []string{"ns.ok.test."}, Text: `
@ CAA 0 issue "ca.example"
@ CAA 0 issuewild "wild.example"
@ CAA 0 issuemail "mail.example; accounturi=https://mail.example/\"1\""
`},
		lab.Zone{Name: "open.test.", Servers: []string{"ns.ok.test."}},
	)
	cfg := agent.Config{Code: "here", Token: token, Looker: func() climb.Looker {
		r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: time.Second})
		if err != nil {
			t.Error(err)
		}
		return r
	}}
	if change != nil {
		change(&cfg)
	}
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return server.URL
}

type call struct {
	method, path, token, media, body string
}

func (c call) do(t *testing.T, server string) (int, http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), c.method, server+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", c.token)
	}
	request.Header.Set("Content-Type", c.media)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body
}

func post(body string) call {
	return call{http.MethodPost, "/mpic", "Bearer " + token, "application/json", body}
}

// Requests as the document has them get answers as the document has them.
func TestAnswers(t *testing.T) {
	t.Parallel()
	server := offer(t, nil)
	tests := []struct{ name, request, want string }{
		{"the CA that is named", `{"check_type": "caa", "domain_or_ip_target": "www.ok.test", "caa_check_parameters": {"caa_domains": ["ca.example"]}}`,
			`true completed passed present at ok.test "may issue" authorized`},
		{"one of a CA's names is enough", `{"check_type": "caa", "domain_or_ip_target": "www.ok.test", "caa_check_parameters": {"certificate_type": "tls-server", "caa_domains": ["other.example", "ca.example"]}}`,
			`true completed passed present at ok.test "may issue" authorized`},
		{"another CA", `{"check_type": "caa", "domain_or_ip_target": "www.ok.test", "caa_check_parameters": {"caa_domains": ["other.example"]}, "trace_identifier": "t-1"}`,
			`false completed refused present at ok.test "locked out" issuer-not-listed`},
		{"without parameters it is a CA that nobody names", `{"check_type": "caa", "domain_or_ip_target": "ok.test"}`,
			`false completed refused present at ok.test "locked out" issuer-not-listed`},
		{"a wildcard", `{"check_type": "caa", "domain_or_ip_target": "*.ok.test", "caa_check_parameters": {"caa_domains": ["ca.example"]}}`,
			`false completed refused present at ok.test "locked out" issuer-not-listed`},
		{"mail", `{"check_type": "caa", "domain_or_ip_target": "ok.test", "caa_check_parameters": {"certificate_type": "s-mime", "caa_domains": ["mail.example"]}}`,
			`true completed passed present at ok.test "may issue" authorized`},
		{"no CAA", `{"check_type": "caa", "domain_or_ip_target": "www.open.test", "caa_check_parameters": {"caa_domains": ["ca.example"]}}`,
			`true completed passed absent "may issue" no-rrset`},
		{"silent servers of a signed zone", `{"check_type": "caa", "domain_or_ip_target": "silent.test", "caa_check_parameters": {"caa_domains": ["ca.example"]}}`,
			`false completed refused absent "locked out" lookup-failed-signed, caa:lookup-failed-signed`},
		{"silent servers of an unsigned zone", `{"check_type": "caa", "domain_or_ip_target": "unsigned.test", "caa_check_parameters": {"caa_domains": ["ca.example"]}}`,
			`false completed refused absent "at risk" lookup-failed-unsigned, caa:lookup-failed-unsigned`},
		{"a quorum of none is monitoring", `{"check_type": "caa", "domain_or_ip_target": "ok.test", "orchestration_parameters": {"quorum_count": 0, "perspective_count": 1, "max_attempts": 3}}`,
			`true completed refused present at ok.test "locked out" issuer-not-listed`},
		{"fields of later versions are let pass", `{"check_type": "caa", "domain_or_ip_target": "open.test", "caa_check_parameters": {"allow_lookup_failure": true}, "new": 1}`,
			`true completed passed absent "may issue" no-rrset`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := validate(t, "CAAParams", []byte(tt.request)); err != nil {
				t.Fatalf("the request does not match the document: %v", err)
			}
			status, header, body := post(tt.request).do(t, server)
			if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
				t.Fatalf("status %d: %s", status, body)
			}
			if err := validate(t, "CAAResponse", body); err != nil {
				t.Errorf("%s\nis no answer by the document: %v", body, err)
			}
			if got := summary(t, body); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			var asked, answered map[string]any
			if json.Unmarshal([]byte(tt.request), &asked) != nil || json.Unmarshal(body, &answered) != nil {
				t.Fatal("no JSON")
			}
			for _, key := range []string{"trace_identifier", "domain_or_ip_target"} {
				if asked[key] != answered[key] {
					t.Errorf("%s is %v, asked was %v", key, answered[key], asked[key])
				}
			}
		})
	}
}

// summary reads an answer as a client would that knows the document alone.
func summary(t *testing.T, body []byte) string {
	t.Helper()
	var r struct {
		Valid        bool `json:"is_valid"`
		Perspectives []struct {
			Check struct {
				Completed bool `json:"check_completed"`
				Passed    bool `json:"check_passed"`
				Errors    []struct {
					Type string `json:"error_type"`
				}
				Details struct {
					Present         bool    `json:"caa_record_present"`
					FoundAt         *string `json:"found_at"`
					Outcome, Reason string
				}
			} `json:"check_response"`
		}
	}
	if err := json.Unmarshal(body, &r); err != nil || len(r.Perspectives) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	word := func(b bool, yes, no string) string {
		if b {
			return yes
		}
		return no
	}
	c := r.Perspectives[0].Check
	out := fmt.Sprint(r.Valid, word(c.Completed, " completed", " not completed"), word(c.Passed, " passed", " refused"), word(c.Details.Present, " present", " absent"))
	if c.Details.FoundAt != nil {
		out += " at " + *c.Details.FoundAt
	}
	out += fmt.Sprintf(" %q %s", c.Details.Outcome, c.Details.Reason)
	for _, e := range c.Errors {
		out += ", " + e.Type
	}
	return out
}

// A client without the token, or with a wrong or too large request, gets an error with the reason, and nothing is looked up.
func TestRefusals(t *testing.T) {
	t.Parallel()
	server := offer(t, func(c *agent.Config) {
		c.Looker = func() climb.Looker { t.Error("something is asked"); return nil }
	})
	fine := `{"check_type": "caa", "domain_or_ip_target": "ok.test"}`
	with := func(change func(*call)) call {
		c := post(fine)
		change(&c)
		return c
	}
	many := `"x.example"` + strings.Repeat(`, "x.example"`, 100)
	tests := []struct {
		name   string
		call   call
		status int
		says   string
	}{
		{"no token", with(func(c *call) { c.token = "" }), 401, "token"},
		{"a wrong token", with(func(c *call) { c.token = "Bearer " + token + "x" }), 401, "token"},
		{"the beginning of the token", with(func(c *call) { c.token = "Bearer s3" }), 401, "token"},
		{"another scheme", with(func(c *call) { c.token = "Basic " + token }), 401, "token"},
		{"no token, and a wrong path", with(func(c *call) { c.token, c.path = "", "/" }), 401, "token"},
		{"another path", with(func(c *call) { c.path = "/mpic/x" }), 404, "/mpic"},
		{"GET", with(func(c *call) { c.method = http.MethodGet }), 405, "POST"},
		{"another media type", with(func(c *call) { c.media = "text/plain" }), 415, "application/json"},
		{"too long", post(`{"trace_identifier": "` + strings.Repeat("x", 1<<17) + `"}`), 413, "octets"},
		{"no JSON", post(`check_type=caa`), 400, "not a request"},
		{"nothing", post(""), 400, "not a request"},
		{"a list", post(`[]`), 400, "not a request"},
		{"two requests", post(fine + fine), 400, "not a request"},
		{"something behind a request", post(fine + "}"), 400, "not a request"},
		{"a number for a name", post(`{"check_type": "caa", "domain_or_ip_target": 1}`), 400, "not a request"},
		{"domain control validation", post(`{"check_type": "dcv", "domain_or_ip_target": "ok.test", "dcv_check_parameters": {"validation_method": "acme-dns-01"}}`), 400, "check_type"},
		{"no check type", post(`{"domain_or_ip_target": "ok.test"}`), 400, "check_type"},
		{"no name", post(`{"check_type": "caa"}`), 400, "domain_or_ip_target"},
		{"an IP address", post(`{"check_type": "caa", "domain_or_ip_target": "192.0.2.1"}`), 400, "IP address"},
		{"a URL", post(`{"check_type": "caa", "domain_or_ip_target": "https://ok.test/"}`), 400, "URL"},
		{"an empty label", post(`{"check_type": "caa", "domain_or_ip_target": "a..test"}`), 400, "labels"},
		{"an unknown type of certificate", post(`{"check_type": "caa", "domain_or_ip_target": "ok.test", "caa_check_parameters": {"certificate_type": "code"}}`), 400, "certificate_type"},
		{"a wildcard for mail", post(`{"check_type": "caa", "domain_or_ip_target": "*.ok.test", "caa_check_parameters": {"certificate_type": "s-mime"}}`), 400, "wildcard"},
		{"too many names of a CA", post(`{"check_type": "caa", "domain_or_ip_target": "ok.test", "caa_check_parameters": {"caa_domains": [` + many + `]}}`), 400, "caa_domains"},
		{"several perspectives", post(`{"check_type": "caa", "domain_or_ip_target": "ok.test", "orchestration_parameters": {"perspective_count": 6}}`), 400, "perspective_count"},
		{"a quorum of several", post(`{"check_type": "caa", "domain_or_ip_target": "ok.test", "orchestration_parameters": {"quorum_count": 2}}`), 400, "quorum_count"},
		{"no attempt", post(`{"check_type": "caa", "domain_or_ip_target": "ok.test", "orchestration_parameters": {"max_attempts": 0}}`), 400, "max_attempts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, header, body := tt.call.do(t, server)
			var problem struct{ Error string }
			if err := json.Unmarshal(body, &problem); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if status != tt.status || !strings.Contains(problem.Error, tt.says) {
				t.Errorf("got %d %q, want %d and %q", status, problem.Error, tt.status, tt.says)
			}
			if (status == 401) != (header.Get("WWW-Authenticate") != "") || (status == 405) != (header.Get("Allow") != "") {
				t.Errorf("headers %v", header)
			}
		})
	}
}

// blocking answers nothing until its questions end.
type blocking struct{ asked chan struct{} }

func (b blocking) Lookup(ctx context.Context, name string, rrtype uint16) resolve.Answer {
	b.asked <- struct{}{}
	<-ctx.Done()
	return resolve.Answer{Name: name, Type: rrtype, Owner: name, Err: &resolve.LookupError{Failure: resolve.Cancelled, Name: name, Type: rrtype}}
}

// More checks than allowed are turned away at once, and one that takes too long ends as not completed.
func TestLimits(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	server := offer(t, func(c *agent.Config) {
		c.Looker, c.Concurrency, c.Limit = func() climb.Looker { return blocking{asked} }, 1, 500*time.Millisecond
	})
	first := make(chan []byte, 1)
	go func() {
		_, _, body := post(`{"check_type": "caa", "domain_or_ip_target": "ok.test"}`).do(t, server)
		first <- body
	}()
	<-asked
	if status, header, body := post(`{"check_type": "caa", "domain_or_ip_target": "ok.test"}`).do(t, server); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("the second check: %d %s", status, body)
	}
	body := <-first
	if got, want := summary(t, body), `false not completed refused absent "unknown" lookup-incomplete, caa:lookup-incomplete`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := validate(t, "CAAResponse", body); err != nil {
		t.Error(err)
	}
}

// A body that does not come takes no check's place.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	server := offer(t, func(c *agent.Config) { c.Concurrency = 1 })
	slow, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /mpic HTTP/1.1\r\nHost: agent.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", token)
	for range 20 {
		if status, _, text := post(`{"check_type": "caa", "domain_or_ip_target": "ok.test"}`).do(t, server); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What was looked up is forgotten after a while.
func TestMemory(t *testing.T) {
	t.Parallel()
	now, made := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), 0
	open := looker(func(name string) resolve.Answer { return resolve.Answer{Name: name, Owner: name} })
	server := offer(t, func(c *agent.Config) {
		c.Looker = func() climb.Looker { made++; return open }
		c.Now, c.Memory = func() time.Time { return now }, time.Minute
	})
	var counts []int
	for _, step := range []time.Duration{0, 59 * time.Second, time.Second, 30 * time.Second, -time.Hour} {
		now = now.Add(step)
		post(`{"check_type": "caa", "domain_or_ip_target": "ok.test"}`).do(t, server)
		counts = append(counts, made)
	}
	if want := []int{1, 1, 2, 2, 3}; !slices.Equal(counts, want) { // the last: a clock that was set back
		t.Errorf("resolvers made: %v, want %v", counts, want)
	}
}

type looker func(name string) resolve.Answer

func (l looker) Lookup(_ context.Context, name string, _ uint16) resolve.Answer { return l(name) }

func TestNew(t *testing.T) {
	t.Parallel()
	some := func() climb.Looker { return nil }
	for name, cfg := range map[string]agent.Config{
		"no token": {Code: "x", Looker: some}, "no code": {Token: "x", Looker: some}, "nothing to ask through": {Token: "x", Code: "x"},
	} {
		if _, err := agent.New(cfg); err == nil {
			t.Errorf("%s: it is an agent", name)
		}
	}
}
