package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/app/batch"
)

const (
	// roundTrips is how many are made side by side, each for at most mostScripts.
	roundTrips  = 2
	mostScripts = 128
	// roundTripTimeout is above the client's own timeouts, which end it before.
	roundTripTimeout = 5 * time.Second
)

// scripts runs scripts on a server. Those that wait at the same time share a round
// trip. It is safe for concurrent use.
type scripts struct {
	client *redis.Client
	queue  *batch.Queue[*run]
}

// run is a script that waits for its result.
type run struct {
	script *redis.Script
	key    string
	args   []any
	result *redis.Cmd
	end    chan struct{} // closed when the result is there
}

func newScripts(client *redis.Client) *scripts {
	s := &scripts{client: client}
	s.queue = batch.NewQueue(roundTrips, mostScripts, s.serve)
	return s
}

// run runs a script on one key and returns the text that it returns, if it does.
func (s *scripts) run(ctx context.Context, script *redis.Script, key string, args ...any) (string, error) {
	r := &run{script: script, key: key, args: args, end: make(chan struct{})}
	s.queue.Add(r)
	select {
	case <-r.end:
	case <-ctx.Done():
		return "", unavailable(ctx.Err())
	}
	text, _ := r.result.Val().(string)
	return text, unavailable(r.result.Err())
}

// serve runs the scripts, and once more those that the server did not know yet.
func (s *scripts) serve(runs []*run) {
	ctx, cancel := context.WithTimeout(context.Background(), roundTripTimeout)
	defer cancel()
	s.roundTrip(ctx, runs, (*redis.Script).EvalSha)
	var unknown []*run
	for _, r := range runs {
		if redis.HasErrorPrefix(r.result.Err(), "NOSCRIPT") {
			unknown = append(unknown, r)
		}
	}
	if len(unknown) > 0 {
		s.roundTrip(ctx, unknown, (*redis.Script).Eval)
	}
	for _, r := range runs {
		close(r.end)
	}
}

func (s *scripts) roundTrip(ctx context.Context, runs []*run, eval func(*redis.Script, context.Context, redis.Scripter, []string, ...any) *redis.Cmd) {
	pipeline := s.client.Pipeline()
	for _, r := range runs {
		r.result = eval(r.script, ctx, pipeline, []string{r.key}, r.args...)
	}
	_, _ = pipeline.Exec(ctx) // each result has its own error
}
