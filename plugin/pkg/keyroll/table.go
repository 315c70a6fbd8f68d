package keyroll

import (
	"slices"
	"time"
)

// wait is something that a key waits for in a state.
type wait struct {
	For      string                      // for people, after "waits for"
	concerns func(*step, *Key) bool      // whether this key waits for it; nil: each does
	until    func(*step, *Key) time.Time // when it is over; nil: it is over where it concerns the key
}

// row is one line of the life of keys: in a state, a key of one of these roles waits, and goes on to next.
// Of several rows whose wait is over the first counts.
type row struct {
	state State
	roles []Role
	wait  wait
	next  State
}

// forItsTurn is what a key waits for that lies ready.
const forItsTurn = "its turn"

var (
	all   = []Role{KSK, ZSK, CSK}
	seps  = []Role{KSK, CSK} // those that the parent's DS may name
	datas = []Role{ZSK, CSK} // those that sign data
)

var (
	itsTurn = func(state State) wait { return wait{For: forItsTurn, concerns: starts(state)} }
	caches  = func(verdict State) wait {
		return wait{For: "all caches to expire, and the parent's servers to answer which key their DS matches", concerns: settles(verdict), until: zoneEverywhere}
	}
	dnskeyKnown    = wait{For: "every cache to have its DNSKEY", until: keysEverywhere}
	signaturesSeen = wait{For: "every cache to have its signatures", until: signaturesEverywhere}
	zoneKnown      = wait{For: "every cache to have its DNSKEY and signatures", until: zoneEverywhere}
	parentNames    = wait{For: "every server of the parent to have its DS", until: ifParentNames}
	parentForgets  = wait{For: "the parent and all caches to drop its DS", until: dsGone}
	nobodyNeeds    = wait{For: "the parent to drop its DS, and all caches its DS and signatures", until: dsAndSignaturesGone}
	signaturesGone = wait{For: "all caches to drop its signatures", until: signaturesEverywhere}
	dnskeyGone     = wait{For: "all caches to drop its DNSKEY", until: keysEverywhere}
	itsKSK         = wait{For: "the KSK of its algorithm to be removed", concerns: itsKSKLeft}
	endOfLife      = wait{For: "the end of its lifetime", concerns: ages, until: lifeOver}
	endOfKeep      = wait{For: "its files to be deleted", until: keptLongEnough}
	insecurity     = wait{For: "the zone to go insecure", concerns: goesInsecure}
	successors     = wait{For: "its successor", concerns: succeeded}
	newAlgorithm   = wait{For: "its successor by another algorithm", concerns: outdone}
	secondThoughts = wait{For: "every cache to have it before it is used again", concerns: recalled, until: zoneEverywhere}
	dismissal      = wait{For: "a request to retire it", concerns: dismissed}
	earlyDS        = wait{For: "a DS that matches it", concerns: dsSeen}
	earlyForeignDS = wait{For: "a DS that matches it", concerns: foreignDS}
)

// table is the life of keys.
var table = []row{
	// A key comes.
	{Made, all, dismissal, Removed},
	{Made, all, itsTurn(Introduced), Introduced},
	{Made, all, itsTurn(Presigned), Presigned},
	{Made, all, itsTurn(Published), Published},
	{Made, seps, earlyForeignDS, Yielding},
	{Made, seps, earlyDS, Published},
	{Presigned, all, dismissal, Removed},
	{Presigned, datas, insecurity, Postsigned},
	{Presigned, []Role{KSK}, insecurity, Removed},
	{Presigned, all, signaturesSeen, Introduced},
	{Introduced, []Role{KSK}, dismissal, Removed},
	{Introduced, datas, dismissal, Postsigned},
	{Introduced, all, insecurity, Yielding},
	{Introduced, seps, zoneKnown, Ready},
	{Introduced, []Role{ZSK}, zoneKnown, Active},
	{Published, all, dismissal, Removed},
	{Published, all, insecurity, Retiring},
	{Published, seps, dnskeyKnown, Ready},
	{Published, []Role{ZSK}, dnskeyKnown, Active},

	// It is in use.
	{Ready, seps, insecurity, Yielding},
	{Ready, seps, successors, Retiring},
	{Ready, seps, newAlgorithm, Yielding},
	{Ready, seps, parentNames, Active},
	{Active, all, insecurity, Yielding},
	{Active, all, successors, Retiring},
	{Active, all, newAlgorithm, Yielding},
	{Active, all, endOfLife, Active}, // a roll begins, by plan.go, and brings its successor

	// It leaves.
	{Yielding, seps, secondThoughts, Ready},
	{Yielding, []Role{ZSK}, secondThoughts, Active},
	{Yielding, []Role{KSK}, parentForgets, Removed},
	{Yielding, []Role{CSK}, parentForgets, Postsigned},
	{Yielding, []Role{ZSK}, itsKSK, Postsigned},
	{Retiring, []Role{KSK}, parentForgets, Removed},
	{Retiring, []Role{CSK}, nobodyNeeds, Removed},
	{Retiring, []Role{ZSK}, signaturesGone, Removed},
	{Postsigned, datas, dnskeyGone, Removed},
	{Removed, seps, earlyForeignDS, Yielding},
	{Removed, seps, earlyDS, Retiring},
	{Removed, all, endOfKeep, Removed}, // the caller deletes what Decision.Delete lists

	// Nobody knows: after a stop so long that the state may be that of a backup, or with another's keys.
	{Unsure, seps, caches(Ready), Ready},
	{Unsure, []Role{ZSK}, caches(Active), Active},
	{Unsure, all, caches(Retiring), Retiring},
	{Unsure, all, caches(Yielding), Yielding},
	{Unsure, all, caches(Unsure), Unsure}, // until the parent answers, and consistently
}

// ifParentNames is now where each server of the parent names the key.
func ifParentNames(s *step, k *Key) time.Time {
	if dsEverywhere(s, k) {
		return s.in.Now
	}
	return time.Time{}
}

// machine is the rules. There is one, and tests make worse ones to see that they are caught.
type machine struct {
	meanings [states]meaning
	table    []row
}

var standard = machine{meanings, table}

// rows are those of a key's state and role.
func (m *machine) rows(k *Key, f func(row) (more bool)) {
	for _, r := range m.table {
		if r.state == k.State && slices.Contains(r.roles, k.Role) && !f(r) {
			return
		}
	}
}
