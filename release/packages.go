package main

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the form
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the form
)

// packaged is what the package of a program holds besides its binary, manual and licences. Sources are in
// release/packaging.
type packaged struct {
	description string
	depends     map[string][]string // by form
	config      map[string]string   // destination to source: people's own changes stay
	data        map[string]string
	scripts     map[string]string // by form, a folder
}

var packages = map[string]packaged{
	lean.name: {
		description: `CoreDNS with the plugin caa
The plugin makes all CAA records of your zones from one policy file, signs
their answers with DNSSEC, and refuses a policy that would lock out a
certification authority that you need.`,
		depends: map[string][]string{
			"deb": {"systemd | systemd-sysusers"},
			"rpm": {"systemd"},
		},
		config: map[string]string{
			"/etc/coredns-caa/Corefile":    "etc/Corefile",
			"/etc/coredns-caa/policy.yaml": "etc/policy.yaml",
		},
		data: map[string]string{
			"/usr/lib/systemd/system/coredns-caa.service": "systemd/coredns-caa.service",
			"/usr/lib/sysusers.d/coredns-caa.conf":        "systemd/coredns-caa.sysusers",
		},
		scripts: map[string]string{"deb": "deb", "rpm": "rpm"},
	},
	caacheck.name: {
		description: `checks CAA records from outside
caacheck asks DNS from the root down, as certification authorities do,
validates it with DNSSEC, and decides as they do who may issue
certificates for a name.`,
		config: map[string]string{"/etc/default/caacheck-watch": "etc/caacheck-watch"},
		data:   map[string]string{"/usr/lib/systemd/system/caacheck-watch.service": "systemd/caacheck-watch.service"},
	},
}

// packages writes the deb and rpm packages of an artifact.
func (s source) packages(a artifact, pages []page, out string) error {
	work, err := os.MkdirTemp("", "package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, form := range []string{"deb", "rpm"} {
		info, err := s.packageInfo(a, pages, form, work)
		if err != nil {
			return err
		}
		packager, err := nfpm.Get(form)
		if err != nil {
			return err
		}
		info = nfpm.WithDefaults(info)
		name := filepath.Join(out, packager.ConventionalFileName(info))
		if err := writeFile(name, func(w io.Writer) error { return packager.Package(info, w) }); err != nil {
			return err
		}
	}
	return nil
}

// packageInfo describes a package to nfpm, which reads files from disk.
func (s source) packageInfo(a artifact, pages []page, form, work string) (*nfpm.Info, error) {
	p := packages[a.name]
	source := func(name string) string { return filepath.Join(s.folder, "release", "packaging", name) }
	var contents files.Contents
	add := func(from, to, kind string, mode fs.FileMode) {
		contents = append(contents, &files.Content{Source: from, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Mode: mode, MTime: s.time}})
	}
	made := func(text []byte, to string) error {
		from := filepath.Join(work, path.Base(to))
		add(from, to, files.TypeFile, 0o644)
		return os.WriteFile(from, text, 0o644)
	}

	add(a.path, "/usr/bin/"+a.binary, files.TypeFile, 0o755)
	for to, from := range p.config {
		add(source(from), to, files.TypeConfigNoReplace, 0o644)
	}
	for to, from := range p.data {
		add(source(from), to, files.TypeFile, 0o644)
	}
	license, err := s.read("LICENSE")
	if err != nil {
		return nil, err
	}
	doc := "/usr/share/doc/" + a.name + "/"
	for name, text := range map[string][]byte{
		"copyright": license, "THIRD-PARTY-NOTICES": a.notices, "sbom.cdx.json": a.bom,
	} {
		if err := made(text, doc+name); err != nil {
			return nil, err
		}
	}
	for _, page := range pages {
		if page.of != a.binary {
			continue
		}
		text, name := page.text, page.name
		if page.compress() {
			name += ".gz"
			if text, err = compressed(text); err != nil {
				return nil, err
			}
		}
		if err := made(text, path.Join("/usr/share", page.share, name)); err != nil {
			return nil, err
		}
	}

	info := &nfpm.Info{
		Name: a.name, Arch: a.arch, Platform: a.os, Version: strings.TrimPrefix(a.version, "v"), Release: "1",
		Section: "net", Priority: "optional", Maintainer: "The coredns-caa authors <coredns-caa@users.noreply.github.com>",
		Description: p.description, Homepage: "https://github.com/coredns-caa/caa", License: "Apache-2.0",
		MTime: s.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Depends: p.depends[form], Contents: contents,
			RPM: nfpm.RPM{BuildHost: "localhost", Compression: "zstd", Summary: a.summary},
			Deb: nfpm.Deb{Compression: "zstd"},
		},
	}
	if folder := p.scripts[form]; folder != "" {
		info.Scripts = nfpm.Scripts{
			PostInstall: source(folder + "/postinst"), PreRemove: source(folder + "/prerm"), PostRemove: source(folder + "/postrm"),
		}
	}
	return info, nil
}
