package redisstore

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseURLTakesWhatTheDriverTakes(t *testing.T) {
	t.Parallel()
	for url, shown := range map[string]string{
		"redis://":                           "redis:",
		"redis://h":                          "redis://h",
		"redis://h:6380/3":                   "redis://h:6380/3",
		"rediss://h/?skip_verify=true":       "rediss://h/",
		"redis://[::1]:6379/0":               "redis://[::1]:6379/0",
		"unix:///run/redis.sock?db=2":        "unix:///run/redis.sock",
		"unix://user:s3cret@/run/redis.sock": "unix://xxxxx@/run/redis.sock",
		"redis://s3cret@h":                   "redis://xxxxx@h",
		"redis://:s3cret@h":                  "redis://xxxxx@h",
		"redis://user:s3cret,with;all$that@may@stand@h:1/2":       "redis://xxxxx@h:1/2",
		"redis://user:s%2F3%40c%25ret@h?client_name=s3cret":       "redis://xxxxx@h",
		"redis://h?pool_size=3&read_timeout=2s&max_retries=2":     "redis://h",
		"redis://h?dial_timeout=1s&write_timeout=0&protocol=2":    "redis://h",
		"redis://h?pipeline_pool_size=-1&conn_max_lifetime=1h#at": "redis://h",
	} {
		config, err := ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := config.String(); got != shown {
			t.Errorf("%s is shown as %s, want %s", url, got, shown)
		}
		if err := Open(config).Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestParseURLSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	const malformed = "percent-encoded$"
	for url, want := range map[string]string{
		"":                                    "^must begin with redis://, rediss:// or unix://$",
		"h":                                   "^must begin",
		"http://h":                            "^must begin",
		"h:6379":                              malformed,
		"redis:h":                             malformed,
		"redis://h:port":                      malformed,
		"redis://h/cache":                     `database number: "cache"`,
		"redis://h/1/2":                       "invalid URL path",
		"redis://h/1/%0A2":                    "invalid URL path",
		"redis://h?db=x":                      "invalid database number",
		"redis://h?unknown=1":                 "unexpected option: unknown",
		"redis://h?skip_verify=true":          "unexpected option: skip_verify",
		"redis://h?%0Aline=1":                 "unexpected option: line",
		"redis://h?pool_size=many":            "invalid pool_size number",
		"redis://h?dial_timeout=soon":         "invalid dial_timeout duration",
		"redis://h?pool_size=-1":              "negative or above 100000",
		"redis://h?pool_size=3000000000":      "negative or above 100000",
		"redis://h?min_idle_conns=3000000000": "negative or above 100000",
		"redis://h?max_idle_conns=3000000000": "negative or above 100000",
		"redis://h?pipeline_pool_size=3000000000": "negative or above 100000",
		"redis://h?max_active_conns=3000000000":   "negative or above 100000",
		"redis://h:65536":                         "port up to 65535",
		"redis://h/-1":                            "database that is not negative",
		"redis://h?db=-1":                         "database that is not negative",
		"unix://":                                 "empty unix socket path",

		"user:s3cret@h:6379":            malformed,
		"s3cret":                        "^must begin",
		"redis:user:s3cret@h":           malformed,
		"redis://user:s3cret@h:port":    malformed,
		"redis://user:pa/s3cret@h":      malformed,
		"redis://user:12/s3cret@h":      malformed,
		"redis://user:12/s3cret%@h":     malformed,
		"redis://:12?s3cret@h":          malformed,
		"redis://user:12#s3cret@h":      malformed,
		"redis://user:s3cret%zz@h":      malformed,
		"redis://user:s3cret%@h":        malformed,
		"redis://user:s3cret\n@h":       malformed,
		"redis://user:s3[cret@h":        malformed,
		"redis://user:s3 cret@h":        malformed,
		"redis://user:s3cret@h/cache":   `database number: "cache"`,
		"redis://user:s3cret@h?x=1":     "unexpected option: x",
		"redis://h?client_name=s3cret@": malformed,
		"redis://h?password=s3cret":     "unexpected option: password$",
	} {
		config, err := ParseURL(url)
		if err == nil {
			t.Errorf("%q is taken as %s", url, config)
			continue
		}
		reason := err.Error()
		if !regexp.MustCompile(want).MatchString(reason) {
			t.Errorf("%q %s, want %s", url, reason, want)
		}
		if !regexp.MustCompile(`^(is|must|asks) .+$`).MatchString(reason) {
			t.Errorf("%q %s: no line that follows a name", url, reason)
		}
		for _, secret := range []string{"s3", "cret", "12", "pa/"} {
			if strings.Contains(reason, secret) {
				t.Errorf("%q tells its secret: %s", url, reason)
			}
		}
	}
}

func TestDefaultsApplyToWhatTheURLDoesNotSay(t *testing.T) {
	t.Parallel()
	config, err := ParseURL("redis://h?dial_timeout=2s&pool_size=3&max_retries=1")
	if err != nil {
		t.Fatal(err)
	}
	client := Open(config)
	defer client.Close()
	options := client.Options()
	if options.DialTimeout != 2*time.Second || options.PoolSize != 3 || options.MaxActiveConns != 3 || options.MaxRetries != 1 {
		t.Errorf("not as the URL says: %+v", options)
	}
	if options.ReadTimeout != ioTimeout || options.WriteTimeout != ioTimeout || options.PoolTimeout != poolTimeout {
		t.Errorf("not the defaults: %+v", options)
	}
}
