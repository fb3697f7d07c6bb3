package messaging

import (
	"testing"
	"time"
)

func TestIDRangeHasTheIDsOfItsTime(t *testing.T) {
	before := time.Now()
	id := NewID("evt_")
	after := time.Now()
	if lowest, highest := IDRange("evt_", before, after); id < lowest || id > highest || len(lowest) != len(id) || len(highest) != len(id) {
		t.Errorf("%s is not from %s to %s", id, lowest, highest)
	}
	if _, highest := IDRange("evt_", before.Add(-time.Hour), before.Add(-time.Millisecond)); id <= highest {
		t.Errorf("%s is not after %s", id, highest)
	}
	if lowest, _ := IDRange("evt_", after.Add(time.Millisecond), after.Add(time.Hour)); id >= lowest {
		t.Errorf("%s is not before %s", id, lowest)
	}
}
