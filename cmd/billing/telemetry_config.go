package main

import (
	"crypto/tls"
	"crypto/x509"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/winaity/billing/internal/infra/tracing"
)

// otlp is what the names of the exporters' variables begin with.
const otlp = "OTEL_EXPORTER_OTLP_"

// checkSDK checks what the SDK of OpenTelemetry reads by itself, by its rules:
// what it cannot use it ignores, panics over, or writes into the log with the
// secrets in it.
func (e *environment) checkSDK(o tracing.Options) {
	const most = math.MaxInt64 / int64(time.Millisecond)
	for _, name := range []string{
		"ATTRIBUTE_COUNT", "ATTRIBUTE_VALUE_LENGTH", "EVENT_ATTRIBUTE_COUNT", "LINK_ATTRIBUTE_COUNT",
		"SPAN_ATTRIBUTE_COUNT", "SPAN_ATTRIBUTE_VALUE_LENGTH", "SPAN_EVENT_COUNT", "SPAN_LINK_COUNT",
		"LOGRECORD_ATTRIBUTE_COUNT", "LOGRECORD_ATTRIBUTE_VALUE_LENGTH",
	} {
		e.integer("OTEL_"+name+"_LIMIT", math.MinInt32, math.MaxInt32) // a negative one is no limit
	}
	e.integer("OTEL_BSP_EXPORT_TIMEOUT", 0, most)
	e.integer("OTEL_BLRP_EXPORT_TIMEOUT", 1, most)
	for _, prefix := range []string{"OTEL_BSP_", "OTEL_BLRP_"} {
		e.integer(prefix+"SCHEDULE_DELAY", 1, most)
		queue := e.number(prefix+"MAX_QUEUE_SIZE", 2048, 1_000_000) // allocated at once
		e.number(prefix+"MAX_EXPORT_BATCH_SIZE", 512, max(512, queue))
	}
	e.list("OTEL_RESOURCE_ATTRIBUTES", "")

	// The exporter of traces trims what it reads, that of logs does not.
	forTraces := func(name string) bool { return o.Logs == tracing.None || strings.Contains(name, "TRACES_") }
	trimmed := environment{getenv: func(name string) string {
		if forTraces(name) {
			return strings.TrimSpace(e.getenv(name))
		}
		return e.getenv(name)
	}}
	trimmed.sampler()
	for _, prefix := range []string{otlp, otlp + "TRACES_", otlp + "LOGS_"} {
		trimmed.endpoint(prefix+"ENDPOINT", o.TracesProtocol == tracing.GRPC && forTraces(prefix))
		trimmed.list(prefix+"HEADERS", "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		trimmed.integer(prefix+"TIMEOUT", 0, most)
		trimmed.oneOf(prefix+"COMPRESSION", "none", "gzip")
		trimmed.boolean(prefix + "INSECURE")
		trimmed.certificates(prefix + "CERTIFICATE")
		trimmed.keyPair(prefix+"CLIENT_CERTIFICATE", prefix+"CLIENT_KEY")
	}
	if o.Traces == tracing.OTLP && o.TracesProtocol == tracing.HTTP {
		trimmed.needsTLS("TRACES_", "ENDPOINT", "TRACES_ENDPOINT", "INSECURE", "TRACES_INSECURE")
	}
	if o.Logs == tracing.OTLP && o.LogsProtocol == tracing.HTTP {
		trimmed.needsTLS("LOGS_", "INSECURE", "LOGS_INSECURE", "ENDPOINT", "LOGS_ENDPOINT")
	}
	e.problems = append(e.problems, slices.Compact(trimmed.problems)...)
}

func (e *environment) sampler() {
	const name, arg = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	kind, value := strings.ToLower(e.getenv(name)), e.getenv(arg)
	kinds := []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
	if kind != "" && !slices.Contains(kinds, kind) {
		e.problem(name, "must be %s, not %q", strings.Join(kinds, " or "), kind)
	}
	if ratio, err := strconv.ParseFloat(value, 64); value != "" && (kind == "" || err != nil || !(ratio >= 0 && ratio <= 1)) {
		e.problem(arg, "must be a number from 0 to 1, and needs %s", name)
	}
}

// endpoint takes all targets of gRPC, such as dns:///host:port, if it may. It
// never quotes the value: it may hold a password.
func (e *environment) endpoint(name string, grpc bool) {
	value := e.getenv(name)
	u, err := url.Parse(value)
	if value != "" && (err != nil || strings.ContainsAny(value, "@?#,") || !grpc && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https")) {
		e.problem(name, "must be a URL like http://host:port (http or https), without user and query: they would not be sent")
	}
}

// list takes name=value,name=value with percent-encoded values. If characters are
// given, names are made of them. It never quotes anything: it may be a token.
func (e *environment) list(name, characters string) {
	entries := e.getenv(name)
	if strings.TrimSpace(entries) == "" {
		return
	}
	for i, entry := range strings.Split(entries, ",") {
		key, value, found := strings.Cut(entry, "=")
		key = strings.TrimSpace(key)
		if _, err := url.PathUnescape(value); !found || err != nil || key == "" || characters != "" && strings.Trim(key, characters) != "" {
			e.problem(name, "must be a list name=value,name=value with percent-encoded values, which entry %d is not", i+1)
			return
		}
	}
}

func (e *environment) integer(name string, least, most int64) {
	value := e.getenv(name)
	if n, err := strconv.ParseInt(value, 10, 64); value != "" && (err != nil || n < least || n > most) {
		e.problem(name, "must be a whole number from %d to %d, not %q", least, most, value)
	}
}

func (e *environment) boolean(name string) {
	if value := e.getenv(name); value != "" && !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		e.problem(name, "must be true or false, not %q", value)
	}
}

func (e *environment) certificates(name string) {
	if pem := e.file(name); pem != nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		e.problem(name, "names %s, which holds no certificate in PEM", e.getenv(name))
	}
}

func (e *environment) keyPair(certificateName, keyName string) {
	certificate, key := e.file(certificateName), e.file(keyName)
	if certificate == nil && key == nil {
		return
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		e.problem(certificateName, "and %s are no pair: %v", keyName, err)
	}
}

// file returns what is in the file that a variable names, or nil.
func (e *environment) file(name string) []byte {
	path := e.getenv(name)
	if path == "" {
		return nil
	}
	if strings.Contains(path, "-----BEGIN") {
		e.problem(name, "must name a file, not hold what is in it")
		return nil
	}
	content, err := os.ReadFile(path) //nolint:gosec // which file is for the operator to say
	if err != nil {
		e.problem(name, "must name a file that can be read: %v", err)
		return nil
	}
	return content
}

// needsTLS checks that what has certificates has TLS: over HTTP the exporter of a
// signal does not start otherwise. The last of decisive that is set decides.
func (e *environment) needsTLS(signal string, decisive ...string) {
	last := func(names ...string) (set string) {
		for _, name := range names {
			if e.getenv(otlp+name) != "" {
				set = otlp + name
			}
		}
		return set
	}
	certificate, decides := last("CERTIFICATE", "CLIENT_CERTIFICATE", signal+"CERTIFICATE", signal+"CLIENT_CERTIFICATE"), last(decisive...)
	if value := strings.ToLower(e.getenv(decides)); certificate != "" && (value == "true" || strings.HasPrefix(value, "http:")) {
		e.problem(certificate, "is for TLS, which %s turns off", decides)
	}
}
