package devstack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
)

// Below the range that Linux and macOS take the ports of outgoing connections
// from: a server that restarts must not find its port taken by one of those.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// FreePort returns the first free port at or after preferred, or any free port
// when preferred is 0.
func FreePort(preferred int) (int, error) {
	if preferred == 0 {
		preferred = lowestPort + rand.IntN(highestPort-lowestPort)
	}
	for port := preferred; port < preferred+100; port++ {
		if free(net.IPv4zero, port) && free(net.IPv4(127, 0, 0, 1), port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d", preferred, preferred+99)
}

func free(ip net.IP, port int) bool {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// onFreePort calls start with a free port, and again with another one when
// somebody else was faster to take it.
func onFreePort(preferred int, start func(port int) error) error {
	var err error
	for range 3 {
		port, portErr := FreePort(preferred)
		if portErr != nil {
			return portErr
		}
		if err = start(port); err == nil || !strings.Contains(err.Error(), "ddress already in use") {
			return err
		}
	}
	return err
}
