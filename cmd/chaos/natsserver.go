package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/devstack"
)

// natsCommand makes this program a NATS server: one in a process of its own can
// be killed.
const natsCommand = "nats-server"

// serveNATS is the program in that process.
func serveNATS(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(natsCommand, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says enough
	dir, port := flags.String("dir", "", "of the streams"), flags.Int("port", 0, "to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server, err := devstack.StartNATS(ctx, devstack.NATSOptions{Dir: *dir, Port: *port, SyncAlways: true})
	if err != nil {
		return err
	}
	if url := natsURL(*port); server.URL() != url {
		return fmt.Errorf("it serves %s instead of %s", server.URL(), url)
	}
	<-ctx.Done()
	return server.Stop(context.WithoutCancel(ctx))
}

func natsURL(port int) string { return fmt.Sprintf("nats://127.0.0.1:%d", port) }

// natsServer is that process.
type natsServer struct {
	dir  string
	port int
	proc *devstack.Process
}

// startNATS returns when the server answers.
func startNATS(ctx context.Context, dir string) (*natsServer, error) {
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	n := &natsServer{dir: dir, port: port}
	return n, n.Start(ctx)
}

// URL is the address of the server.
func (n *natsServer) URL() string { return natsURL(n.port) }

// Start starts the server again after Kill, on the same port.
func (n *natsServer) Start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, natsCommand, "-dir", n.dir, "-port", strconv.Itoa(n.port))
	n.proc, err = startLogged(cmd, n.dir+".log")
	if err != nil {
		return err
	}
	return eventually(ctx, "NATS answers", func() error {
		select {
		case <-n.proc.Done():
			return fatal{fmt.Errorf("it ended: %w; see %s", n.proc.Err(), n.dir+".log")}
		default:
		}
		nc, err := nats.Connect(n.URL(), nats.Timeout(time.Second))
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		_, err = js.AccountInfo(ctx)
		return err
	})
}

// Kill ends the server at once.
func (n *natsServer) Kill() error { return n.proc.Kill() }

// startLogged starts cmd with its output appended to a file.
func startLogged(cmd *exec.Cmd, path string) (*devstack.Process, error) {
	log, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd.Stdout, cmd.Stderr = log, log
	return devstack.StartProcess(cmd)
}
