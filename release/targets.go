package main

import "slices"

// program is a binary that is released.
type program struct {
	name    string // of the release's files
	binary  string // of the installed file
	main    string // its package
	tags    string
	summary string
}

var (
	lean = program{"coredns-caa", "coredns-caa", "./cmd/coredns", "",
		"CoreDNS with the plugin caa: CAA records from a policy, signed online"}
	full = program{"coredns-caa-full", "coredns-caa", "./cmd/coredns", "full",
		"CoreDNS with the plugin caa, and with the plugins for Kubernetes and cloud providers"}
	caacheck = program{"caacheck", "caacheck", "./cmd/caacheck", "",
		"Checks CAA records from outside, as certification authorities do"}
)

// target is a program for a platform.
type target struct {
	program
	os, arch string
	packaged bool // as deb and rpm
	image    bool // as OCI image
}

// targets are all that is released. Packages have the lean server: where there is a package manager there is rarely
// Kubernetes. The image has the full one, for Kubernetes is where images run.
var targets = []target{
	{program: lean, os: "linux", arch: "amd64", packaged: true},
	{program: lean, os: "linux", arch: "arm64", packaged: true},
	{program: full, os: "linux", arch: "amd64", image: true},
	{program: full, os: "linux", arch: "arm64", image: true},
	{program: caacheck, os: "linux", arch: "amd64", packaged: true},
	{program: caacheck, os: "linux", arch: "arm64", packaged: true},
	{program: caacheck, os: "darwin", arch: "amd64"},
	{program: caacheck, os: "darwin", arch: "arm64"},
	{program: caacheck, os: "windows", arch: "amd64"},
}

func (t target) platform() string { return t.os + "/" + t.arch }

// file returns the name of the installed binary.
func (t target) file() string {
	if t.os == "windows" {
		return t.binary + ".exe"
	}
	return t.binary
}

func allPlatforms() []string {
	var all []string
	for _, t := range targets {
		all = append(all, t.platform())
	}
	slices.Sort(all)
	return slices.Compact(all)
}
