package natsbus

import "testing"

func TestURLsThatTheClientTakes(t *testing.T) {
	t.Parallel()
	for urls, shown := range map[string]string{
		"nats://127.0.0.1:4222":                                "127.0.0.1:4222",
		"localhost":                                            "localhost",
		"broker.internal:4222":                                 "broker.internal:4222",
		"tls://broker.internal:4443":                           "broker.internal:4443",
		"ws://broker.internal":                                 "broker.internal",
		"wss://user:secret@broker.internal/path":               "broker.internal",
		"nats://[::1]:4222":                                    "[::1]:4222",
		"nats://user:secret@a:4222":                            "a:4222",
		"user:secret@a:4222":                                   "a:4222",
		"nats://secret@a:4222":                                 "a:4222",
		"nats://user:secret%2F%3F%23%40%2C%25@a:4222":          "a:4222",
		"nats://user:sec@ret@a:4222":                           "a:4222",
		"nats://user:secret@a:4222, tls://secret@b:4222 ,c:1,": "a:4222,b:4222,c:1",
		"wss://user:secret@a,b:443":                            "a,b:443",
		"ws://a:80,wss://b:443":                                "a:80,b:443",
	} {
		config, err := ParseURL(urls)
		if err != nil {
			t.Errorf("%s: %v", urls, err)
		}
		if config.String() != shown {
			t.Errorf("%s: shown as %q, want %q", urls, config, shown)
		}
	}
}

func TestURLsThatTheClientRefuses(t *testing.T) {
	t.Parallel()
	for urls, want := range map[string]error{
		"":                                       errNoServer,
		"nats://":                                errNoServer,
		"nats://user:secret@":                    errNoServer,
		"nats://a:4222,nats://user:secret@:4222": errNoServer,
		" , ":                                    errNoServer,
		"nats://a:4222,ws://b:80":                errMixed,
		"a:4222,wss://user:secret@b:443":         errMixed,
		"nats://a:port":                          errMalformed,
		"nats://user:secret@a:port":              errMalformed,
		"nats://user:secret@a:65536":             errAddress,
		"nats://a:4222,nats://b:99999":           errAddress,
		"nats://a:99999,nats://b:4222":           errAddress,
		"nats://user:secret/more@a:4222":         errMalformed,
		"nats://user:1234/secret@a:4222":         errMalformed,
		"nats://user:1234?secret@a:4222":         errMalformed,
		"nats://user:1234#secret@a:4222":         errMalformed,
		"user:1234/secret@a:4222":                errMalformed,
		"user:secret://more@a:4222":              errMalformed,
		"nats://secret/more@a:4222":              errMalformed,
		"nats://user:100%secret@a:4222":          errMalformed,
		"nats://user:sec ret@a:4222":             errMalformed,
		"nats://user:sec\nret@a:4222":            errMalformed,
		"nats://user:secret@[::1:4222":           errMalformed,
		"nats://b:4222,nats://user:sec[ret@a":    errMalformed,
		"nats://user:se,cret@a:4222":             errMalformed,
		"://secret":                              errMalformed,
	} {
		config, err := ParseURL(urls)
		if err != want { //nolint:errorlint // these are all that there are, and none wraps what it was made of
			t.Errorf("%q: %v, want %v", urls, err, want)
		}
		if config.String() != "" {
			t.Errorf("%q: shown as %q", urls, config)
		}
	}
}
