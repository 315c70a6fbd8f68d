package zonesign

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/regularfile"
)

// MaxKeyFile bounds what is read of a key file, in octets; RSA keys of 4096 bits take four thousand.
const MaxKeyFile = 1 << 16

// LoadKey reads a key from a pair of BIND files, BASE.key and BASE.private; base may carry either
// suffix. The halves must belong together, and the key must be one that can sign a zone. Files that
// others may read are an entry in the key's Warnings. Times in the files are not looked at: a key that
// is named here signs.
func LoadKey(base string) (*Key, error) {
	key, _, err := LoadPair(base)
	return key, err
}

// LoadPair is LoadKey with the text of the private half, for the times in it.
func LoadPair(base string) (key *Key, private []byte, err error) {
	base = strings.TrimSuffix(strings.TrimSuffix(base, ".key"), ".private")
	public, _, err := readKeyFile(base + ".key")
	if err != nil {
		return nil, nil, err
	}
	private, mode, err := readKeyFile(base + ".private")
	if err != nil {
		return nil, nil, err
	}
	key, err = parseKey(base, public, private)
	if err != nil {
		return nil, nil, err
	}
	if open := mode & 0o077; open != 0 {
		key.Warnings = append(key.Warnings, fmt.Sprintf(
			"%s.private has mode %04o, so other users can read the zone's key: run chmod 0600 on it, and consider a new key", base, mode))
	}
	return key, private, nil
}

// LoadPublic reads the public half of a key, BASE.key, with the lines of its comment.
func LoadPublic(path string) (key *dns.DNSKEY, text []byte, err error) {
	text, _, err = readKeyFile(path)
	if err != nil {
		return nil, nil, err
	}
	key, err = parsePublic(path, text)
	return key, text, err
}

// readKeyFile reads a small regular file, and says who may read it.
func readKeyFile(path string) (content []byte, mode fs.FileMode, err error) {
	content, info, err := regularfile.Read(path, MaxKeyFile)
	if err != nil {
		return nil, 0, err
	}
	return content, info.Mode().Perm(), nil
}

// parseKey makes a key of the contents of its two files.
func parseKey(base string, public, private []byte) (*Key, error) {
	dnskey, err := parsePublic(base+".key", public)
	if err != nil {
		return nil, err
	}
	key := &Key{DNSKEY: dnskey}
	if _, _, err := key.check(); err != nil {
		return nil, fmt.Errorf("%s.key: the key of %s cannot sign: %w", base, dnskey.Hdr.Name, err)
	}
	fields, err := parsePrivate(base+".private", private)
	if err != nil {
		return nil, err
	}
	if err := fields.of(dnskey.Algorithm); err != nil {
		return nil, fmt.Errorf("%s.private: %w", base, err)
	}
	if key.Signer, err = algorithms[dnskey.Algorithm].private(fields); err != nil {
		return nil, fmt.Errorf("%s.private: %w", base, err)
	}
	if _, _, err := key.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", base, err)
	}
	return key, nil
}

// parsePublic reads the one DNSKEY record of a .key file, which is a piece of a zone file.
func parsePublic(path string, content []byte) (*dns.DNSKEY, error) {
	parser := dns.NewZoneParser(bytes.NewReader(content), ".", path)
	rr, found := parser.Next()
	dnskey, ok := rr.(*dns.DNSKEY)
	_, more := parser.Next()
	switch {
	case parser.Err() != nil:
		return nil, parser.Err() // it begins with the path
	case !found:
		return nil, fmt.Errorf("%s has no record, but must have one DNSKEY", path)
	case !ok:
		return nil, fmt.Errorf("%s has a %s record, but must have one DNSKEY", path, dns.Type(rr.Header().Rrtype))
	case more:
		return nil, fmt.Errorf("%s has more than one record, but must have one DNSKEY", path)
	}
	dnskey.Hdr.Name = dns.CanonicalName(dnskey.Hdr.Name)
	return dnskey, nil
}

// keyFields are the lines "Name: value" of a BIND .private file.
type keyFields map[string]string

// parsePrivate reads a .private file. Errors never quote a value: it may be the secret.
func parsePrivate(path string, content []byte) (keyFields, error) {
	fields := keyFields{}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s:%d: not a line of a private key file; want NAME: VALUE", path, number)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s:%d: duplicate field %q", path, number, name)
		}
		fields[name] = strings.TrimSpace(value)
	}
	if !strings.HasPrefix(fields["Private-key-format"], "v1.") {
		return nil, fmt.Errorf("%s: no line Private-key-format: v1.2 or v1.3, as dnssec-keygen writes it", path)
	}
	return fields, nil
}

// of says why the fields are not those of a key of an algorithm that is in a file.
func (f keyFields) of(algorithm uint8) error {
	if _, ok := f["Label"]; ok {
		return errors.New("the private key is in an HSM (it has a Label), but only keys in files are supported")
	}
	number, _, _ := strings.Cut(f["Algorithm"], " ")
	if got, err := strconv.ParseUint(number, 10, 8); err != nil || uint8(got) != algorithm {
		return fmt.Errorf("its algorithm is %q, but the public key's is %s: one of the two files belongs to another key", f["Algorithm"], algorithmName(algorithm))
	}
	return nil
}

// octets decodes a field in base64.
func (f keyFields) octets(name string) ([]byte, error) {
	value, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("the field %s is missing", name)
	}
	octets, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("the field %s is not in base64: %w", name, err)
	}
	return octets, nil
}
