package keyfolder

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/coredns-caa/caa/plugin/pkg/atomicfile"
)

// A batch writes the files of many zones with a few syncs, whose number does not grow with the zones: each is written
// next to its path and all are synced at once; then, stage by stage, those of all zones are put in place and the
// folder is synced. A crash at any moment leaves of each zone the files of some of its stages: all of one that
// is over, none of a later one. Within a stage any file may be missing, for nothing but fsync orders what reaches a disk.
// While keys are put in place, the state that is to have them is safe under its temporary name.

// stage is a part of what is written of a zone. One begins when the one before it is on the disk.
type stage int

const (
	// newZSKs are the two files of each new ZSK. Without a state, a key counts from when both are there, and a KSK
	// without a ZSK would be taken for a CSK.
	newZSKs stage = iota
	newSEPs       // those of each new KSK or CSK
	newState
	// newTimes are in the files of keys that there were before: BIND's tools read them, and no server depends on them.
	newTimes
	stages
)

// job is what is to be written of one zone.
type job struct {
	stem    string // begins the names of all the zone's files
	puts    []*put
	removes []string // paths that go before the state is put in place
	// asides are new names of files that are in the way, by path.
	asides map[string]string
	aside  []string // those that are used
	// restores says that the keys are in use already: what a crash leaves of the job does not say that they are not.
	restores bool
	// begun says that a file of a new key is in place.
	begun bool
	// failed is the stage that was not finished, and err why; stages and nil where all is written.
	failed stage
	err    error
}

// put is a file to put in place.
type put struct {
	stage     stage
	path      string
	text      string
	mode      fs.FileMode
	temporary string // "" unless it is written, and not yet in place
}

func (j *job) put(s stage, path, text string, mode fs.FileMode) {
	j.puts = append(j.puts, &put{stage: s, path: path, text: text, mode: mode})
}

// fail notes that a stage cannot be finished.
func (j *job) fail(s stage, err error) {
	if s < j.failed {
		j.failed, j.err = s, err
	}
}

// has reports whether there is something to do in a stage that has not failed.
func (j *job) has(s stage) bool {
	if s >= j.failed {
		return false
	}
	for _, p := range j.puts {
		if p.stage == s {
			return true
		}
	}
	return s == newState && len(j.removes) > 0
}

// write carries jobs out. Each has an error of its own.
func write(disk disk, dir string, jobs []*job) {
	jobs = pending(jobs, func(j *job) bool { return len(j.puts)+len(j.removes) > 0 })
	if len(jobs) == 0 {
		return
	}
	folder, err := disk.open(dir)
	if err != nil {
		each(jobs, func(j *job) { j.fail(0, err) })
		return
	}
	defer folder.close()
	each(jobs, func(j *job) { j.create(disk) })
	defer each(jobs, func(j *job) { j.discard(disk) })
	if err := syncTemporaries(folder, jobs); err != nil {
		each(jobs, func(j *job) { j.fail(0, err) })
	}
	for s := range stages {
		due := pending(jobs, func(j *job) bool { return j.has(s) })
		if len(due) == 0 {
			continue
		}
		each(due, func(j *job) { j.place(disk, s) })
		if err := folder.syncNames(); err != nil {
			each(due, func(j *job) { j.fail(s, err) })
		}
	}
}

// create writes the files under temporary names, by which a crash leaves them to who holds the lock next.
func (j *job) create(disk disk) {
	for _, p := range j.puts {
		name := atomicfile.Temporary + j.stem + strconv.FormatUint(rand.Uint64(), 36)
		if !j.restores {
			name += filepath.Ext(p.path) // readLeft knows a state by it
		}
		path := filepath.Join(filepath.Dir(p.path), name)
		err := disk.create(path, p.text, p.mode)
		switch {
		case err == nil:
			p.temporary = path
		case p.stage == newTimes:
			j.fail(newTimes, err)
		default:
			j.fail(0, err)
		}
	}
}

// place puts the files of a stage in place. Those of a new key overwrite nothing: BIND's tools make keys without the
// lock.
func (j *job) place(disk disk, s stage) {
	if s == newState {
		for _, path := range j.removes {
			if err := disk.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				j.fail(s, err)
				return
			}
		}
	}
	for from, to := range j.asides {
		if err := disk.renameNew(from, to); err != nil {
			j.fail(s, err)
			return
		}
		delete(j.asides, from)
		j.aside = append(j.aside, to)
	}
	for _, p := range j.puts {
		if p.stage != s {
			continue
		}
		rename := disk.rename
		if s < newState {
			rename = disk.renameNew
		}
		if err := rename(p.temporary, p.path); err != nil {
			j.fail(s, err)
			return
		}
		p.temporary = ""
		j.begun = j.begun || s < newState
	}
}

// discard removes what is not in place after a failure. A state stays whose keys are: it says that they were not served.
func (j *job) discard(disk disk) {
	for _, p := range j.puts {
		if p.temporary != "" && !(p.stage == newState && j.begun && !j.restores) {
			_ = disk.remove(p.temporary) // or the next Update removes it
		}
	}
}

// syncTemporaries makes the files safe that are not in place yet, and their names where keys are among them.
func syncTemporaries(folder syncer, jobs []*job) error {
	var paths []string
	keys := false
	for _, j := range jobs {
		for _, p := range j.puts {
			if p.temporary != "" {
				paths = append(paths, p.temporary)
				keys = keys || p.stage < newState
			}
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if err := folder.syncFiles(paths); err != nil || !keys {
		return err
	}
	return folder.syncNames()
}

func pending(jobs []*job, due func(*job) bool) (all []*job) {
	for _, j := range jobs {
		if due(j) {
			all = append(all, j)
		}
	}
	return all
}

// each calls f for all of a slice, several at once.
func each[T any](all []T, f func(T)) {
	var group errgroup.Group
	group.SetLimit(workers)
	for _, one := range all {
		group.Go(func() error {
			f(one)
			return nil
		})
	}
	group.Wait() // errors are noted where they belong
}
