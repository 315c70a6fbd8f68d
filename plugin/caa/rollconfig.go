package caa

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/plugin/pkg/durations"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// This file reads the options that are about the life of keys: roll, parent, orphan and cosigner.

// defaultDataTTL is BIND's max-zone-ttl.
const defaultDataTTL = 24 * time.Hour

// rollSettings are the settings of `roll` lines.
type rollSettings struct {
	keyroll.Settings
	data time.Duration // the least that the largest TTL of a next plugin's data is taken to be
	set  map[string]bool
}

func defaultRoll() rollSettings {
	return rollSettings{Settings: keyroll.DefaultSettings(), data: defaultDataTTL, set: map[string]bool{}}
}

// rollDurations are the settings that are durations.
var rollDurations = map[string]func(*rollSettings) *time.Duration{
	"propagation":        func(s *rollSettings) *time.Duration { return &s.Propagation },
	"parent-propagation": func(s *rollSettings) *time.Duration { return &s.ParentPropagation },
	"parent-ttl":         func(s *rollSettings) *time.Duration { return &s.ParentTTL },
	"data-ttl":           func(s *rollSettings) *time.Duration { return &s.data },
	"safety":             func(s *rollSettings) *time.Duration { return &s.Safety },
	"ksk-lifetime":       func(s *rollSettings) *time.Duration { return &s.Lifetime.KSK },
	"zsk-lifetime":       func(s *rollSettings) *time.Duration { return &s.Lifetime.ZSK },
	"csk-lifetime":       func(s *rollSettings) *time.Duration { return &s.Lifetime.CSK },
	"backup-age":         func(s *rollSettings) *time.Duration { return &s.BackupAge },
	"keep":               func(s *rollSettings) *time.Duration { return &s.Keep },
	"heartbeat":          func(s *rollSettings) *time.Duration { return &s.Heartbeat },
	"poll":               func(s *rollSettings) *time.Duration { return &s.Poll },
	"patience":           func(s *rollSettings) *time.Duration { return &s.Patience },
}

// rollWords are the settings that are words, and what each word sets.
var rollWords = map[string]map[string]func(*rollSettings){
	"keys": {
		"csk":   func(s *rollSettings) { s.Split = false },
		"split": func(s *rollSettings) { s.Split = true },
	},
	"algorithm": {
		"ecdsap256sha256": func(s *rollSettings) { s.Algorithm = dns.ECDSAP256SHA256 },
		"ed25519":         func(s *rollSettings) { s.Algorithm = dns.ED25519 },
		"rsasha256":       func(s *rollSettings) { s.Algorithm = dns.RSASHA256 },
	},
}

func (cfg *config) parseRoll(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) != 2 {
		return c.Errf("write roll SETTING VALUE, such as roll csk-lifetime 365d")
	}
	name, value := args[0], args[1]
	if cfg.roll.set[name] {
		return c.Errf("duplicate option roll %s", name)
	}
	cfg.roll.set[name] = true
	if of, ok := rollDurations[name]; ok {
		d, err := keyDuration(value)
		if err != nil || d < 0 {
			return c.Errf("invalid roll %s %q: want a duration such as 90m, 24h or 30d", name, value)
		}
		*of(&cfg.roll) = d
		return nil
	}
	words, ok := rollWords[name]
	if !ok {
		return c.Errf("unknown setting roll %s: the settings are %s", name, strings.Join(rollNames(), ", "))
	}
	set, ok := words[strings.ToLower(value)]
	if !ok {
		return c.Errf("invalid roll %[1]s %[3]q: want %[2]s", name, strings.Join(slices.Sorted(maps.Keys(words)), " or "), value)
	}
	set(&cfg.roll)
	return nil
}

func rollNames() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, names := range [][]string{slices.Collect(maps.Keys(rollDurations)), slices.Collect(maps.Keys(rollWords))} {
			for _, name := range names {
				if !yield(name) {
					return
				}
			}
		}
	})
}

// keyDuration reads a duration, which may be in whole days.
func keyDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return durations.NewDurationFromArg(text)
}

func (cfg *config) parseParent(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) == 1 && args[0] == "off" {
		cfg.parent.Off = true
		return nil
	}
	if len(args) < 2 || args[0] != "via" && args[0] != "at" {
		return c.Errf("write parent via RESOLVER..., parent at ADDRESS... (the servers of the parent zone), or parent off")
	}
	to := &cfg.parent.Via
	if args[0] == "at" {
		to = &cfg.parent.At
	}
	for _, arg := range args[1:] {
		addr, ok := serverAddress(arg)
		if !ok {
			return c.Errf("parent: %q is not an IP address, with or without a port", arg)
		}
		*to = append(*to, addr)
	}
	return nil
}

func (cfg *config) parseCosigner(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) == 0 {
		return c.Errf("write cosigner FILE..., with the DNSKEY records of the zones' other signers")
	}
	for _, file := range args {
		cfg.cosigned = append(cfg.cosigned, cfg.path(c, file))
	}
	return nil
}

// serverAddress reads the address of a DNS server, whose port is 53 unless it says another.
func serverAddress(text string) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 53), true
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	return addr, err == nil && addr.Port() != 0
}

func (cfg *config) parseOrphan(c *caddy.Controller) error {
	args := c.RemainingArgs()
	if len(args) == 0 {
		return c.Errf("write orphan ZONE..., with zones to serve although their parent's DS matches none of their keys")
	}
	for _, arg := range args {
		zone, ok := dnsname.Canonical(arg)
		if !ok {
			return c.Errf("orphan: %q is not a zone name", arg)
		}
		if !cfg.covers(zone) {
			return c.Errf("orphan: this block does not serve %s", arg)
		}
		cfg.orphans = append(cfg.orphans, zone)
	}
	return nil
}
