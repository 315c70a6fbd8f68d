package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/keys"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

const aboutKeys = `
With a folder (an argument that exists or has a slash), it shows what the folder of the plugin's option "key auto" holds: the state of each key, what it waits for and until when, what must be fixed, and a time line. Otherwise it looks at the zone from outside: which keys are in DS, DNSKEY and CDS, and which ones sign.

The commands keys roll, retire, insecure, secure, cancel, restore and new write a request into the folder, and wait for a server to answer it; run them as the server's user. A request that would do harm is refused, with the reason and what to do instead. No request, not even --urgent, shortens the time that caches need. Private keys are neither read nor shown.`

// keyCommands returns those about the keys of zones.
func keyCommands() []command {
	return []command{
		{
			name: "keys", usage: []string{"FOLDER [ZONE...]", "ZONE..."}, min: 1, max: unlimited,
			does: "show the keys of zones, from their folder or from outside", about: aboutKeys, exit: exitKeys, setUp: showKeysCommand,
		},
		{
			name: "keys ds", usage: []string{"FOLDER ZONE"}, min: 2, max: 2,
			does: "print the DS records that belong at the parent now, in zone file syntax; as comments while it is too early",
			exit: [3]string{"the records belong at the parent now", "it is too early: the records are comments", "it could not be determined, or the command line is wrong"}, setUp: dsCommand,
		},
		{
			name: "keys roll", usage: []string{"FOLDER ZONE"}, min: 2, max: 2, does: "roll the CSK, or with --ksk or --zsk one of these", exit: exitKeys, setUp: rollCommand,
		},
		{
			name: "keys retire", usage: []string{"FOLDER ZONE KEY"}, min: 3, max: 3, does: "give up a key that is not in use yet, such as 013+12345", exit: exitKeys,
			setUp: request(func(ctx context.Context, o *keyOptions, folder, zone, key string) (*keys.Report, error) {
				r := keyroll.Request{Verb: keyroll.RetireKey}
				if err := r.Key.UnmarshalText([]byte(key)); err != nil {
					return nil, err
				}
				return keys.Ask(ctx, folder, zone, r, o.wait)
			}),
		},
		{
			name: "keys insecure", usage: []string{"FOLDER ZONE"}, min: 2, max: 2, does: "have the parent remove the DS, then stop signing", exit: exitKeys,
			setUp: ask(keyroll.GoInsecure),
		},
		{
			name: "keys secure", usage: []string{"FOLDER ZONE"}, min: 2, max: 2, does: "sign again, or stay signed after all", exit: exitKeys,
			setUp: ask(keyroll.ComeBack),
		},
		{
			name: "keys cancel", usage: []string{"FOLDER ZONE"}, min: 2, max: 2, does: "cancel requests that have not begun", exit: exitKeys,
			setUp: request(func(ctx context.Context, o *keyOptions, folder, zone, _ string) (*keys.Report, error) {
				return keys.Cancel(ctx, folder, zone, o.wait)
			}),
		},
		{
			name: "keys restore", usage: []string{"FOLDER [ZONE...]"}, min: 1, max: unlimited, about: "The folder must exist, and may be empty. Files in it that differ get another name.",
			does: "have a running server write the keys that it holds in memory into a folder that lost them", exit: exitKeys, setUp: restoreCommand,
		},
		{
			name: "keys new", usage: []string{"FOLDER ZONE"}, min: 2, max: 2, about: "It is refused while the parent has a DS, unless the caa block of the server has the option orphan ZONE.",
			does: "have the server of a zone whose keys are lost for good continue with the keys of the folder, or with new ones", exit: exitKeys,
			setUp: request(func(ctx context.Context, o *keyOptions, folder, zone, _ string) (*keys.Report, error) {
				return keys.StartNew(ctx, folder, zone, o.wait)
			}),
		},
	}
}

// keyOptions are those of the commands about keys.
type keyOptions struct {
	options
	wait time.Duration
}

// waitFlag is that of every command that a server answers.
func (o *keyOptions) waitFlag(f *flags) {
	duration(f.group(requests), &o.wait, "wait", keys.DefaultWait, "how long to wait for a server's answer")
	o.documentFlag(f)
}

func (o *keyOptions) documentFlag(f *flags) {
	o.jsonFlag(f, "write one JSON document; its schema is checker/keys/schema.json")
}

// zoneAction is what a command does with a zone of a folder. The last argument is a key, where there is one.
type zoneAction func(ctx context.Context, o *keyOptions, folder, zone, key string) (*keys.Report, error)

// run runs it with the arguments FOLDER ZONE [KEY].
func (do zoneAction) run(o *keyOptions) action {
	return func(ctx context.Context, args []string, std stdio) (int, error) {
		zone, err := keys.ParseZone(args[1])
		if err != nil {
			return 0, err
		}
		found, err := do(ctx, o, args[0], zone, args[len(args)-1])
		if err != nil {
			return 0, err
		}
		return o.write(found, std, true)
	}
}

// request sets up a command without flags of its own.
func request(do zoneAction) func(*flags) action {
	return func(f *flags) action {
		o := new(keyOptions)
		o.waitFlag(f)
		return do.run(o)
	}
}

// ask sets up a command that asks for one thing.
func ask(verb keyroll.Verb) func(*flags) action {
	return request(func(ctx context.Context, o *keyOptions, folder, zone, _ string) (*keys.Report, error) {
		return keys.Ask(ctx, folder, zone, keyroll.Request{Verb: verb}, o.wait)
	})
}

// rollCommand is caacheck keys roll.
func rollCommand(f *flags) action {
	o, urgent := new(keyOptions), false
	var role keyroll.Role // 0 for the only one
	fs := f.group(requests)
	for _, of := range []struct {
		name string
		role keyroll.Role
	}{{"ksk", keyroll.KSK}, {"zsk", keyroll.ZSK}, {"csk", keyroll.CSK}} {
		fs.BoolFunc(of.name, "roll the "+of.role.String(), func(string) error {
			if role != 0 {
				return mustBe("the only one of --ksk, --zsk and --csk: one key rolls at a time")
			}
			role = of.role
			return nil
		})
	}
	fs.BoolVar(&urgent, "urgent", false, "at once: without waiting until a backup can have the new key")
	o.waitFlag(f)
	return zoneAction(func(ctx context.Context, o *keyOptions, folder, zone, _ string) (*keys.Report, error) {
		r, err := keys.RollOf(folder, zone, role, urgent)
		if err != nil {
			return nil, err
		}
		return keys.Ask(ctx, folder, zone, r, o.wait)
	}).run(o)
}

// dsCommand is caacheck keys ds.
func dsCommand(f *flags) action {
	o := new(keyOptions)
	o.documentFlag(f)
	return func(_ context.Context, args []string, std stdio) (int, error) {
		zone, err := keys.ParseZone(args[1])
		if err != nil {
			return 0, err
		}
		found, err := keys.FromFolder(args[0], time.Now(), zone)
		switch {
		case err != nil:
			return 0, err
		case o.json:
			return o.write(found, std, true)
		}
		return keys.WriteDS(std.out, &found.Zones[0])
	}
}

// restoreCommand is caacheck keys restore.
func restoreCommand(f *flags) action {
	o := new(keyOptions)
	o.waitFlag(f)
	return func(ctx context.Context, args []string, std stdio) (int, error) {
		zones, err := parseZones(args[1:])
		if err != nil {
			return 0, err
		}
		if _, err := os.Stat(args[0]); errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("%w: make the folder, with mode 0700 and the server's owner, and repeat the command", cannotOpen(args[0], err))
		}
		line := restoreLine{w: std.err}
		found, err := keys.Restore(ctx, args[0], o.wait, line.show, zones...)
		line.clear()
		if err != nil {
			return 0, err
		}
		return o.write(found, std, false)
	}
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

// showKeysCommand is caacheck keys.
func showKeysCommand(f *flags) action {
	o := new(keyOptions)
	o.targetFlags(f.group(whereToAsk))
	o.askFlags(f)
	o.documentFlag(f)
	return func(ctx context.Context, args []string, std stdio) (int, error) {
		if isFolder(args[0]) {
			return o.showFolder(args[0], args[1:], std)
		}
		return o.showZones(ctx, args, std)
	}
}

// showFolder shows the keys of a folder, of all zones if none is named.
func (o *keyOptions) showFolder(folder string, names []string, std stdio) (int, error) {
	zones, err := parseZones(names)
	if err != nil {
		return 0, err
	}
	found, err := keys.FromFolder(folder, time.Now(), zones...)
	if err != nil {
		return 0, err
	}
	return o.write(found, std, len(zones) > 0 || len(found.Zones) == 1)
}

// showZones shows the keys of zones as seen from outside.
func (o *keyOptions) showZones(ctx context.Context, names []string, std stdio) (int, error) {
	for _, name := range names {
		if err := notAWord(name); err != nil {
			return 0, meant(err, name, "caacheck keys", wordsAfter("keys "))
		}
	}
	zones, err := parseZones(names)
	if err != nil {
		return 0, err
	}
	world, err := o.world()
	if err != nil {
		return 0, err
	}
	session, err := check.Prepare(ctx, check.Plan{World: world})
	if err != nil {
		return 0, err
	}
	defer session.Close()
	found := keys.FromOutside(ctx, session.Resolver(), zones...)
	found.Notes = session.Notes()
	return o.write(found, std, false)
}

// isFolder reports whether an argument means a folder rather than a zone: one that exists, or is written as a path.
func isFolder(arg string) bool {
	_, err := os.Stat(arg)
	return err == nil || strings.ContainsRune(arg, filepath.Separator)
}

// write writes a report, with a time line of each zone if lines is set.
func (o *keyOptions) write(found *keys.Report, std stdio, lines bool) (int, error) {
	var out bytes.Buffer
	write := func() error { return found.WriteText(&out, lines, std.columns) }
	if o.json {
		write = func() error { return found.WriteJSON(&out) }
	}
	err := write()
	if err == nil {
		_, err = out.WriteTo(std.out)
	}
	return found.ExitCode(), err
}
