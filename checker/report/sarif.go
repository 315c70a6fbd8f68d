package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// The objects of SARIF 2.1.0 (OASIS, 2020), by their names and sections there.
type (
	sarifLog struct { // 3.13
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct { // 3.14
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations,omitempty"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`

		seen map[string]int // how many results have an identity
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	} // 3.18
	sarifDriver struct { // 3.19
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct { // 3.49
		ID      string        `json:"id"`
		Short   sarifText     `json:"shortDescription"`
		Help    *sarifText    `json:"help,omitempty"`
		HelpURI string        `json:"helpUri,omitempty"`
		Default sarifSeverity `json:"defaultConfiguration"`
	}
	sarifSeverity struct {
		Level string `json:"level"`
	} // 3.50
	sarifText struct {
		Text string `json:"text"`
	} // 3.11
	sarifInvocation struct { // 3.20
		Successful    bool                `json:"executionSuccessful"`
		EndTime       string              `json:"endTimeUtc"`
		ExitCode      int                 `json:"exitCode"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct { // 3.58
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct { // 3.27
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct { // 3.28
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct { // 3.29
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	} // 3.4
	sarifRegion struct { // 3.30
		Line   int `json:"startLine"`
		Column int `json:"startColumn"`
	}
	sarifLogical struct { // 3.33
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	sarifHome   = "https://github.com/coredns-caa/caa"
	// sarifPrint names how a result's fingerprint is made, with a version (3.27.17).
	sarifPrint = "caacheck/v2"
)

// sarifLevels are findings' (3.27.10).
var sarifLevels = map[catalog.Severity]string{catalog.Error: "error", catalog.Warning: "warning", catalog.Info: "note"}

// sarifOutcomes are the rules that verdicts break. One that could not be determined is a warning: no
// viewer hides that.
var sarifOutcomes = map[verdict.Outcome]sarifRule{
	verdict.LockedOut: {ID: "locked-out", Short: sarifText{"The CA may not issue what it is asked for."}, Default: sarifSeverity{"error"}},
	verdict.AtRisk:    {ID: "at-risk", Short: sarifText{"The CA may issue by some readings or some servers, and not by others."}, Default: sarifSeverity{"error"}},
	verdict.Unknown:   {ID: "unknown", Short: sarifText{"Whether the CA may issue could not be determined."}, Default: sarifSeverity{"warning"}},
}

// driftRule is broken where a server does not return the CAA records of the policy.
var driftRule = sarifRule{ID: drift.Code, Short: sarifText{drift.Text}, Default: sarifSeverity{"error"}}

// WriteSARIF writes what is wrong as a SARIF 2.1.0 log. A result's place is the line of the policy that
// requires the name. Without a policy it is the name, as if it were a file's: GitHub's code scanning
// refuses a whole log for one result without a file, or with any other URI.
func (r *Report) WriteSARIF(w io.Writer) error {
	run := newSARIF()
	required := map[string]*policy.Position{}
	for _, n := range r.Names {
		for _, v := range n.Verdicts {
			if v.RequiredBy != nil && required[n.Name] == nil {
				required[n.Name] = v.RequiredBy
			}
			if rule, broken := sarifOutcomes[v.Outcome]; broken {
				run.add(rule, rule.Default.Level, v.sarifMessage(n), sarifPlace(n.Name, n.Name, v.RequiredBy), n.Name, v.asked())
			}
		}
		for _, d := range n.Drift {
			run.add(driftRule, "error", terminal.Clean(n.Name+": "+d.text())+". Fix: "+d.Fix, sarifPlace(n.Name, n.Name, &d.Pos), n.Name, d.Server)
		}
	}
	for _, f := range r.Findings {
		rule := sarifRule{ID: f.Code, Short: sarifWords(f.Code), HelpURI: firstLink(f.Section), Default: sarifSeverity{sarifLevels[f.Severity]}}
		if e, known := finding.Entry(f.Code); known { // the rule's, where the finding's fix is of its own case
			rule.Short, rule.Help = sarifText{e.Text}, &sarifText{e.Fix}
		}
		text := terminal.Clean(strings.Join(append([]string{f.Subject + ": " + f.Text}, f.Evidence...), "; ")) + ". Fix: " + f.advice()
		name := f.Subject
		if len(f.Names) > 0 {
			name = f.Names[0]
		}
		run.add(rule, sarifLevels[f.Severity], text, sarifPlace(name, f.Subject, required[name]), f.Zone, first(f.Subjects, f.Subject))
	}
	invocation := sarifInvocation{Successful: r.Complete, EndTime: r.At.UTC().Format(time.RFC3339), ExitCode: r.exit}
	for _, note := range r.Notes {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{"note", sarifText{note}})
	}
	if !r.Complete {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{"error", sarifText{"interrupted: names are missing"}})
	}
	run.Invocations = []sarifInvocation{invocation}
	return run.write(w)
}

// sarifMessage is a verdict with what the perspectives saw, and what to do about it.
func (v Verdict) sarifMessage(n Name) string {
	text := terminal.Clean(n.Name+": "+v.who()+" "+v.Outcome.String()+": "+v.because(n)) + v.perspectives()
	if v.Fix != "" {
		text += ". Fix: " + terminal.Clean(v.Fix)
	}
	return text
}

// perspectives says which perspectives do not corroborate a verdict, "" without any.
func (v Verdict) perspectives() string {
	if v.Corroboration == nil {
		return ""
	}
	judged, observations, notes := v.corroboration()
	parts := []string{judged}
	for _, s := range observations {
		if s.view != quorum.Permits || !s.counts {
			parts = append(parts, fmt.Sprintf("%s (%s) %s (%s)", s.who, s.where, s.result(), s.why))
		}
	}
	return ". " + strings.Join(append(parts, notes...), "; ")
}

// WriteLintSARIF writes what the guard says of a policy as a SARIF 2.1.0 log, each at its line.
func WriteLintSARIF(w io.Writer, found guard.Report) error {
	run := newSARIF()
	for _, r := range found.Refusals {
		rule := lintRule(r.Code, "error")
		text := r.Text
		if len(r.Names) > 0 {
			text = strings.Join(r.Names, ", ") + ": " + text
		}
		if fix := r.Advice(); fix != "" {
			text += ". Fix: " + fix
		}
		run.add(rule, "error", terminal.Clean(text), sarifLine(r.Pos), first(r.Names, r.Text))
	}
	for _, warning := range found.Warnings {
		rule := lintRule(warning.Code, "warning")
		run.add(rule, "warning", terminal.Clean(warning.Text+". Fix: "+warning.Advice()), sarifLine(warning.Pos), warning.Text)
	}
	return run.write(w)
}

// lintRule is the rule of a refusal or a warning, as the guard's table has it.
func lintRule(code, level string) sarifRule {
	entry := guard.Find(code)
	rule := sarifRule{ID: code, Short: sarifWords(code), Default: sarifSeverity{level}, HelpURI: firstLink(entry.Section)}
	if entry.Code != "" {
		rule.Short, rule.Help = sarifText{entry.Text}, &sarifText{entry.Fix}
	}
	return rule
}

func newSARIF() *sarifRun {
	return &sarifRun{
		Tool:    sarifTool{sarifDriver{Name: "caacheck", InformationURI: sarifHome, Rules: []sarifRule{}}},
		Results: []sarifResult{}, ColumnKind: "unicodeCodePoints",
	}
}

func (run *sarifRun) write(w io.Writer) error {
	return terminal.WriteJSON(w, sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{*run}})
}

// sarifWords is a code in words.
func sarifWords(code string) sarifText { return sarifText{strings.ReplaceAll(code, "-", " ")} }

// first is the first of several in order, or what there is without any: a part of an identity that does not change as their
// number does.
func first(of []string, without string) string {
	if len(of) == 0 {
		return without
	}
	return slices.Min(of)
}

// add adds a result and, if it is the first of its rule, the rule. identity is what makes it the same
// result in another run; of results with the same identity, the second counts as such, and so on.
func (run *sarifRun) add(rule sarifRule, level, text string, place sarifLocation, identity ...string) {
	index := 0
	for index < len(run.Tool.Driver.Rules) && run.Tool.Driver.Rules[index].ID != rule.ID {
		index++
	}
	if index == len(run.Tool.Driver.Rules) {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
	}
	id := rule.ID + "\x00" + strings.Join(identity, "\x00")
	if run.seen == nil {
		run.seen = map[string]int{}
	}
	if run.seen[id]++; run.seen[id] > 1 {
		id += fmt.Sprintf("\x00%d", run.seen[id])
	}
	sum := sha256.Sum256([]byte(id))
	run.Results = append(run.Results, sarifResult{
		RuleID: rule.ID, RuleIndex: index, Level: level, Message: sarifText{text}, Locations: []sarifLocation{place},
		Fingerprints: map[string]string{sarifPrint: hex.EncodeToString(sum[:16])},
	})
}

// sarifPlace is where a name is required, and what it is about.
func sarifPlace(name, subject string, pos *policy.Position) sarifLocation {
	u := url.URL{Path: strings.TrimPrefix(name, "*.")}
	place := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{u.String()}}}
	if pos != nil {
		place = sarifLine(*pos)
	}
	place.Logical = []sarifLogical{{terminal.Clean(subject), "resource"}}
	return place
}

// sarifLine is a place in a policy file.
func sarifLine(pos policy.Position) sarifLocation {
	u := url.URL{Path: filepath.ToSlash(pos.File)}
	if strings.HasPrefix(u.Path, "/") {
		u.Scheme = "file"
	}
	return sarifLocation{Physical: sarifPhysical{sarifArtifact{u.String()}, &sarifRegion{pos.Line, pos.Column}}}
}
