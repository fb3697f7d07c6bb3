package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/domain/fault"
)

// Observer is told of every request: its method, the pattern of the route that
// it took, and how it ended. The values of method and route are few, whatever
// clients send.
type Observer func(method, route string, status int, took time.Duration)

// What an Observer gets for methods that HTTP does not have, and for paths that
// the API does not have.
const (
	otherMethod = "OTHER"
	noRoute     = "none"
)

// exchange remembers how a request was answered.
type exchange struct {
	http.ResponseWriter
	began  time.Time
	status int         // 0: not answered yet
	leave  func()      // gives back the request's place, if it has one
	err    error       // what the answer was made from, if that is a problem
	facts  []slog.Attr // for the log, from note
}

// WriteHeader implements http.ResponseWriter. Once the answer is there, so is the
// place of the request, for another: its client may read as slowly as it likes.
func (e *exchange) WriteHeader(status int) {
	if e.status == 0 {
		e.status = status
		if e.leave != nil {
			e.leave()
		}
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (e *exchange) Write(p []byte) (int, error) {
	if e.status == 0 {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// note adds a fact to the line that is logged of the request that w answers, such
// as whom it is about.
func note(w http.ResponseWriter, fact slog.Attr) {
	if e, ok := w.(*exchange); ok {
		e.facts = append(e.facts, fact)
	}
}

// linger is for how long the rest of a body is taken off the connection once the
// request is answered: if it just ended, its client might never see the answer
// (RFC 9112, section 9.6).
const linger = time.Second

// report logs every request on one line, tells the observer of it, and has a span
// opened around it. It also sets the headers that all answers have, unless a
// handler knows better.
func report(log *slog.Logger, observe Observer, open Tracer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cache-Control", "no-store")
			if r.ContentLength != 0 {
				// Else the server waits for the rest of the body before it answers,
				// also where nobody wants one. Who has read it takes this away.
				w.Header().Set("Connection", "close")
				defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger)) }()
			}
			e := &exchange{ResponseWriter: w, began: time.Now()}
			r, end := trace(w, r, open)
			defer e.report(r, log, observe, end) // also if the connection is aborted
			next.ServeHTTP(e, r)
		})
	}
}

func (e *exchange) report(r *http.Request, log *slog.Logger, observe Observer, end func(string, int, error)) {
	took, route := time.Since(e.began), routeOf(r)
	observe(methodOf(r), route, e.status, took)
	attributes := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("route", route),
		slog.Int("status", e.status), slog.Duration("took", took),
	}
	attributes = append(attributes, e.facts...)
	if e.err != nil {
		// Bounded, since clients decide how much is wrong with a request.
		attributes = append(attributes, slog.String("error", fmt.Sprintf("%.8000s", e.err)))
	}
	log.LogAttrs(r.Context(), e.level(route), "request", attributes...)
	end(chi.RouteContext(r.Context()).RoutePattern(), e.status, e.err)
}

func methodOf(r *http.Request) string {
	if !slices.Contains(methods, r.Method) {
		return otherMethod
	}
	return r.Method
}

func routeOf(r *http.Request) string {
	if route := chi.RouteContext(r.Context()).RoutePattern(); route != "" {
		return route
	}
	return noRoute
}

// level keeps what machines ask every few seconds out of sight, and tells what
// we have to repair from what only waits for a dependency.
func (e *exchange) level(route string) slog.Level {
	switch {
	case e.status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case e.status >= http.StatusInternalServerError, e.err != nil && e.status < http.StatusBadRequest:
		return slog.LevelError
	case !strings.HasPrefix(route, apiPrefix) && route != noRoute:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// rescue answers for a handler that panics.
func rescue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(value)
			}
			err := fmt.Errorf("panic: %v\n%s", value, debug.Stack())
			if e, ok := w.(*exchange); ok && e.status != 0 {
				// Half an answer is out. Only a broken connection tells the
				// client that it is not the whole one.
				e.err = err
				panic(http.ErrAbortHandler)
			}
			writeProblem(w, r, err)
		}()
		next.ServeHTTP(w, r)
	})
}

// deadline bounds a request: the work on it, which must heed its context, and the
// reading of its body.
func deadline(timeout time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), timeout)
			defer cancel()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// bound turns requests away while as many as limit have a place, until they are
// answered: what waits in here helps nobody, and its client may find an instance
// that is free.
func bound(limit int) func(http.Handler) http.Handler {
	running := make(chan struct{}, limit)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case running <- struct{}{}:
				leave := sync.OnceFunc(func() { <-running })
				defer leave()
				if e, ok := w.(*exchange); ok {
					e.leave = leave
				}
				next.ServeHTTP(w, r)
			default:
				writeProblem(w, r, fault.New(fault.Unavailable, codeTooManyRequests, "The service is busy."))
			}
		})
	}
}
