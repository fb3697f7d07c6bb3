package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/winaity/billing/cmd/chaos/internal/check"
)

const (
	clients = 8
	// think is how long a client waits on average between two invoices.
	think = 120 * time.Millisecond
	// maxInvoices bounds what one client issues, however long the run.
	maxInvoices = 20_000
)

// load is the clients of the service and what they remember.
type load struct {
	seed  uint64
	bases []string // URLs of the instances
	http  *http.Client
	began time.Time

	mu           sync.Mutex
	avoided      []time.Time // until when to try the other instances first
	ledger       []*check.Command
	answered     int           // commands
	lastAnswer   time.Time     // to any client
	longestQuiet time.Duration // without an answer to any client
	longestWait  time.Duration // from the first attempt at a command to its answer
}

func newLoad(seed uint64, bases []string) *load {
	now := time.Now()
	return &load{
		seed:  seed,
		bases: bases,
		http: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true},
		},
		avoided:    make([]time.Time, len(bases)),
		began:      now,
		lastAnswer: now,
	}
}

// run sends commands until ctx ends. Those that have no answer by then are left
// without one.
func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	for client := range uint64(clients) {
		all.Go(func() {
			for n := uint64(0); n < maxInvoices && ctx.Err() == nil; n++ {
				l.story(ctx, client, n)
			}
		})
	}
	all.Wait()
}

// story issues one invoice and perhaps settles it. What it asks for follows from
// the seed alone.
func (l *load) story(ctx context.Context, client, n uint64) {
	random := rand.New(rand.NewPCG(l.seed, client<<32|n))
	name := fmt.Sprintf("%d-%d-%d", l.seed, client, n)
	issue := &check.Command{Key: "issue-" + name, Kind: check.Issue, Amount: 1 + random.Int64N(1_000_000)}
	settling := random.IntN(100)
	settlings := map[check.CommandKind]*rand.Rand{check.Pay: fork(random), check.Cancel: fork(random)}
	answer, ok := l.send(ctx, fork(random), issue)
	if !ok || !answer.OK() {
		return
	}
	var both sync.WaitGroup
	settle := func(kind check.CommandKind) {
		command := &check.Command{Key: string(kind) + "-" + name, Kind: kind, InvoiceID: answer.Invoice().ID}
		both.Go(func() { l.send(ctx, settlings[kind], command) })
	}
	// Some invoices stay as they are, and for some payment and cancellation race.
	if settling < 65 {
		settle(check.Pay)
	}
	if settling >= 50 && settling < 85 {
		settle(check.Cancel)
	}
	both.Wait()
	pause(ctx, time.Duration(random.Int64N(2*int64(think))))
}

func fork(random *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(random.Uint64(), 0)) }

// send enters the command into the ledger and sends it until it has its answer
// or ctx ends. Sometimes two clients send the same command at once, and
// sometimes one sends it again although it has its answer.
func (l *load) send(ctx context.Context, random *rand.Rand, command *check.Command) (answer check.Answer, ok bool) {
	l.mu.Lock()
	l.ledger = append(l.ledger, command)
	l.mu.Unlock()
	first := time.Now()
	var twin sync.WaitGroup
	if random.IntN(8) == 0 {
		other := fork(random)
		twin.Go(func() { l.insist(ctx, other, command) })
	}
	answer, ok = l.insist(ctx, random, command)
	if ok {
		l.note(first)
		if random.IntN(8) == 0 {
			l.insist(ctx, random, command)
		}
	}
	twin.Wait()
	return answer, ok
}

// insist tries until there is a final answer or ctx ends.
func (l *load) insist(ctx context.Context, random *rand.Rand, command *check.Command) (check.Answer, bool) {
	// An impatient client gives up while its request is still being worked on.
	timeouts := []time.Duration{200 * time.Millisecond, 2 * time.Second, 6 * time.Second}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 400*time.Millisecond) {
		instance := l.pick(random)
		answer, err := l.attempt(ctx, l.bases[instance], timeouts[random.IntN(len(timeouts))], command)
		if err == nil && l.record(command, answer) {
			return answer, true
		}
		if err != nil {
			l.avoid(instance)
		}
		if !pause(ctx, wait+time.Duration(random.Int64N(int64(wait)))) {
			return check.Answer{}, false
		}
	}
}

// pick returns a random instance, as a load balancer does: not one that did not
// answer a moment ago, if there is another.
func (l *load) pick(random *rand.Rand) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := random.IntN(len(l.bases))
	for n := range l.bases {
		instance := (first + n) % len(l.bases)
		if time.Now().After(l.avoided[instance]) {
			return instance
		}
	}
	return first
}

func (l *load) avoid(instance int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.avoided[instance] = time.Now().Add(time.Second)
}

func (l *load) attempt(ctx context.Context, base string, timeout time.Duration, command *check.Command) (check.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path, body := content(command)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		return check.Answer{}, err
	}
	// The transport must not send it again by itself: attempts are counted here.
	request.GetBody = nil
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", command.Key)
	request.Header.Set("X-Correlation-ID", command.Key)
	// All attempts at a command are one trace, so that its answers are the same.
	trace := sha256.Sum256([]byte(command.Key))
	request.Header.Set("Traceparent", fmt.Sprintf("00-%x-%x-01", trace[:16], trace[16:24]))
	l.mu.Lock()
	command.Attempts++
	l.mu.Unlock()
	response, err := l.http.Do(request)
	if err != nil {
		return check.Answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return check.Answer{Status: response.StatusCode, Body: string(content)}, err
}

// content returns the path and the body of a command. The key marks the effect.
func content(command *check.Command) (path, body string) {
	switch command.Kind {
	case check.Pay:
		return "/v1/invoices/" + command.InvoiceID + "/pay", fmt.Sprintf(`{"paymentReference":%q}`, command.Key)
	case check.Cancel:
		return "/v1/invoices/" + command.InvoiceID + "/cancel", fmt.Sprintf(`{"reason":%q}`, command.Key)
	default:
		return "/v1/invoices", fmt.Sprintf(`{"customerId":%q,"amount":%d,"currency":"EUR"}`, command.Key, command.Amount)
	}
}

// record enters an answer into the ledger if it is final.
func (l *load) record(command *check.Command, answer check.Answer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case answer.Passing():
		return false
	case answer.Status >= http.StatusInternalServerError:
		command.Failures = append(command.Failures, answer)
		return false
	}
	command.Answers = append(command.Answers, answer)
	return true
}

// note measures how long the answer took that has just come.
func (l *load) note(first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.answered++
	l.longestWait = max(l.longestWait, now.Sub(first))
	l.longestQuiet = max(l.longestQuiet, now.Sub(l.lastAnswer))
	l.lastAnswer = now
}

// progress returns how many commands were sent, and how many were answered.
func (l *load) progress() (commands, answered int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ledger), l.answered
}

// askAgain sends every command once more and waits for each answer.
func (l *load) askAgain(ctx context.Context) error {
	next := make(chan *check.Command)
	var all sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(l.seed, uint64(client)))
		all.Go(func() {
			for command := range next {
				l.insist(ctx, random, command)
			}
		})
	}
	for _, command := range l.ledger {
		select {
		case next <- command:
		case <-ctx.Done():
		}
	}
	close(next)
	all.Wait()
	return ctx.Err()
}
