package natsbus

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// Config is where NATS is, and with which credentials. ParseURL makes it.
type Config struct {
	urls  string
	hosts []string // without what is secret
}

// String returns the servers without their credentials, for logs.
func (c Config) String() string { return strings.Join(c.hosts, ",") }

var (
	errNoServer  = errors.New("must name a server, such as nats://host:port")
	errMalformed = errors.New("is not a well-formed URL; special characters in a user name or password have to be percent-encoded")
	errAddress   = errors.New("must have a host, and a port up to 65535")
	errMixed     = errors.New("must not have websocket URLs together with others")
	errRefused   = errors.New("is not what the NATS client takes")
)

// ParseURL takes what the client takes, a server or several separated by commas,
// and touches no network. Its error is one line that follows what the URL is
// called by, such as "must …", and tells nothing of the credentials.
func ParseURL(urls string) (Config, error) {
	c := Config{urls: urls}
	for server := range strings.SplitSeq(urls, ",") {
		server = strings.TrimSpace(server)
		if server == "" {
			continue
		}
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		// An @ elsewhere is that of credentials with a "/", "?" or "#" in them:
		// their first half would be taken for the host.
		if err != nil || strings.Contains(u.Opaque+u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@") {
			return Config{}, errMalformed // the parser's own message quotes the URL
		}
		if u.Hostname() == "" {
			return Config{}, errNoServer // the client would take this host
		}
		c.hosts = append(c.hosts, u.Host)
	}
	if len(c.hosts) == 0 {
		return Config{}, errNoServer
	}
	if err := check(urls); err != nil {
		return Config{}, err
	}
	return c, nil
}

// check asks the client, which refuses a URL before it dials.
func check(urls string) error {
	dialer := &dryDialer{}
	_, err := nats.Connect(urls, nats.SetCustomDialer(dialer), nats.SkipHostLookup())
	switch {
	case errors.Is(err, errNotDialed):
		return dialer.refused
	case errors.Is(err, nats.ErrMixingWebsocketSchemes):
		return errMixed
	default:
		return errRefused // the client's own message may quote the URL
	}
}

// dryDialer dials nothing, but refuses what nobody could dial.
type dryDialer struct{ refused error }

var errNotDialed = errors.New("not dialed")

// Dial implements nats.CustomDialer.
func (d *dryDialer) Dial(_, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		d.refused = errAddress
	}
	return nil, errNotDialed
}
