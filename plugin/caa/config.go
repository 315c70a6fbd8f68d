package caa

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/durations"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/keyring"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
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
	reload   time.Duration // 0: off
	stateDir string        // "" when absent
	seen     map[string]policy.Position
}

// operatorIssuer is an `issuer DOMAIN [NAMES...]` line: the server operator's own guard.
type operatorIssuer struct {
	domain string
	names  []string // canonical, perhaps with a leading `*.`; empty: the apex of each zone
	pos    policy.Position
}

// parseConfig reads the one `caa` block of a server block. Its errors name the Corefile's line.
func parseConfig(c *caddy.Controller) (*config, error) {
	cfg := &config{reload: defaultReload, ttl: defaultTTL, roll: defaultRoll(), seen: map[string]policy.Position{}}
	for i := 0; c.Next(); i++ {
		if i > 0 {
			return nil, c.Errf("a server block holds one caa block; give this one's zones and options to the first, or a server block of its own")
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
		if _, ok := dns.IsDomainName(zone); !ok {
			return c.Errf("%q is not a zone's name", zone)
		}
	}
	// A block with a key for each transport names its zone once for each.
	cfg.setZones(distinct(plugin.OriginsFromArgsOrServerBlock(args[1:], c.ServerBlockKeys)))

	for c.NextBlock() {
		name := c.Val()
		option, ok := options[name]
		if !ok {
			return c.Errf("unknown option %q; caa knows %s", name, strings.Join(optionNames, ", "))
		}
		if first, doubled := cfg.seen[name]; doubled && !option.repeats {
			return c.Errf("option %q stands twice; the first is in line %d", name, first.Line)
		}
		cfg.seen[name] = position(c)
		if err := option.parse(cfg, c); err != nil {
			return err
		}
	}
	return cfg.check(c)
}

func (cfg *config) setZones(zones []string) {
	cfg.zones, cfg.covered = zones, make(map[string]bool, len(zones))
	for _, zone := range zones {
		cfg.covered[zone] = true
	}
}

// check holds the options against each other.
func (cfg *config) check(c *caddy.Controller) error {
	signed := cfg.keyDir != "" || len(cfg.keyFiles) > 0
	switch {
	case signed && cfg.unsigned:
		return c.Errf("key and unsigned exclude each other; keep one of them")
	case !signed && !cfg.unsigned:
		// An implicit key would make two servers of one zone disagree, and that is a lock-out.
		return c.Errf("say how the zones are signed: key auto DIRECTORY, key file KEY..., or unsigned for no DNSSEC")
	}
	if first, ok := cfg.seen["cosigner"]; ok && !signed {
		return c.Errf("cosigner in line %d is about signed zones, and these are unsigned", first.Line)
	}
	if first, ok := cfg.seen["roll"]; ok {
		if cfg.keyDir == "" {
			return c.Errf("roll in line %d is about key auto, and there is none", first.Line)
		}
		if err := cfg.roll.Check(); err != nil {
			return c.Errf("roll: %v", err)
		}
	}
	return nil
}

// option is one row of the block's language.
type option struct {
	repeats bool // whether it may stand more than once
	parse   func(*config, *caddy.Controller) error
}

var (
	options = map[string]option{
		"key":      {parse: (*config).parseKey},
		"unsigned": {parse: (*config).parseUnsigned},
		"issuer":   {parse: (*config).parseIssuer, repeats: true},
		"reload":   {parse: (*config).parseReload},
		"state":    {parse: (*config).parseState},
		"ttl":      {parse: (*config).parseTTL},
		"parent":   {parse: (*config).parseParent},
		"orphan":   {parse: (*config).parseOrphan, repeats: true},
		"cosigner": {parse: (*config).parseCosigner, repeats: true},
		"roll":     {parse: (*config).parseRoll, repeats: true},
	}
	optionNames = []string{"key", "unsigned", "issuer", "reload", "state", "ttl", "parent", "orphan", "cosigner", "roll"}
)

func (cfg *config) parseKey(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) < 2 {
		return c.Errf("write key auto DIRECTORY, or key file KEY...")
	}
	switch kind, rest := args[0], args[1:]; {
	case kind == "auto" && len(rest) == 1:
		cfg.keyDir = rooted(c, rest[0])
	case kind == "auto":
		return c.Errf("key auto takes one directory, not %d", len(rest))
	case kind == "file":
		for _, file := range rest {
			cfg.keyFiles = append(cfg.keyFiles, rooted(c, file))
		}
	default:
		return c.Errf("unknown kind of key %q; write key auto DIRECTORY, or key file KEY...", kind)
	}
	return nil
}

func (cfg *config) parseUnsigned(c *caddy.Controller) error {
	if args := c.RemainingArgs(); len(args) > 0 {
		return c.Errf("unsigned takes no argument, but %q follows", args[0])
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
	for _, name := range args[1:] {
		canonical, ok := canonicalName(name)
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
		return c.Errf("reload takes a duration of at least %v, or off; not %q", minReload, args[0])
	}
	cfg.reload = d
	return nil
}

func (cfg *config) parseState(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) != 1 {
		return c.Errf("write state DIRECTORY")
	}
	cfg.stateDir = rooted(c, args[0])
	return nil
}

func (cfg *config) parseTTL(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) != 1 {
		return c.Errf("write ttl DURATION, such as ttl 1h")
	}
	d, err := durations.NewDurationFromArg(args[0])
	if err != nil || d < time.Second || d > zonesign.MaxTTL*time.Second || d%time.Second != 0 {
		return c.Errf("ttl takes a duration in whole seconds, from 1s to a week; not %q", args[0])
	}
	cfg.ttl = d
	return nil
}

// keyring is what the block says of keys.
func (cfg *config) keyring() keyring.Config {
	ttl := newTTLs(cfg)
	return keyring.Config{Folder: cfg.keyDir, Files: cfg.keyFiles, Zones: cfg.zones, Covers: cfg.covers, TTL: ttl.apex, Largest: ttl.largest,
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
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if cfg.covered[name[off:]] {
			return true
		}
	}
	return cfg.covered["."]
}

func position(c *caddy.Controller) policy.Position {
	return policy.Position{File: c.File(), Line: c.Line(), Column: 1}
}

// rooted resolves a path of the Corefile as CoreDNS does: below the root directive's folder.
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

func canonicalName(name string) (string, bool) {
	if _, ok := dns.IsDomainName(name); !ok {
		return "", false
	}
	return dns.CanonicalName(name), true
}
