package main

import (
	"math/rand/v2"
	"time"
)

// kind is what is broken.
type kind string

// The kinds of faults.
const (
	killInstance      kind = "instance: SIGKILL"
	terminateInstance kind = "instance: SIGTERM"
	pauseInstance     kind = "instance: SIGSTOP"
	killPostgres      kind = "Postgres: immediate stop"
	killNATS          kind = "NATS: SIGKILL"
	killRedis         kind = "Redis: SIGKILL"
	flushRedis        kind = "Redis: FLUSHALL"
	slowLink          kind = "link: slow"
	stallLink         kind = "link: stalled"
	deafLink          kind = "link: answers lost"
	cutLink           kind = "link: cut"
)

var kinds = []kind{
	killInstance, terminateInstance, pauseInstance, killPostgres, killNATS, killRedis, flushRedis,
	slowLink, stallLink, deafLink, cutLink,
}

// fault is one thing that breaks, when, and for how long.
type fault struct {
	kind     kind
	at       time.Duration // after the start of the load
	lasts    time.Duration
	instance int
	link     int // picks one of the instance's links
	delay    time.Duration
}

const (
	// meanPause is between two faults, which may overlap.
	meanPause = 1800 * time.Millisecond
	// longRun is from when on a pause may outlast a transaction of the relay.
	longRun = 3 * time.Minute
)

// plan returns the faults of a run, which follow from the seed alone. They are
// dealt like cards: each kind comes once before any comes again.
func plan(seed uint64, duration time.Duration, instances int) []fault {
	random := rand.New(rand.NewPCG(seed, 1))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)))
	}
	var faults []fault
	var deck []kind
	for at := between(500*time.Millisecond, meanPause); at < duration*9/10; at += between(meanPause/6, 2*meanPause) {
		if len(deck) == 0 {
			deck = append(deck, kinds...)
			random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := fault{
			kind:     deck[0],
			at:       at,
			lasts:    between(200*time.Millisecond, 3*time.Second),
			instance: random.IntN(instances),
			link:     random.Int(),
			delay:    between(5*time.Millisecond, 150*time.Millisecond),
		}
		deck = deck[1:]
		switch f.kind {
		case pauseInstance:
			// Longer than the wait for the answer to a delivery, so that another
			// instance has it when this one goes on.
			f.lasts = between(4*time.Second, 8*time.Second)
			if duration >= longRun && random.IntN(3) == 0 {
				// Longer than a transaction of the relay may be idle.
				f.lasts = between(31*time.Second, 40*time.Second)
			}
		case stallLink:
			f.lasts = between(time.Second, 7*time.Second)
		case flushRedis, cutLink:
			f.lasts = 0
		default:
		}
		faults = append(faults, f)
	}
	return faults
}
