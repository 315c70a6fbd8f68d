package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody is the user and group of the image: the number that images without a shell mostly have.
const nobody = 65532

// image writes an OCI image layout with the artifacts, one image a platform. There is no base image: the binary is static,
// and all else is data.
func (s source) image(artifacts []artifact, folder string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, a := range artifacts {
		image, err := s.platformImage(a)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: a.os, Architecture: a.arch},
		}})
	}
	index = mutate.Annotations(index, s.annotations(artifacts[0])).(v1.ImageIndex)

	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": artifacts[0].version,
	}))
}

func (s source) platformImage(a artifact) (v1.Image, error) {
	layer, err := s.layer(a)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: s.time}
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "coredns-caa/release"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = a.os, a.arch, created
	config.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", nobody, nobody),
		Entrypoint:   []string{"/" + a.binary},
		Cmd:          []string{"-conf", "/etc/coredns-caa/Corefile"},
		WorkingDir:   "/etc/coredns-caa", // where the Corefile looks for policy.yaml
		ExposedPorts: map[string]struct{}{"53/udp": {}, "53/tcp": {}},
		Volumes:      map[string]struct{}{"/var/lib/coredns-caa": {}},
		Labels:       s.annotations(a),
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, s.annotations(a)).(v1.Image), nil
}

// layer holds the binary, the licences and the place of keys and state. The kubelet mounts /etc/resolv.conf and hosts.
func (s source) layer(a artifact) (v1.Layer, error) {
	binary, err := os.ReadFile(a.path)
	if err != nil {
		return nil, err
	}
	license, err := s.read("LICENSE")
	if err != nil {
		return nil, err
	}
	corefile, err := s.read("release/packaging/etc/Corefile")
	if err != nil {
		return nil, err
	}
	policy, err := s.read("release/packaging/etc/policy.yaml")
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = writeTar(&text, []entry{
		{"coredns-caa", 0o755, binary, 0},
		{"etc/", 0o755, nil, 0},
		{"etc/coredns-caa/", 0o755, nil, 0},
		{"etc/coredns-caa/Corefile", 0o644, corefile, 0},
		{"etc/coredns-caa/policy.yaml", 0o644, policy, 0},
		{"tmp/", 0o1777, nil, 0},
		{"var/", 0o755, nil, 0},
		{"var/lib/", 0o755, nil, 0},
		{"var/lib/coredns-caa/", 0o700, nil, nobody},
		{"usr/", 0o755, nil, 0},
		{"usr/share/", 0o755, nil, 0},
		{"usr/share/doc/", 0o755, nil, 0},
		{"usr/share/doc/coredns-caa/", 0o755, nil, 0},
		{"usr/share/doc/coredns-caa/LICENSE", 0o644, license, 0},
		{"usr/share/doc/coredns-caa/THIRD-PARTY-NOTICES", 0o644, a.notices, 0},
		{"usr/share/doc/coredns-caa/sbom.cdx.json", 0o644, a.bom, 0},
	}, s.time)
	if err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func (s source) annotations(a artifact) map[string]string {
	return map[string]string{
		"org.opencontainers.image.created":     s.time.Format("2006-01-02T15:04:05Z"),
		"org.opencontainers.image.description": a.summary,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.revision":    s.commit,
		"org.opencontainers.image.source":      "https://github.com/coredns-caa/caa",
		"org.opencontainers.image.title":       "coredns-caa",
		"org.opencontainers.image.version":     a.version,
	}
}
