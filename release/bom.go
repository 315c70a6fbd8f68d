package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// bom returns the bill of materials of a binary in CycloneDX's JSON: the modules that Go recorded in the binary itself,
// with their licences.
func (s source) bom(a artifact, info *buildinfo.BuildInfo, all []licence) ([]byte, error) {
	binary, err := os.ReadFile(a.path)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(binary)

	main := component(info.Main, cyclonedx.ComponentTypeApplication, []string{"Apache-2.0"})
	main.Name, main.Group = a.name, "github.com/coredns-caa"
	main.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(digest[:])}}
	main.Properties = &[]cyclonedx.Property{
		{Name: "cdx:gomod:build:env:GOOS", Value: a.os},
		{Name: "cdx:gomod:build:env:GOARCH", Value: a.arch},
		{Name: "vcs.revision", Value: s.commit},
	}
	std := component(debug.Module{Path: "std", Version: info.GoVersion}, cyclonedx.ComponentTypeLibrary, ids(all, "std"))
	components := []cyclonedx.Component{std}
	for _, module := range info.Deps {
		components = append(components, component(*module, cyclonedx.ComponentTypeLibrary, ids(all, module.Path)))
	}

	bom := cyclonedx.NewBOM()
	// A serial number is the same for the same content.
	bom.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, digest[:]).String()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: s.time.Format(time.RFC3339), Component: &main}
	bom.Components = &components
	var out bytes.Buffer
	err = cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
	return out.Bytes(), err
}

// component is a Go module as CycloneDX has it.
func component(m debug.Module, kind cyclonedx.ComponentType, licences []string) cyclonedx.Component {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	choices := cyclonedx.Licenses{}
	for _, id := range licences {
		choices = append(choices, cyclonedx.LicenseChoice{License: &cyclonedx.License{ID: id}})
	}
	return cyclonedx.Component{
		BOMRef: purl, Type: kind, Name: m.Path, Version: m.Version, PackageURL: purl, Licenses: &choices,
	}
}

// ids returns the licences of a module.
func ids(all []licence, module string) []string {
	var out []string
	for _, l := range all {
		if l.module == module {
			out = append(out, l.ids...)
		}
	}
	slices.SortFunc(out, strings.Compare)
	return slices.Compact(out)
}
