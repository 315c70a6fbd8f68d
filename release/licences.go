package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that may be in a release, by their SPDX identifiers: permissive ones, and MPL-2.0, whose
// source is public and unchanged.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "Zlib", "CC0-1.0", "Unlicense", "0BSD", "BSD-2-Clause-Views"}

// licence is a licence file, or a notice, of a module that is compiled in.
type licence struct {
	module string // its path; "std" for Go's own library
	file   string // relative to the module
	text   []byte
	ids    []string // SPDX identifiers of the licences in it; none for a notice
}

// licenceFile are the names of files that a binary's recipient must get.
var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|notice|patents)([-_.].*)?$`)

// licences returns the licence files that apply to a binary: of each package in it, those of its folder and of the folders
// above, up to the module's own. Every module has at least one licence, and every licence is allowed.
func (s source) licences(ctx context.Context, t target) ([]licence, error) {
	out, err := command(ctx, s.folder, s.environment(t), "go", "list", "-mod=readonly", "-deps", "-tags="+t.tags,
		"-json=Dir,Standard,Module", t.main)
	if err != nil {
		return nil, err
	}
	found := map[string]licence{} // by path
	modules := map[string]bool{"std": true}
	decoder := json.NewDecoder(strings.NewReader(out))
	for {
		var p struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Dir string
				Main      bool
			}
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		modules[p.Module.Path] = true
		for folder := p.Dir; ; folder = filepath.Dir(folder) {
			if err := readLicences(found, p.Module.Path, p.Module.Dir, folder); err != nil {
				return nil, err
			}
			if folder == p.Module.Dir || len(folder) < len(p.Module.Dir) {
				break
			}
		}
	}
	goroot, err := command(ctx, s.folder, s.environment(t), "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	if err := readLicences(found, "std", goroot, goroot); err != nil {
		return nil, err
	}
	all := slices.SortedFunc(maps.Values(found), func(a, b licence) int {
		return strings.Compare(path.Join(a.module, a.file), path.Join(b.module, b.file))
	})
	return all, permitted(all, slices.Sorted(maps.Keys(modules)))
}

// readLicences adds the licence files of one folder.
func readLicences(found map[string]licence, module, root, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := filepath.Join(folder, entry.Name())
		if _, known := found[name]; known || !entry.Type().IsRegular() || !licenceFile.MatchString(entry.Name()) || strings.HasSuffix(name, ".go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		found[name] = licence{module: module, file: filepath.ToSlash(file), text: text, ids: identify(text)}
	}
	return nil
}

// patentGrant is what licensecheck calls the file PATENTS of Go's authors: it gives rights besides those of the licence.
const patentGrant = "GooglePatentsFile"

// identify returns the SPDX identifiers of the licences whose text is in a file.
func identify(text []byte) []string {
	var ids []string
	for _, match := range licensecheck.Scan(text).Match {
		if !match.IsURL && match.ID != patentGrant {
			ids = append(ids, strings.TrimSuffix(match.ID, "-Header"))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// permitted refuses a module without a licence that is known, and licences that are not allowed.
func permitted(all []licence, modules []string) error {
	var errs []error
	licensed := map[string]bool{}
	for _, l := range all {
		licensed[l.module] = licensed[l.module] || len(l.ids) > 0
		for _, id := range l.ids {
			if !slices.Contains(allowed, id) {
				errs = append(errs, fmt.Errorf("%s/%s: the licence %s is not in the list of allowed ones", l.module, l.file, id))
			}
		}
	}
	for _, module := range modules {
		if !licensed[module] {
			errs = append(errs, fmt.Errorf("%s: no known licence", module))
		}
	}
	return errors.Join(errs...)
}

// notices are the licences of others as one text.
func notices(t target, all []licence) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s contains software of others, under these licences. Equal texts are given once.\n", t.name)
	type text struct {
		of   []string
		text []byte
	}
	var texts []text
	for _, l := range all {
		of := path.Join(l.module, l.file)
		body := bytes.TrimSpace(bytes.ReplaceAll(l.text, []byte("\r\n"), []byte("\n")))
		i := slices.IndexFunc(texts, func(t text) bool { return bytes.Equal(t.text, body) })
		if i < 0 {
			texts = append(texts, text{[]string{of}, body})
		} else {
			texts[i].of = append(texts[i].of, of)
		}
	}
	for _, t := range texts {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(t.of, "\n"), t.text)
	}
	return out.Bytes()
}
