package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/keys"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// keyOptions are those of `caacheck keys`.
type keyOptions struct {
	options
	role   keyroll.Role // to roll; 0 for the only one
	urgent bool
	wait   time.Duration
}

func (o *keyOptions) keyFlags() *flag.FlagSet {
	fs := newFlags(&o.json)
	o.worldFlags(fs)
	fs.StringVar(&o.server, "server", "", "")
	fs.StringVar(&o.resolver, "resolver", "", "")
	fs.BoolVar(&o.urgent, "urgent", false, "")
	fs.DurationVar(&o.wait, "wait", keys.DefaultWait, "")
	for name, role := range map[string]keyroll.Role{"ksk": keyroll.KSK, "zsk": keyroll.ZSK, "csk": keyroll.CSK} {
		fs.BoolFunc(name, "", func(string) error {
			if o.role != 0 {
				return errors.New("one key at a time: --ksk, --zsk or --csk")
			}
			o.role = role
			return nil
		})
	}
	return fs
}

// keyVerb is one thing to do with the keys of a zone in a folder.
type keyVerb struct {
	usage string // what follows the verb; args of them
	args  int
	do    func(ctx context.Context, o *keyOptions, dir, zone, key string) (*keys.Report, error)
}

func asking(verb keyroll.Verb) func(context.Context, *keyOptions, string, string, string) (*keys.Report, error) {
	return func(ctx context.Context, o *keyOptions, dir, zone, _ string) (*keys.Report, error) {
		return keys.Ask(ctx, dir, zone, keyroll.Request{Verb: verb}, o.wait)
	}
}

var keyVerbs = map[string]keyVerb{
	"ds": {"DIR ZONE", 2, func(_ context.Context, _ *keyOptions, dir, zone, _ string) (*keys.Report, error) {
		return keys.FromFolder(dir, time.Now(), zone)
	}},
	"roll": {"DIR ZONE [--ksk|--zsk|--csk] [--urgent]", 2, func(ctx context.Context, o *keyOptions, dir, zone, _ string) (*keys.Report, error) {
		r, err := keys.RollOf(dir, zone, o.role, o.urgent)
		if err != nil {
			return nil, err
		}
		return keys.Ask(ctx, dir, zone, r, o.wait)
	}},
	"retire": {"DIR ZONE KEY", 3, func(ctx context.Context, o *keyOptions, dir, zone, key string) (*keys.Report, error) {
		r := keyroll.Request{Verb: keyroll.RetireKey}
		if err := r.Key.UnmarshalText([]byte(key)); err != nil {
			return nil, err
		}
		return keys.Ask(ctx, dir, zone, r, o.wait)
	}},
	"new": {"DIR ZONE", 2, func(ctx context.Context, o *keyOptions, dir, zone, _ string) (*keys.Report, error) {
		return keys.StartNew(ctx, dir, zone, o.wait)
	}},
	"insecure": {"DIR ZONE", 2, asking(keyroll.GoInsecure)},
	"secure":   {"DIR ZONE", 2, asking(keyroll.ComeBack)},
	"cancel": {"DIR ZONE", 2, func(ctx context.Context, o *keyOptions, dir, zone, _ string) (*keys.Report, error) {
		return keys.TakeBack(ctx, dir, zone, o.wait)
	}},
}

// keysOf is `caacheck keys`.
func keysOf(ctx context.Context, args []string, std stdio) (int, error) {
	var o keyOptions
	rest, err := parse(o.keyFlags(), args)
	if errors.Is(err, errHelp) {
		_, err = io.WriteString(std.out, keysHelp)
		return report.ExitFine, err
	}
	if err != nil {
		return 0, err
	}
	if len(rest) == 0 {
		return 0, errors.New("keys takes a folder or a zone: caacheck keys DIR [ZONE...] or caacheck keys ZONE; caacheck keys --help says more")
	}
	name := rest[0]
	verb, ok := keyVerbs[name]
	if name != "roll" && (o.role != 0 || o.urgent) {
		return 0, errors.New("--ksk, --zsk, --csk and --urgent are for caacheck keys roll")
	}
	if name == "restore" {
		return o.restore(ctx, rest[1:], std)
	}
	if !ok {
		return o.show(ctx, rest, std)
	}
	if len(rest) != 1+verb.args {
		return 0, fmt.Errorf("caacheck keys %s takes %s", name, verb.usage)
	}
	zone, err := keys.ParseZone(rest[2])
	if err != nil {
		return 0, err
	}
	found, err := verb.do(ctx, &o, rest[1], zone, rest[len(rest)-1])
	if err != nil {
		return 0, err
	}
	if name == "ds" && !o.json {
		return keys.WriteDS(std.out, &found.Zones[0])
	}
	return o.write(found, std, true)
}

func (o *keyOptions) restore(ctx context.Context, args []string, std stdio) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("caacheck keys restore takes DIR [ZONE...]")
	}
	zones, err := parseZones(args[1:])
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: make the folder, with mode 0700 and the server's owner, and ask again", err)
	}
	found, err := keys.Restore(ctx, args[0], o.wait, zones...)
	if err != nil {
		return 0, err
	}
	return o.write(found, std, false)
}

func parseZones(names []string) (zones []string, err error) {
	for _, name := range names {
		zone, err := keys.ParseZone(name)
		if err != nil {
			return nil, err
		}
		zones = append(zones, zone)
	}
	return zones, nil
}

func (o *keyOptions) show(ctx context.Context, args []string, std stdio) (int, error) {
	names := args
	if isFolder(args[0]) {
		names = args[1:]
	}
	if !isFolder(args[0]) {
		for _, name := range names {
			if err := notAWord(name); err != nil {
				return 0, meant(err, name, "caacheck keys", keyVerbs)
			}
		}
	}
	zones, err := parseZones(names)
	if err != nil {
		return 0, err
	}
	if isFolder(args[0]) {
		found, err := keys.FromFolder(args[0], time.Now(), zones...)
		if err != nil {
			return 0, err
		}
		return o.write(found, std, len(zones) > 0 || len(found.Zones) == 1)
	}
	cfg, notes, err := o.config(ctx)
	if err != nil {
		return 0, err
	}
	r, err := resolve.New(cfg)
	if err != nil {
		return 0, err
	}
	found := keys.FromOutside(ctx, r, zones...)
	found.Notes = notes
	return o.write(found, std, false)
}

// isFolder reports whether an argument means a folder rather than a zone: one that is there, or is written as a
// path.
func isFolder(arg string) bool {
	_, err := os.Stat(arg)
	return err == nil || strings.ContainsRune(arg, filepath.Separator)
}

func (o *keyOptions) write(found *keys.Report, std stdio, lines bool) (int, error) {
	var out bytes.Buffer
	write := func() error { return found.WriteText(&out, lines) }
	if o.json {
		write = func() error { return found.WriteJSON(&out) }
	}
	err := write()
	if err == nil {
		_, err = out.WriteTo(std.out)
	}
	return found.ExitCode(), err
}

const keysHelp = `caacheck keys shows the keys of zones, and has a running server roll them.

    caacheck keys DIR [ZONE...]       what the folder of key auto has: each key's state, what it waits
                                      for and until when, what must be mended; a time line
    caacheck keys ZONE                what can be seen from outside: which keys are in DS, DNSKEY and
                                      CDS, and which sign; takes --server, --resolver, --root-hints,
                                      --trust-anchor, --port, --timeout, --rate and --concurrency
    caacheck keys ds DIR ZONE         the DS records that belong at the parent now, in the syntax of
                                      zone files; as comments while it is too early for them
    caacheck keys roll DIR ZONE       roll the CSK; of a zone with KSK and ZSK say which
                                      --ksk, --zsk, --csk
                                      --urgent   at once: it waits for no backup to have the new key
    caacheck keys retire DIR ZONE KEY give up a key that is not in use yet, such as 013+12345
    caacheck keys insecure DIR ZONE   have the parent remove its DS, and then sign no more
    caacheck keys secure DIR ZONE     sign again, or after all
    caacheck keys cancel DIR ZONE     take back what was asked for and has not begun
    caacheck keys restore DIR [ZONE...]
                                      have a running server write the keys that it holds in memory into
                                      the folder, which lost them and is there again, perhaps empty; what
                                      is there and differs gets another name
    caacheck keys new DIR ZONE        have the server of a zone whose keys are lost for good go on with
                                      what the folder has, or with new keys; refused while the parent has
                                      a DS, unless its caa block says orphan ZONE

A folder is an argument that is there, or has a slash. What is asked for is written into the folder, where
the next look of a server finds it; do it as the server's user. --wait DURATION is for how long to wait for
its answer (default 15s). What would harm is refused, with the reason and what to do instead. No wait that
caches need is ever cut short, by --urgent neither.

--json writes one document; its schema: checker/keys/schema.json. No private half of a key is read or shown.

Exit status: 0 all is well, or what was asked for is taken up; 1 something must be mended, or it was refused;
2 it could not be found out, no server has answered yet, or the command line is wrong.
`
