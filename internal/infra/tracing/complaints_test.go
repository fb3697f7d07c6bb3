package tracing

import (
	"bytes"
	"context"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const token = "production-c2VjcmV0LXRva2Vu"

// What is checked before the SDK reads it should not bring it to say this. This
// is for what nobody has thought of.
func TestSDKTellsNoSecrets(t *testing.T) {
	for name, headers := range map[string]string{
		"no =":             "Authorization: Bearer " + token,
		"= in a token":     "Authorization: Bearer " + token + "==",
		"escape":           "Authorization=Bearer%zz" + token,
		"second entry":     "a=b," + token,
		"value of a field": "Authorization=Bearer%20" + token + "%0A.",
	} {
		for _, protocol := range []string{HTTP, GRPC} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
				t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
				t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
				said := use(t, Options{Traces: OTLP, Logs: OTLP, TracesProtocol: protocol, LogsProtocol: protocol, Secrets: []string{headers}})
				if strings.Contains(said, "c2VjcmV0") || !strings.Contains(said, "parse duration") || !strings.Contains(said, `"err":"strconv.Atoi`) {
					t.Error(said)
				}
			})
		}
	}
}

func TestCollectorTellsNoSecrets(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "who is "+r.Header.Get("Authorization")+"?", http.StatusUnauthorized)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	const headers = "x-tenant=production,Authorization=Bearer%20" + token
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
	said := use(t, Options{Traces: OTLP, Logs: OTLP, Secrets: []string{headers}})
	if strings.Contains(said, "c2VjcmV0") || strings.Count(said, "401 Unauthorized (body: who is xxxxx xxxxx?)") != 2 {
		t.Error(said)
	}
}

// use exports a span and a line, and returns what is logged of that.
func use(t *testing.T, o Options) (said string) {
	t.Helper()
	var lines text
	log := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))
	telemetry, err := Open(t.Context(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	_, span := telemetry.Spans.start(t.Context(), "work")
	span.End()
	slog.New(telemetry.Logs).InfoContext(t.Context(), "work")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	log.InfoContext(ctx, "closed", "error", telemetry.Close(ctx))
	return lines.String()
}

// text is a buffer that exporters write to while it is read.
type text struct {
	mu sync.Mutex
	bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Buffer.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Buffer.String()
}

func TestOpenClosesWhatItHadOpened(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", certificate(t))
	before := runtime.NumGoroutine()
	telemetry, err := Open(t.Context(), Options{Traces: Console, Logs: OTLP}, slog.New(slog.DiscardHandler))
	if telemetry != nil || err == nil || !strings.HasPrefix(err.Error(), "export logs: insecure HTTP endpoint") {
		t.Errorf("%v, %v", telemetry, err)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines are left of %d", n, before)
	}
}

// certificate returns the name of a file with a certificate in it.
func certificate(t *testing.T) (file string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	server.Close()
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
