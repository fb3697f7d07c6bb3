package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	collectlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans and log lines by OTLP over HTTP. Read it after the
// service has stopped, which sends it the last of them.
type collector struct {
	mu    sync.Mutex
	spans []span
	logs  []*logspb.LogRecord
}

// span is an exported span and the name of who exported it.
type span struct {
	*tracepb.Span
	service string
}

// newCollector returns a collector, and the environment in which a service
// exports to it.
func (s *stack) newCollector() (*collector, map[string]string) {
	s.Helper()
	c := &collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(_ http.ResponseWriter, r *http.Request) {
		var request collecttraces.ExportTraceServiceRequest
		s.receive(r, &request)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, exported := range scope.GetSpans() {
					c.spans = append(c.spans, span{exported, value(resource.GetResource().GetAttributes(), "service.name")})
				}
			}
		}
	})
	mux.HandleFunc("POST /v1/logs", func(_ http.ResponseWriter, r *http.Request) {
		var request collectlogs.ExportLogsServiceRequest
		s.receive(r, &request)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.GetResourceLogs() {
			for _, scope := range resource.GetScopeLogs() {
				c.logs = append(c.logs, scope.GetLogRecords()...)
			}
		}
	})
	server := httptest.NewServer(mux)
	s.Cleanup(server.Close)
	return c, s.exporting(map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": server.URL,
	})
}

// exporting puts the variables into the environment of this process, where the
// SDK reads them, and returns them for the service.
func (s *stack) exporting(variables map[string]string) map[string]string {
	for name, value := range variables {
		s.Setenv(name, value)
	}
	return variables
}

func (s *stack) receive(r *http.Request, request proto.Message) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil {
		s.Errorf("what was exported cannot be read: %v", err)
	}
}

// trace returns the spans of a trace, by the time they began.
func (c *collector) trace(id string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var trace []span
	for _, one := range c.spans {
		if hex.EncodeToString(one.GetTraceId()) == id {
			trace = append(trace, one)
		}
	}
	slices.SortFunc(trace, func(a, b span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	return trace
}

// drawn returns the spans below a parent as an indented list, a span on a line
// with its kind and its name, and those that it has not drawn.
func drawn(trace []span, parent string, depth int) (list string, rest []span) {
	var children []span
	for _, one := range trace {
		if hex.EncodeToString(one.GetParentSpanId()) == parent {
			children = append(children, one)
		} else {
			rest = append(rest, one)
		}
	}
	for _, child := range children {
		var below string
		below, rest = drawn(rest, hex.EncodeToString(child.GetSpanId()), depth+1)
		kind := strings.ToLower(strings.TrimPrefix(child.GetKind().String(), "SPAN_KIND_"))
		list += fmt.Sprintf("%s%s: %s\n%s", strings.Repeat("  ", depth), kind, child.GetName(), below)
	}
	return list, rest
}

// named returns the spans with the given name.
func named(spans []span, name string) (found []span) {
	for _, one := range spans {
		if one.GetName() == name {
			found = append(found, one)
		}
	}
	return found
}

// value returns an attribute as text; empty if it is not there.
func value(attributes []*commonpb.KeyValue, key string) string {
	for _, a := range attributes {
		if a.GetKey() != key {
			continue
		}
		if n, ok := a.GetValue().GetValue().(*commonpb.AnyValue_IntValue); ok {
			return fmt.Sprint(n.IntValue)
		}
		return a.GetValue().GetStringValue()
	}
	return ""
}
