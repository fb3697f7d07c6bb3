package redisstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/domain/fault"
)

// A server that answers is not one that does what the service asks of it.
func TestReady(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm    []string // a command of the server's
		message string   // empty if it is ready all the same
		cause   string
	}{
		"as it should be":   {[]string{"PING"}, "", ""},
		"rights for a part": {[]string{"ACL", "SETUSER", "default", "resetkeys", "~claim:*"}, "", ""},
		"a replica":         {[]string{"REPLICAOF", "127.0.0.1", "1"}, refuses, "READONLY"},
		"full":              {[]string{"CONFIG", "SET", "maxmemory", "1"}, refuses, "OOM"},
		"too few replicas":  {[]string{"CONFIG", "SET", "min-replicas-to-write", "1"}, refuses, "NOREPLICAS"},
		"no right to eval":  {[]string{"ACL", "SETUSER", "default", "-eval", "-evalsha"}, refuses, "NOPERM"},
		"no right to write": {[]string{"ACL", "SETUSER", "default", "-set"}, refuses, "can't run this command"},
		"no right to keys":  {[]string{"ACL", "SETUSER", "default", "resetkeys", "~other:*"}, refuses, "NOPERM"},
		"a password":        {[]string{"CONFIG", "SET", "requirepass", "s3cret"}, "Redis refuses the user name or the password.", "NOAUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := setup(t)
			args := make([]any, len(test.harm))
			for i, arg := range test.harm {
				args[i] = arg
			}
			if err := open(t, server.URL()).Do(timeout(t), args...).Err(); err != nil {
				t.Fatal(err)
			}
			err := Ready(timeout(t), client, "claim:")
			if test.message == "" {
				if err != nil {
					t.Errorf("it is ready: %v", err)
				}
				return
			}
			refused, ok := errors.AsType[*fault.Error](err)
			if !ok || refused.Kind != fault.Unavailable || refused.Message != test.message || !strings.Contains(err.Error(), test.cause) {
				t.Errorf("%v, want %q because of %s", err, test.message, test.cause)
			}
			if err := client.Options().Limiter.Allow(); err != nil {
				t.Errorf("the server answered, but other calls fail: %v", err)
			}
		})
	}
}

const refuses = "Redis answers, but refuses writes or scripts."

func TestReadyWithoutAServer(t *testing.T) {
	t.Parallel()
	server, client := setup(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"asked", "spared"} {
		err := Ready(timeout(t), client, "")
		if away, ok := errors.AsType[*fault.Error](err); !ok || away.Message != "Redis is not available." {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A probe leaves nothing behind.
func TestProbeIsForgotten(t *testing.T) {
	t.Parallel()
	_, client := setup(t)
	if err := Ready(timeout(t), client, "claim:"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the probe's key is gone", func() bool { return client.DBSize(timeout(t)).Val() == 0 })
}
