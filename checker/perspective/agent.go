package perspective

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// maxResponse is far more than any answer needs: a hundred perspectives, each with an RRset of 64 KiB
// whose octets are all escaped.
const maxResponse = 32 << 20

// nobody is an Issuer Domain Name that no CA has (RFC 6761 6.4): without any, an installation uses that of its own CA.
const nobody = "invalid"

// client sends requests to one installation. Equal questions for its perspectives at the same moment are one request.
type client struct {
	url           string
	header, token string
	http          *http.Client
	flight        singleflight.Group
}

func newClient(url string, config *tls.Config, header, token string) *client {
	return &client{url: url, header: header, token: token, http: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: DefaultConcurrency, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is only for this URL
	}}
}

// agent is one perspective of an installation.
type agent struct {
	*client
	code string
}

// unclear is an answer that determines nothing about the name.
type unclear struct {
	reason issuance.Reason
	text   string
}

func (u unclear) Error() string { return u.text }

func (a agent) see(ctx context.Context, r guard.Requirement, at time.Time) Observation {
	s := a.look(ctx, r, at)
	s.Detail, s.FoundAt = short(s.Detail), short(s.FoundAt)
	return s
}

// mostWords is how many octets of an agent's text are kept: an agent may send megabytes for each name.
const mostWords = 1000

func short(text string) string {
	if len(text) <= mostWords {
		return text
	}
	return strings.ToValidUTF8(text[:mostWords], "") + "…"
}

func (a agent) look(ctx context.Context, r guard.Requirement, at time.Time) Observation {
	response, err := a.ask(ctx, r)
	var check mpic.Check
	if err == nil {
		check, err = a.pick(response, r)
	}
	if err != nil {
		s := Observation{Reason: NoAnswer, Detail: "the agent: " + err.Error()}
		if u, ok := errors.AsType[unclear](err); ok {
			s.Reason = u.reason
		}
		return s
	}
	return read(check, r, at)
}

// ask posts the request. Mark certificates, which the API does not have, are requested as TLS: the records are evaluated
// here.
func (c *client) ask(ctx context.Context, r guard.Requirement) (*mpic.Response, error) {
	kind, known := mpic.CertificateType(r.Type)
	if !known {
		kind = mpic.TLSServer
	}
	parameters := mpic.CAAParameters{CertificateType: kind, Domains: []string{cmp.Or(r.Domain, nobody)}}
	body, err := json.Marshal(mpic.Request{CheckType: mpic.CheckCAA, Target: r.String(), Parameters: &parameters})
	if err != nil {
		return nil, err
	}
	shared, err, _ := c.flight.Do(string(body), func() (any, error) { return c.post(ctx, body) })
	if err != nil {
		return nil, err
	}
	return shared.(*mpic.Response), nil
}

func (c *client) post(ctx context.Context, body []byte) (*mpic.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	switch {
	case c.header != "":
		request.Header.Set(c.header, c.token)
	case c.token != "":
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse))
	if err = cmp.Or(err, ctx.Err()); err != nil { // the agent's answer comes too late
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP status %s: %.200q", c.url, answer.Status, text)
	}
	response := new(mpic.Response)
	if err := json.Unmarshal(text, response); err != nil {
		return nil, unclear{BadAnswer, fmt.Sprintf("%s does not send a response of the API: %v", c.url, err)}
	}
	return response, nil
}

// pick returns the check of this perspective from the response.
func (a agent) pick(response *mpic.Response, r guard.Requirement) (mpic.Check, error) {
	same := strings.EqualFold(dnsname.Bare(response.Target), r.String())
	if response.CheckType != mpic.CheckCAA || !same {
		return mpic.Check{}, unclear{BadAnswer, fmt.Sprintf("the response is for a check %q of %q, not for the request", response.CheckType, response.Target)}
	}
	var codes []string
	for _, p := range response.Perspectives {
		codes = append(codes, p.Code)
	}
	i := slices.Index(codes, a.code)
	switch {
	case a.code == "" && len(codes) == 1:
		i = 0
	case a.code == "":
		return mpic.Check{}, unclear{BadAnswer, fmt.Sprintf("it answers for %d perspectives (%s): give the one that is meant as code", len(codes), strings.Join(codes, ", "))}
	case i < 0:
		return mpic.Check{}, unclear{BadAnswer, fmt.Sprintf("the response is of %s, not of the perspective %q", cmp.Or(strings.Join(codes, ", "), "nobody"), a.code)}
	}
	return response.Perspectives[i].Check, nil
}

// read makes an observation of an agent's check. If it has the records, they are evaluated here, so that accounts,
// methods and the date count; the agent's own result can only make it worse.
func read(check mpic.Check, r guard.Requirement, at time.Time) Observation {
	message := messageOf(check)
	rrset, err := check.Details.Records.RRset()
	switch {
	case !check.Completed:
		return Observation{Reason: NotCompleted, Detail: message}
	case err != nil:
		return Observation{Reason: BadAnswer, Detail: "the agent: " + err.Error()}
	case len(rrset) == 0 && (check.Details.Present || !check.Passed):
		return bare(check, r, message)
	}
	step := climb.Step{Name: r.Name, RRset: rrset, Answer: resolve.Answer{Owner: r.Name}}
	if check.Details.FoundAt != nil {
		step.Answer.Owner = *check.Details.FoundAt
	}
	s := observe(climb.Climb{Name: r.Name, Steps: []climb.Step{step}}, r, at)
	if _, asked := mpic.CertificateType(r.Type); asked && !check.Passed && s.View == quorum.Permits {
		s.View, s.Reason, s.Detail = quorum.Disputed, ReadsAnother, cmp.Or(message, "the agent denies what caacheck reads as a permission")
	}
	return s
}

// reasonPattern is the form of reasons. An agent may send other text.
var reasonPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// bare makes an observation of a check that has no records.
func bare(check mpic.Check, r guard.Requirement, message string) Observation {
	s := Observation{View: quorum.Denies, Reason: AgentDenies, Detail: message}
	if reasonPattern.MatchString(check.Details.Reason) {
		s.Reason = issuance.Reason(check.Details.Reason)
	}
	_, asked := mpic.CertificateType(r.Type)
	switch {
	case check.Details.Outcome == verdict.AtRisk.String():
		s.View = quorum.Disputed
	case check.Passed && asked:
		s.View, s.Reason = quorum.Permits, AgentPermits
	case check.Details.Present && !asked: // its result is for another type
		s.View, s.Reason = quorum.Unknown, BadAnswer
	}
	return s
}

// messageOf returns an agent's error messages.
func messageOf(check mpic.Check) string {
	var out []string
	for _, e := range check.Errors {
		out = append(out, strings.TrimPrefix(e.Type+": "+e.Message, ": "))
	}
	return strings.Join(out, "; ")
}
