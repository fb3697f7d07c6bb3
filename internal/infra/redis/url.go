package redisstore

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// maxConns is above what a server takes, and far below the size of a pool that
// makes the driver panic, as a negative one does.
const maxConns = 100_000

// Config says how to reach a server. The zero Config is none.
type Config struct {
	options *redis.Options
	shown   string
}

// String returns the URL without what may be secret in it.
func (c Config) String() string { return c.shown }

// ParseURL takes what the driver takes: redis://, rediss:// and unix:// with the
// options of redis.ParseURL, such as dial_timeout and pool_size. Its error is one
// line without any secret, and is to follow the name of the setting.
func ParseURL(text string) (Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || strayAt(*u) {
		// The parser's reason would quote what may be a piece of the password.
		return Config{}, errors.New("is not a well-formed URL; special characters in a user name or password have to be percent-encoded")
	}
	if !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		return Config{}, errors.New("must begin with redis://, rediss:// or unix://")
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), "redis: ")
		return Config{}, fmt.Errorf("is refused by the driver: %s", strings.Join(strings.Fields(reason), " "))
	}
	if options.PoolSize < 0 || max(options.PoolSize, options.MinIdleConns, options.MaxIdleConns, options.MaxActiveConns, options.PipelinePoolSize) > maxConns {
		return Config{}, fmt.Errorf("asks for a number of connections that is negative or above %d", maxConns)
	}
	if _, err := strconv.ParseUint(cmp.Or(u.Port(), "0"), 10, 16); err != nil || options.DB < 0 {
		return Config{}, errors.New("must have a port up to 65535, and a database that is not negative")
	}
	if u.User != nil {
		u.User = url.User("xxxxx")
	}
	u.RawQuery, u.Fragment = "", ""
	return Config{options, u.String()}, nil
}

// strayAt reports whether there is an @ that does not end a user name or password:
// then a part of them is taken for something else.
func strayAt(u url.URL) bool {
	u.User = nil
	return strings.Contains(u.String(), "@")
}
