package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/winaity/billing/internal/domain/fault"
	httpapi "github.com/winaity/billing/internal/http"
)

type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

func up(context.Context) error { return nil }

func down(context.Context) error { return errors.New("dial tcp db.internal:5432: refused") }

func refuses(context.Context) error {
	return fmt.Errorf("probe: %w", fault.Wrap(errors.New("code 10059, account hunter2"), fault.Unavailable, "any", "There is no stream."))
}

// slow heeds its context.
func slow(ctx context.Context) error {
	<-ctx.Done()
	return fault.Wrap(ctx.Err(), fault.Unavailable, "any", "It is away.")
}

// hangs forgets its context, as a bad driver does.
func hangs(release chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		<-release
		return nil
	}
}

func TestReadiness(t *testing.T) {
	for name, test := range map[string]struct {
		postgres, nats func(context.Context) error
		draining       bool
		status         int
		want           health
	}{
		"all is well":    {up, up, false, 200, health{"ok", map[string]string{"postgres": "ok", "nats": "ok"}}},
		"one is away":    {up, down, false, 200, health{"degraded", map[string]string{"postgres": "ok", "nats": "unreachable"}}},
		"required":       {down, up, false, 503, health{"unavailable", map[string]string{"postgres": "unreachable", "nats": "ok"}}},
		"all are away":   {down, down, false, 503, health{"unavailable", map[string]string{"postgres": "unreachable", "nats": "unreachable"}}},
		"shutting down":  {up, up, true, 503, health{"shutting down", map[string]string{"postgres": "ok", "nats": "ok"}}},
		"one hangs":      {up, nil, false, 200, health{"degraded", map[string]string{"postgres": "ok", "nats": "no answer in time"}}},
		"required hangs": {nil, up, false, 503, health{"unavailable", map[string]string{"postgres": "no answer in time", "nats": "ok"}}},
		"one is slow":    {up, slow, false, 200, health{"degraded", map[string]string{"postgres": "ok", "nats": "no answer in time"}}},
		"one says why":   {up, refuses, false, 200, health{"degraded", map[string]string{"postgres": "ok", "nats": "There is no stream."}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				for _, probe := range []*func(context.Context) error{&test.postgres, &test.nats} {
					if *probe == nil {
						*probe = hangs(release)
					}
				}
				api := newAPI(func(o *httpapi.Options) {
					o.Checks = []httpapi.Check{
						{Name: "nats", Probe: test.nats},
						{Name: "postgres", Required: true, Probe: test.postgres},
					}
					o.Draining = func() bool { return test.draining }
				})
				got := decode[health](t, call(t, api, http.MethodGet, "/readyz", ""), test.status)
				if got.Status != test.want.Status || !maps.Equal(got.Checks, test.want.Checks) {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
				if live := decode[health](t, call(t, api, http.MethodGet, "/livez", ""), 200); live.Status != "ok" {
					t.Errorf("livez: %+v", live)
				}
			})
		})
	}
}

// However many ask, and for however long, a dependency that hangs is asked once.
func TestThoseWhoAskAtOnceShareAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		api := newAPI(func(o *httpapi.Options) {
			o.Checks = []httpapi.Check{{Name: "postgres", Required: true, Probe: func(ctx context.Context) error {
				asked.Add(1)
				return hangs(release)(ctx)
			}}}
		})
		ask := func(status int, want string) {
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() {
					if got := decode[health](t, call(t, api, http.MethodGet, "/readyz", ""), status); got.Checks["postgres"] != want {
						t.Errorf("got %+v, want %s", got, want)
					}
				})
			}
			all.Wait()
		}
		ask(503, "no answer in time")
		ask(503, "no answer in time")
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		close(release)
		synctest.Wait()
		ask(200, "ok")
	})
}
