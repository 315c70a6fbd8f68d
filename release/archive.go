package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// entry is a file of an archive, or a folder.
type entry struct {
	name  string // with a final slash for a folder
	mode  int64
	text  []byte
	owner int
}

// archive writes an artifact with its licences and manual as a .tar.gz, for Windows as a .zip. Its one folder is named
// like the file.
func (s source) archive(a artifact, pages []page, stem string) error {
	binary, err := os.ReadFile(a.path)
	if err != nil {
		return err
	}
	license, err := s.read("LICENSE")
	if err != nil {
		return err
	}
	folder := filepath.Base(stem)
	entries := []entry{
		{path.Join(folder, a.file()), 0o755, binary, 0},
		{path.Join(folder, "LICENSE"), 0o644, license, 0},
		{path.Join(folder, "THIRD-PARTY-NOTICES"), 0o644, a.notices, 0},
	}
	for _, p := range pages {
		if p.of == a.binary {
			entries = append(entries, entry{path.Join(folder, p.folder, p.name), 0o644, p.text, 0})
		}
	}
	if a.os == "windows" {
		return writeFile(stem+".zip", func(w io.Writer) error { return writeZip(w, entries, s.time) })
	}
	return writeFile(stem+".tar.gz", func(w io.Writer) error {
		compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		if err := writeTar(compressed, entries, s.time); err != nil {
			return err
		}
		return compressed.Close()
	})
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func writeTar(w io.Writer, entries []entry, at time.Time) error {
	archive := tar.NewWriter(w)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.text)), ModTime: at, Typeflag: tar.TypeReg, Uid: e.owner, Gid: e.owner}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(e.text); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeZip(w io.Writer, entries []entry, at time.Time) error {
	archive := zip.NewWriter(w)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		header.SetMode(os.FileMode(e.mode))
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(e.text); err != nil {
			return err
		}
	}
	return archive.Close()
}
