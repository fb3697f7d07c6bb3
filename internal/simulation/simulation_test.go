package simulation

import (
	"flag"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	schedules = flag.Int("schedules", 2000, "how many schedules to run")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first one")
)

// Whatever goes wrong, and whenever, every promise is kept.
//
// A seed settles what becomes of each call. Which goroutine comes first at the same
// instant, and the jitter of retries, it does not: so one that has found something
// finds it again in most runs, and some need several.
func TestPromisesAreKept(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	for range 2 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for n := ran.Add(1); n <= int64(*schedules) && !t.Failed(); n = ran.Add(1) {
				seed := *firstSeed + uint64(n) - 1
				synctest.Test(t, func(t *testing.T) {
					for _, v := range Run(seed, Wraps{}) {
						t.Errorf("%s (make simulate ARGS='-schedules 1 -seed %d -count 20')", v, seed)
					}
				})
			}
		})
	}
}
