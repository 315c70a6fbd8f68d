package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

// page is a file that goes with a binary: a manual page or a completion script.
type page struct {
	of     string // the binary
	name   string
	folder string // in an archive
	share  string // in a package, under /usr/share
	text   []byte
}

// compress reports whether packages hold the page compressed.
func (p page) compress() bool { return strings.HasPrefix(p.share, "man/") }

func compressed(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// manuals makes the manual pages: of the server from its manual, of caacheck from its help. And the completion scripts, which
// caacheck prints.
func (s source) manuals(ctx context.Context, artifacts []artifact, work string) ([]page, error) {
	readme, err := s.read("plugin/caa/README.md")
	if err != nil {
		return nil, err
	}
	program, err := s.runnable(ctx, artifacts, work)
	if err != nil {
		return nil, err
	}
	help, err := help(ctx, program)
	if err != nil {
		return nil, err
	}
	foot := fmt.Sprintf("%q %q", s.time.Format("January 2006"), "coredns-caa "+artifacts[0].version)
	pages := []page{
		{lean.binary, "caa.7", "man", "man/man7", manual("CAA 7 "+foot, readme)},
		{caacheck.binary, "caacheck.1", "man", "man/man1", manual("CAACHECK 1 "+foot, help)},
	}
	for _, shell := range shells {
		script, err := command(ctx, work, nil, program, "completion", shell.name)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page{caacheck.binary, shell.file, "completions", shell.folder, []byte(script + "\n")})
	}
	return pages, nil
}

// shells are those that caacheck has a completion script for, and where distributions have it.
var shells = []struct{ name, file, folder string }{
	{"bash", "caacheck", "bash-completion/completions"},
	{"fish", "caacheck.fish", "fish/vendor_completions.d"},
	{"zsh", "_caacheck", "zsh/site-functions"},
}

// runnable returns a caacheck of this machine.
func (s source) runnable(ctx context.Context, artifacts []artifact, work string) (string, error) {
	here := target{program: caacheck, os: runtime.GOOS, arch: runtime.GOARCH}
	for _, a := range artifacts {
		if a.name == here.name && a.platform() == here.platform() {
			return a.path, nil
		}
	}
	program := filepath.Join(work, "here", here.file())
	_, err := s.compile(ctx, here, program)
	return program, err
}

// commandLine is a line of the list of commands in caacheck's help: the name, two spaces or more, what it does.
var commandLine = regexp.MustCompile(`(?m)^    ([a-z]+(?: [a-z]+)?) {2,}\S`)

// help returns the manual of caacheck in Markdown: its help, then that of each command.
func help(ctx context.Context, program string) ([]byte, error) {
	overview, err := command(ctx, ".", nil, program, "help")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# caacheck\n\n## Name\n\ncaacheck - checks CAA records from outside, as certification authorities do\n\n## Description\n\n~~~ txt\n%s\n~~~\n", overview)
	_, list, _ := strings.Cut(overview, "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, name := range commandLine.FindAllStringSubmatch(list, -1) {
		text, err := command(ctx, ".", nil, program, append([]string{"help"}, strings.Fields(name[1])...)...)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "\n## caacheck %s\n\n~~~ txt\n%s\n~~~\n", name[1], text)
	}
	return out.Bytes(), nil
}

// manual makes a manual page from Markdown whose sections are of the second level, as CoreDNS's manuals have them.
func manual(title string, text []byte) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%% %s\n", title)
	code, header := false, true
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "~~~") {
			code = !code
		}
		row := tableRow.MatchString(line) && !code
		if !row {
			header = true
		}
		switch {
		case row && header:
			header = false // and so is the line below it, of hyphens
		case row && strings.HasPrefix(line, "|--"):
		case row:
			out.WriteString(item(line))
		case code || !strings.HasPrefix(line, "#"):
			out.WriteString(line)
		case strings.HasPrefix(line, "## "):
			out.WriteString(strings.ToUpper(line))
		case !strings.HasPrefix(line, "# "):
			out.WriteString(line)
		}
	}
	return md2man.Render(out.Bytes())
}

// tableRow is a row of a table in Markdown.
var tableRow = regexp.MustCompile(`^\|.*\|\n$`)

// item makes a row of a table an item of a list: roff's tables are as wide as their longest row.
func item(row string) string {
	cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(row, "| "), " |\n"), " | ")
	last := len(cells) - 1
	if last == 0 {
		return "* " + cells[0] + "\n"
	}
	return "* " + strings.Join(cells[:last], ", ") + ": " + cells[last] + "\n"
}
