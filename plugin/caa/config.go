package caa

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/durations"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/caa/zones"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonesign"
)

const (
	// defaultReload is how often the policy file is looked at. Two seconds are short beside any
	// TTL, and a stat(2) of one file costs nothing.
	defaultReload = 2 * time.Second
	// minReload keeps a typing error from turning the watch into a busy loop.
	minReload = 100 * time.Millisecond
)

// config is a `caa` block of the Corefile as written: nothing of it has been opened yet.
type config struct {
	file     string          // the policy file
	pos      policy.Position // of the block in the Corefile
	zones    []string        // the zones this block answers for, canonical
	covered  map[string]bool // the same, to be looked up: there may be ten thousand
	keyDir   string          // `key auto`; "" when absent
	keyFiles []string        // `key file`
	unsigned bool
	roll     rollSettings
	parent   keyring.Parent
	orphans  []string      // canonical
	cosigned []string      // files with the DNSKEYs of other signers
	ttl      time.Duration // of what the policy language does not name
	issuers  []operatorIssuer
	reload   time.Duration              // 0: off
	stateDir string                     // "" when absent
	seen     map[string]policy.Position // the options that were given, and where first
	written  map[string]policy.Position // the paths of files and folders, and where they are written
}

// operatorIssuer is an `issuer DOMAIN [NAMES...]` line: the server operator's own guard.
type operatorIssuer struct {
	domain string
	names  []string // canonical, perhaps with a leading `*.`; empty: the apex of each zone
	pos    policy.Position
}

// parseConfig reads the one `caa` block of a server block. Its errors name the Corefile's line.
func parseConfig(c *caddy.Controller) (*config, error) {
	cfg := &config{reload: defaultReload, ttl: zones.DefaultTTL, roll: defaultRoll(), seen: map[string]policy.Position{}, written: map[string]policy.Position{}}
	for i := 0; c.Next(); i++ {
		if i > 0 {
			return nil, c.Errf("a server block can have one caa block only: merge the two, or move this one to its own server block")
		}
		if err := cfg.parseBlock(c); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

func (cfg *config) parseBlock(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) == 0 {
		return c.Errf("the policy file is missing: write caa POLICYFILE [ZONES...]")
	}
	cfg.file, cfg.pos = rooted(c, args[0]), position(c)
	for _, zone := range args[1:] {
		if _, ok := dnsname.Canonical(zone); !ok {
			return c.Errf("%q is not a zone name", zone)
		}
	}
	// A block with a key for each transport names its zone once for each.
	cfg.setZones(distinct(plugin.OriginsFromArgsOrServerBlock(args[1:], c.ServerBlockKeys)))

	for c.NextBlock() {
		name := c.Val()
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		if i < 0 {
			return c.Errf("unknown option %q: the options are %s", name, strings.Join(optionNames(), ", "))
		}
		option := options[i]
		first, again := cfg.seen[name]
		switch {
		case !again:
			cfg.seen[name] = position(c)
		case !option.repeats:
			return c.Errf("duplicate option %q: the first is on line %d", name, first.Line)
		}
		if err := option.parse(cfg, c); err != nil {
			return err
		}
	}
	return cfg.check()
}

func (cfg *config) setZones(zones []string) {
	cfg.zones, cfg.covered = zones, make(map[string]bool, len(zones))
	for _, zone := range zones {
		cfg.covered[zone] = true
	}
}

// check holds the options against each other. Its errors name the line of the option.
func (cfg *config) check() error {
	signed := cfg.keyDir != "" || len(cfg.keyFiles) > 0
	switch {
	case signed && cfg.unsigned:
		return cfg.errorOf("unsigned", "key and unsigned exclude each other: keep one of them")
	case !signed && !cfg.unsigned:
		// An implicit key would make two servers of one zone disagree, and that is a lock-out.
		return cfg.errorOf("", "no signing option: write key auto DIRECTORY, key file KEY..., or unsigned for no DNSSEC")
	}
	if _, given := cfg.seen["cosigner"]; given && !signed {
		return cfg.errorOf("cosigner", "cosigner needs signed zones, but this block has unsigned")
	}
	if _, given := cfg.seen["roll"]; given {
		if cfg.keyDir == "" {
			return cfg.errorOf("roll", "roll needs key auto, which this block does not have")
		}
		if err := cfg.roll.Check(); err != nil {
			return cfg.errorOf("roll", "%v", err)
		}
	}
	return nil
}

// errorOf returns an error of an option that was given, or of the block, in the form of caddy's.
func (cfg *config) errorOf(option, format string, args ...any) error {
	at, ok := cfg.seen[option]
	if !ok {
		at = cfg.pos
	}
	return fmt.Errorf("%s:%d - Error during parsing: %s", at.File, at.Line, fmt.Sprintf(format, args...))
}

// locate returns an error about keys with the line of the Corefile where its file is written.
func (cfg *config) locate(err error) error {
	of := new(keyring.FileError)
	if !errors.As(err, &of) {
		return err
	}
	at, ok := cfg.written[of.Path]
	if option, _, _ := strings.Cut(of.Option, " "); !ok {
		at = cfg.seen[option]
	}
	return fmt.Errorf("%v: %w", at, err)
}

// option is one row of the block's language.
type option struct {
	name    string
	repeats bool // whether it may stand more than once
	parse   func(*config, *caddy.Controller) error
}

// options are the block's language, in the order of the manual.
var options = []option{
	{name: "key", parse: (*config).parseKey},
	{name: "unsigned", parse: (*config).parseUnsigned},
	{name: "issuer", parse: (*config).parseIssuer, repeats: true},
	{name: "reload", parse: (*config).parseReload},
	{name: "state", parse: (*config).parseState},
	{name: "ttl", parse: (*config).parseTTL},
	{name: "parent", parse: (*config).parseParent},
	{name: "orphan", parse: (*config).parseOrphan, repeats: true},
	{name: "cosigner", parse: (*config).parseCosigner, repeats: true},
	{name: "roll", parse: (*config).parseRoll, repeats: true},
}

func optionNames() []string {
	names := make([]string, len(options))
	for i, option := range options {
		names[i] = option.name
	}
	return names
}

func (cfg *config) parseKey(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) < 2 {
		return c.Errf("write key auto DIRECTORY, or key file KEY...")
	}
	switch kind, rest := args[0], args[1:]; {
	case kind == "auto" && len(rest) == 1:
		cfg.keyDir = cfg.path(c, rest[0])
	case kind == "auto":
		return c.Errf("key auto takes one directory, not %d", len(rest))
	case kind == "file":
		for _, file := range rest {
			cfg.keyFiles = append(cfg.keyFiles, cfg.path(c, file))
		}
	default:
		return c.Errf("unknown kind of key %q; write key auto DIRECTORY, or key file KEY...", kind)
	}
	return nil
}

func (cfg *config) parseUnsigned(c *caddy.Controller) error {
	if args := c.RemainingArgs(); len(args) > 0 {
		return c.Errf("unsigned takes no argument, got %q", args[0])
	}
	cfg.unsigned = true
	return nil
}

func (cfg *config) parseIssuer(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) == 0 {
		return c.Errf("write issuer DOMAIN [NAMES...], with the CA's Issuer Domain Name, such as letsencrypt.org")
	}
	issuer := operatorIssuer{domain: args[0], pos: position(c)}
	if meant := issuers.OfLabel(issuer.domain); meant != "" {
		return c.Errf("%q is not an Issuer Domain Name: did you mean %s?", issuer.domain, meant)
	}
	for _, name := range args[1:] {
		canonical, ok := dnsname.Canonical(name)
		if !ok {
			return c.Errf("%q is not a domain name", name)
		}
		issuer.names = append(issuer.names, canonical)
	}
	cfg.issuers = append(cfg.issuers, issuer)
	return nil
}

func (cfg *config) parseReload(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) != 1 {
		return c.Errf("write reload DURATION, such as reload 2s, or reload off")
	}
	if args[0] == "off" {
		cfg.reload = 0
		return nil
	}
	d, err := durations.NewDurationFromArg(args[0])
	if err != nil || d < minReload {
		return c.Errf("invalid reload %[2]q: want a duration of at least %[1]v, or off", minReload, args[0])
	}
	cfg.reload = d
	return nil
}

func (cfg *config) parseState(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) != 1 {
		return c.Errf("write state DIRECTORY")
	}
	cfg.stateDir = cfg.path(c, args[0])
	return nil
}

func (cfg *config) parseTTL(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) != 1 {
		return c.Errf("write ttl DURATION, such as ttl 1h")
	}
	d, err := durations.NewDurationFromArg(args[0])
	if err != nil || d < time.Second || d > zonesign.MaxTTL*time.Second || d%time.Second != 0 {
		return c.Errf("invalid ttl %q: want whole seconds, from 1s to a week (168h)", args[0])
	}
	cfg.ttl = d
	return nil
}

// keyring is what the block says of keys.
func (cfg *config) keyring() keyring.Config {
	ttl := zones.NewTTLs(cfg.ttl, cfg.roll.data)
	return keyring.Config{Folder: cfg.keyDir, Files: cfg.keyFiles, Zones: cfg.zones, Covers: cfg.covers, TTL: ttl.Apex, Largest: ttl.Largest,
		Roll: cfg.roll.Settings, Parent: cfg.parent, Orphans: cfg.orphans, Cosigners: cfg.cosigned}
}

// requirements are the operator's own issuers as the guard reads them.
func (cfg *config) requirements(apexes []string) []guard.Requirement {
	var out []guard.Requirement
	for _, issuer := range cfg.issuers {
		names := issuer.names
		if len(names) == 0 {
			names = apexes
		}
		for _, name := range names {
			base, wildcard := strings.CutPrefix(name, "*.")
			out = append(out, guard.Requirement{
				Name: base, Wildcard: wildcard, Domain: issuer.domain,
				Type: issuance.TLS, Pos: issuer.pos, Origin: guard.Operator,
			})
		}
	}
	return out
}

// covers reports whether the block answers for name: one of its zones is at or above it.
func (cfg *config) covers(name string) bool {
	for up := range dnsname.Up(name) {
		if cfg.covered[up] {
			return true
		}
	}
	return false
}

// apexes are the block's zones as zones of their own. The root is not one: `.` says that the block
// answers for whatever the file lists.
func (cfg *config) apexes() []string {
	var apexes []string
	for _, zone := range cfg.zones {
		if zone != "." {
			apexes = append(apexes, zone)
		}
	}
	return apexes
}

func position(c *caddy.Controller) policy.Position {
	return policy.Position{File: c.File(), Line: c.Line(), Column: 1}
}

// path resolves the path of a file or folder that the server keeps or reads keys in, and notes where it is written. It is
// absolute, for messages.
func (cfg *config) path(c *caddy.Controller, path string) string {
	path = rooted(c, path)
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	cfg.written[path] = position(c)
	return path
}

// rooted resolves a path of the Corefile as CoreDNS does: in the root directive's folder.
func rooted(c *caddy.Controller, path string) string {
	root := dnsserver.GetConfig(c).Root
	if filepath.IsAbs(path) || root == "" {
		return path
	}
	return filepath.Join(root, path)
}

// distinct keeps the first of equal names.
func distinct(names []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}
