package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/infra/tracing"
)

const otlpToken = "c2VjcmV0LXRva2Vu"

// What OpenTelemetry's SDK would ignore, panic over or quote is a problem of the
// configuration; what it takes is none.
func TestTelemetryIsCheckedBeforeTheSDKReadsIt(t *testing.T) {
	const (
		aList    = "must be a list"
		aURL     = "must be a URL"
		aFile    = "must name a file that can be read"
		aNumber  = "must be a whole number from"
		aRatio   = "must be a number from 0 to 1"
		aBoolean = "must be true or false"
	)
	certificate, key := newKeyPair(t)
	_, otherKey := newKeyPair(t)
	absent := filepath.Join(t.TempDir(), "absent.pem")
	signals := []string{"", "TRACES_", "LOGS_"}
	none, otlpLogs := []string{""}, "OTEL_LOGS_EXPORTER=otlp"
	for _, c := range []struct {
		signals  []string // that * stands for
		settings string   // NAME=value; several separated by ;
		problem  string   // of the first, or nothing
	}{
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS=", ""},
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS=authorization=Bearer%20" + otlpToken + ", x-tenant = a=b ", ""},
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS=Authorization: Bearer " + otlpToken, aList},
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS=Authorization: Bearer " + otlpToken + "==", aList},
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS=authorization=Bearer%zz" + otlpToken, aList},
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS=a=b," + otlpToken, "must be a list name=value,name=value with percent-encoded values, which entry 2 is not"},
		{signals, "OTEL_EXPORTER_OTLP_*HEADERS==" + otlpToken, aList},

		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=", ""},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=https://collector:4318/otlp", ""},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=http://[::1]:4318", ""},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=collector:4318", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=127.0.0.1:4318", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=ftp://collector", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=http://", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=http://collector:port", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=http://one,http://two", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=https://user:" + otlpToken + "@collector", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=https://user:%zz" + otlpToken + "@collector", aURL},
		{signals, "OTEL_EXPORTER_OTLP_*ENDPOINT=https://collector?key=" + otlpToken, aURL},
		{signals[:2], "OTEL_EXPORTER_OTLP_*ENDPOINT= http://collector:4318 ", ""},
		{none, "OTEL_EXPORTER_OTLP_ENDPOINT= http://collector:4318 ;" + otlpLogs, aURL},
		{signals[:2], "OTEL_EXPORTER_OTLP_*ENDPOINT=dns:///collector:4317;OTEL_EXPORTER_OTLP_PROTOCOL=grpc", ""},
		{signals[:2], "OTEL_EXPORTER_OTLP_*ENDPOINT=unix:///run/collector.sock;OTEL_EXPORTER_OTLP_PROTOCOL=grpc", ""},
		{none, "OTEL_EXPORTER_OTLP_ENDPOINT=dns:///collector:4317;OTEL_EXPORTER_OTLP_PROTOCOL=grpc;" + otlpLogs, aURL},
		{none, "OTEL_EXPORTER_OTLP_ENDPOINT=user:" + otlpToken + "@collector:4317;OTEL_EXPORTER_OTLP_PROTOCOL=grpc", aURL},

		{signals, "OTEL_EXPORTER_OTLP_*TIMEOUT=0", ""},
		{signals, "OTEL_EXPORTER_OTLP_*TIMEOUT=10000", ""},
		{signals, "OTEL_EXPORTER_OTLP_*TIMEOUT=10s", aNumber},
		{signals, "OTEL_EXPORTER_OTLP_*TIMEOUT=-1", aNumber},
		{signals, "OTEL_EXPORTER_OTLP_*TIMEOUT=9223372036855", aNumber}, // overflows
		{signals, "OTEL_EXPORTER_OTLP_*COMPRESSION=gzip", ""},
		{signals, "OTEL_EXPORTER_OTLP_*COMPRESSION=zstd", "must be none or gzip"},
		{signals, "OTEL_EXPORTER_OTLP_*INSECURE=TRUE", ""},
		{signals, "OTEL_EXPORTER_OTLP_*INSECURE=yes", aBoolean},
		{signals, "OTEL_EXPORTER_OTLP_*PROTOCOL=http/json", "must be http/protobuf or grpc"},

		{signals, "OTEL_EXPORTER_OTLP_*CERTIFICATE=" + certificate, ""},
		{signals, "OTEL_EXPORTER_OTLP_*CERTIFICATE=" + absent, aFile + ": open " + absent + ": no such file"},
		{signals, "OTEL_EXPORTER_OTLP_*CERTIFICATE=/", aFile + ": read /: is a directory"},
		{signals, "OTEL_EXPORTER_OTLP_*CERTIFICATE=" + key, "names " + key + ", which holds no certificate in PEM"},
		{signals, "OTEL_EXPORTER_OTLP_*CLIENT_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_*CLIENT_KEY=" + key, ""},
		{signals, "OTEL_EXPORTER_OTLP_*CLIENT_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_*CLIENT_KEY=" + otherKey, "and OTEL_EXPORTER_OTLP_*CLIENT_KEY are no pair: tls: private key does not match"},
		{signals, "OTEL_EXPORTER_OTLP_*CLIENT_CERTIFICATE=" + certificate, "and OTEL_EXPORTER_OTLP_*CLIENT_KEY are no pair"},
		{signals, "OTEL_EXPORTER_OTLP_*CLIENT_KEY=" + absent, aFile},
		{signals, "OTEL_EXPORTER_OTLP_*CLIENT_KEY=-----BEGIN PRIVATE KEY-----" + otlpToken, "must name a file, not hold what is in it"},

		{signals[:2], "OTEL_EXPORTER_OTLP_*CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_ENDPOINT=http://collector", "is for TLS, which OTEL_EXPORTER_OTLP_ENDPOINT turns off"},
		{none, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_ENDPOINT=https://collector;OTEL_EXPORTER_OTLP_INSECURE=true", "is for TLS"},
		{none, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_ENDPOINT=http://collector;OTEL_EXPORTER_OTLP_INSECURE=false", ""},
		{none, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_ENDPOINT=http://collector;OTEL_EXPORTER_OTLP_PROTOCOL=grpc", ""},
		{none, "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://collector;" + otlpLogs, "is for TLS"},
		{none, "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE=" + certificate + ";OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=https://collector;OTEL_EXPORTER_OTLP_INSECURE=true;" + otlpLogs, ""},

		{none, "OTEL_TRACES_SAMPLER=AlwaysOn", "must be always_on or always_off or"},
		{none, "OTEL_TRACES_SAMPLER= Always_On ", ""},
		{none, "OTEL_TRACES_SAMPLER=parentbased_traceidratio;OTEL_TRACES_SAMPLER_ARG=0.25", ""},
		{none, "OTEL_TRACES_SAMPLER_ARG=25%;OTEL_TRACES_SAMPLER=traceidratio", aRatio},
		{none, "OTEL_TRACES_SAMPLER_ARG=25;OTEL_TRACES_SAMPLER=traceidratio", aRatio},
		{none, "OTEL_TRACES_SAMPLER_ARG=NaN;OTEL_TRACES_SAMPLER=traceidratio", aRatio},
		{none, "OTEL_TRACES_SAMPLER_ARG=0.25", aRatio + ", and needs OTEL_TRACES_SAMPLER"},

		{none, "OTEL_BSP_MAX_QUEUE_SIZE=-1", aNumber},                  // a panic
		{none, "OTEL_BSP_MAX_QUEUE_SIZE=9000000000000000000", aNumber}, // a panic
		{none, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=-1", aNumber},           // a panic
		{none, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4096", aNumber},
		{none, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4096;OTEL_BSP_MAX_QUEUE_SIZE=4096", ""},
		{none, "OTEL_BLRP_MAX_QUEUE_SIZE=100", ""},
		{none, "OTEL_BLRP_MAX_QUEUE_SIZE=many", aNumber},
		{none, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=0", aNumber},
		{none, "OTEL_BSP_SCHEDULE_DELAY=0", aNumber}, // without a pause
		{none, "OTEL_BLRP_SCHEDULE_DELAY=1s", aNumber},
		{none, "OTEL_BSP_EXPORT_TIMEOUT=0", ""},
		{none, "OTEL_BSP_EXPORT_TIMEOUT= 5", aNumber},
		{none, "OTEL_BLRP_EXPORT_TIMEOUT=0", aNumber},

		{[]string{"SPAN_", "LOGRECORD_", "EVENT_", "LINK_", ""}, "OTEL_*ATTRIBUTE_COUNT_LIMIT=-1", ""},
		{[]string{"SPAN_", "LOGRECORD_", "EVENT_", "LINK_", ""}, "OTEL_*ATTRIBUTE_COUNT_LIMIT=few", aNumber},
		{[]string{"SPAN_", "LOGRECORD_", ""}, "OTEL_*ATTRIBUTE_VALUE_LENGTH_LIMIT=1k", aNumber},
		{[]string{"EVENT", "LINK"}, "OTEL_SPAN_*_COUNT_LIMIT=1.5", aNumber},

		{none, "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=prod,host.name=a%2Cb,team=", ""},
		{none, "OTEL_RESOURCE_ATTRIBUTES=prod", aList},
		{none, "OTEL_RESOURCE_ATTRIBUTES=a=b,", "must be a list name=value,name=value with percent-encoded values, which entry 2 is not"},
		{none, "OTEL_RESOURCE_ATTRIBUTES=a=100%", aList},

		{none, "OTEL_SDK_DISABLED=1", aBoolean},
		{none, "OTEL_SDK_DISABLED=false", ""},
		{none, "OTEL_EXPORTER_OTLP_HEADERS=" + otlpToken + ";OTEL_SDK_DISABLED=True", ""}, // nobody reads it
	} {
		for _, signal := range c.signals {
			settings := strings.ReplaceAll(c.settings, "*", signal)
			t.Run(settings, func(t *testing.T) {
				environment := map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "none"}
				if signal == "LOGS_" {
					environment["OTEL_LOGS_EXPORTER"] = "otlp"
				}
				for setting := range strings.SplitSeq(settings, ";") {
					name, value, _ := strings.Cut(setting, "=")
					environment[name] = value
				}
				config, err := loadConfig(func(name string) string { return environment[name] }, needs{})
				if c.problem == "" {
					if err != nil {
						t.Fatal(err)
					}
					if said := openTelemetry(t, environment, config.Telemetry); said != "" {
						t.Errorf("the SDK says %s", said)
					}
					return
				}
				name, _, _ := strings.Cut(settings, "=")
				want := name + " " + strings.ReplaceAll(c.problem, "*", signal)
				if err == nil || !strings.Contains(err.Error(), "billing: "+want) {
					t.Fatalf("got %v, want %s", err, want)
				}
				if strings.Contains(err.Error(), otlpToken) {
					t.Error("quotes the token")
				}
			})
		}
	}
}

func TestTelemetryProblemsEndTheStartAndTellNoSecrets(t *testing.T) {
	s := &stack{T: t}
	environment := s.exporting(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":       "http://billing:" + otlpToken + "@127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_HEADERS":        "Authorization: Bearer " + otlpToken + "==",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS": otlpToken,
		"OTEL_EXPORTER_OTLP_CERTIFICATE":    "/absent.pem",
		"OTEL_LOGS_EXPORTER":                "otlp",
		"OTEL_BSP_MAX_QUEUE_SIZE":           "-1",
		"DATABASE_URL":                      "postgres://127.0.0.1:1/billing",
		"NATS_URL":                          "nats://127.0.0.1:1",
		"REDIS_URL":                         "redis://127.0.0.1:1",
	})
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"serve"}, func(name string) string { return environment[name] }, io.Discard, &stderr)
	if said := stderr.String(); code != exitBadUsage || strings.Contains(said, otlpToken) || strings.Count(said, "\n") != 6 {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// openTelemetry returns what the SDK has against an environment.
func openTelemetry(t *testing.T, environment map[string]string, o tracing.Options) (said string) {
	t.Helper()
	(&stack{T: t}).exporting(environment)
	var log bytes.Buffer
	telemetry, err := tracing.Open(t.Context(), o, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		return err.Error()
	}
	if err := telemetry.Close(t.Context()); err != nil {
		return err.Error()
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "created") {
			said += line
		}
	}
	return said
}

// newKeyPair returns the names of files with a certificate and its key.
func newKeyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(t.TempDir(), "client.pem"), filepath.Join(t.TempDir(), "client.key")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
