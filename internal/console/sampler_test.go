package console

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

// The longer it takes to count the backlog, the less often it is counted.
func TestBacklogIsCountedForAShareOfTheTimeOnly(t *testing.T) {
	for took, want := range map[time.Duration]int{time.Millisecond: 100, 500 * time.Millisecond: 10, 2 * time.Second: 3} {
		synctest.Test(t, func(t *testing.T) {
			counted := 0
			c := New(Options{Backlog: func(context.Context) (messaging.Backlog, error) {
				counted++
				<-time.After(took)
				return messaging.Backlog{Events: 7}, nil
			}})
			var gauge backlogGauge
			tick := time.NewTicker(sampleInterval)
			for range 100 {
				<-tick.C
				if events, _ := gauge.read(t.Context(), c); *events != 7 {
					t.Errorf("%d events", *events)
				}
			}
			if counted != want {
				t.Errorf("it takes %s: counted %d times in 100 s, want %d", took, counted, want)
			}
		})
	}
}

func TestQuantiles(t *testing.T) {
	if quantiles(nil) != nil {
		t.Error("nothing was published, but took some time")
	}
	delays := make([]time.Duration, 101)
	for i := range delays {
		delays[i] = time.Duration(100-i) * time.Millisecond
	}
	if q := quantiles(delays); q.P50 != 50 || q.P99 != 99 {
		t.Errorf("got %+v", q)
	}
	if q := quantiles([]time.Duration{-time.Millisecond}); q.P50 != 0 {
		t.Errorf("clocks differ: got %+v", q)
	}
}

// Of many delays, any may be kept, and no more than there is room for.
func TestDelaysAreBounded(t *testing.T) {
	var m meter
	for n := range 10 * maxDelays {
		m.addDelay(time.Duration(n) * time.Millisecond)
	}
	q := quantiles(m.delays)
	if m.published != 10*maxDelays || len(m.delays) != maxDelays || q.P50 < 3*maxDelays || q.P50 > 7*maxDelays {
		t.Errorf("%d of %d delays, %+v", len(m.delays), m.published, q)
	}
}

func TestDeliveriesAreBoundedAndInOrder(t *testing.T) {
	var d deliveries
	for n := range 3 * len(d.ring) {
		d.add(messaging.DeliveryReport{EventID: "evt_old", Attempt: n})
	}
	d.add(messaging.DeliveryReport{EventID: "evt_1", Attempt: 1})
	d.add(messaging.DeliveryReport{EventID: "evt_1", Attempt: 2})
	d.add(messaging.DeliveryReport{Attempt: 1}) // what is no event
	if got := d.of("evt_1"); len(got) != 2 || got[0].Attempt != 1 || got[1].Attempt != 2 {
		t.Errorf("got %+v", got)
	}
	if got := d.of(""); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}
