package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(children[name]())
	}
	os.Exit(devstack.Run(m))
}

// patience bounds every wait of a test: only a fault outlasts it.
const patience = 30 * time.Second

// stack is a database, a NATS and a Redis of the test's own. Services are
// started on it by run, as main does.
type stack struct {
	*testing.T
	database string // URL
	pool     *pgxpool.Pool
	nats     *devstack.NATS
	redis    *devstack.Redis
	js       jetstream.JetStream
}

func newStack(t *testing.T) *stack {
	t.Helper()
	return newStackOn(t, devstack.DatabaseForTest(t, migrateForTest), devstack.RedisForTest(t))
}

// newStackOn is newStack with a given database and Redis.
func newStackOn(t *testing.T, database string, cache *devstack.Redis) *stack {
	t.Helper()
	s := &stack{T: t, database: database, nats: devstack.NATSForTest(t), redis: cache}
	pool, err := pgxpool.New(t.Context(), s.database)
	s.must(err)
	t.Cleanup(pool.Close)
	s.pool = pool
	nc, err := nats.Connect(s.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	s.must(err)
	t.Cleanup(nc.Close)
	s.js, err = jetstream.New(nc)
	s.must(err)
	return s
}

func migrateForTest(ctx context.Context, url string) error {
	config, err := postgres.ParseURL(url)
	if err == nil {
		_, err = postgres.Migrate(ctx, config, sql.Migrations())
	}
	return err
}

func (s *stack) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// eventually waits until what is true.
func (s *stack) eventually(what string, isTrue func() bool) {
	s.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !isTrue() {
		select {
		case <-deadline.C:
			s.Fatalf("gave up waiting: %s", what)
		case <-again.C:
		}
	}
}

// count returns what `SELECT count(*) FROM <from>` does.
func (s *stack) count(from string, args ...any) (n int) {
	s.Helper()
	s.must(s.pool.QueryRow(context.Background(), "SELECT count(*) FROM "+from, args...).Scan(&n))
	return n
}

func (s *stack) environment(overrides map[string]string) func(string) string {
	env := s.variables(overrides)
	return func(name string) string { return env[name] }
}

func (s *stack) variables(overrides map[string]string) map[string]string {
	env := map[string]string{
		"DATABASE_URL":             s.database,
		"NATS_URL":                 s.nats.URL(),
		"REDIS_URL":                s.redis.URL(),
		"BILLING_HTTP_ADDR":        "127.0.0.1:0",
		"BILLING_CONSUMER_BACKOFF": "20ms",
		"BILLING_LOG_LEVEL":        "debug",
	}
	maps.Copy(env, overrides)
	return env
}

// instance is a running `billing serve`.
type instance struct {
	*stack
	url  string
	log  *logBuffer
	end  context.CancelFunc // what SIGTERM does
	code chan int
}

// serve starts an instance and waits until it takes requests. The test stops it.
func (s *stack) serve(overrides map[string]string) *instance {
	s.Helper()
	return s.serveBy(func(ctx context.Context, log io.Writer) int {
		return run(ctx, []string{"serve"}, s.environment(overrides), io.Discard, log)
	})
}

// serveBy starts an instance as run does.
func (s *stack) serveBy(run func(ctx context.Context, log io.Writer) int) *instance {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{stack: s, log: &logBuffer{}, end: cancel, code: make(chan int, 1)}
	go func() {
		i.code <- run(ctx, i.log)
		close(i.code)
	}()
	s.Cleanup(func() {
		i.stop()
		if s.Failed() {
			s.Logf("the log of %s:\n%s", i.url, i.log)
		}
	})
	i.awaitAddress()
	return i
}

func (i *instance) awaitAddress() {
	i.Helper()
	i.eventually("the instance serves", func() bool {
		for line := range strings.Lines(i.log.String()) {
			var entry struct{ Msg, Addr string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
				i.url = "http://" + entry.Addr
				return true
			}
		}
		select {
		case code := <-i.code:
			i.Fatalf("the instance ended with code %d:\n%s", code, i.log)
		default:
		}
		return false
	})
}

// stop ends the instance as SIGTERM does and returns its exit code, once.
func (i *instance) stop() int {
	i.end()
	return <-i.code
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// answer is a response whose body was read.
type answer struct {
	*http.Response
	body []byte
}

// invoice returns the body as an invoice.
func (a answer) invoice() (i struct {
	ID, InvoiceNumber, Status string
	Version                   int
	Receipt, CreditNote       *struct{ ID, Number string }
}) {
	_ = json.Unmarshal(a.body, &i) // what is no invoice has no id
	return i
}

// problem returns the body as a problem document.
func (a answer) problem() (p struct {
	Type, Code, CorrelationID, TraceID string
	Status                             int
	Errors                             []struct{ Pointer, Detail string }
}) {
	_ = json.Unmarshal(a.body, &p) // what is no problem has no code
	return p
}

// call sends a request; header is name, value, name, value…
func (i *instance) call(method, path, body string, header ...string) answer {
	i.Helper()
	a, err := i.try(method, path, body, header...)
	i.must(err)
	return a
}

func (i *instance) try(method, path, body string, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, i.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for n := 0; n+1 < len(header); n += 2 {
		request.Header.Set(header[n], header[n+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil {
		i.checkAnswer(request, body, response, content)
	}
	return answer{response, content}, err
}

// expect is call for a request that must have the given status.
func (i *instance) expect(status int, method, path, body string, header ...string) answer {
	i.Helper()
	a := i.call(method, path, body, header...)
	if a.StatusCode != status {
		i.Fatalf("%s %s %s: got %s, want %d\n%s", method, path, body, a.Status, status, a.body)
	}
	return a
}

const anInvoice = `{"customerId":"cust_42","amount":15000,"currency":"EUR"}`

// issue issues an invoice and returns its id.
func (i *instance) issue(header ...string) string {
	i.Helper()
	return i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, header...).invoice().ID
}

// issuePaid issues an invoice and pays it.
func (i *instance) issuePaid(header ...string) string {
	i.Helper()
	id := i.issue(header...)
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", "", header...)
	return id
}

// get returns the invoice with the given id.
func (i *instance) get(id string) answer {
	i.Helper()
	return i.expect(http.StatusOK, http.MethodGet, "/v1/invoices/"+id, "")
}

// awaitReceipt waits for the receipt of an invoice and returns its number.
func (i *instance) awaitReceipt(id string) (number string) {
	i.Helper()
	i.eventually("the receipt of "+id, func() bool {
		receipt := i.get(id).invoice().Receipt
		if receipt != nil {
			number = receipt.Number
		}
		return receipt != nil
	})
	return number
}

// stored is a message in a stream.
type stored struct {
	raw *jetstream.RawStreamMsg
	messaging.Envelope
}

// events returns the messages of the events stream, oldest first.
func (s *stack) events() (events []stored) {
	s.Helper()
	for _, raw := range s.messages(natsbus.EventsStream, "billing.>") {
		e, err := messaging.Open(raw.Subject, raw.Data)
		if err == nil {
			events = append(events, stored{raw, e})
			s.checkEvent(events[len(events)-1])
		}
	}
	return events
}

// messages returns the messages of a stream under a subject, oldest first.
func (s *stack) messages(stream, subject string) (messages []*jetstream.RawStreamMsg) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	str, err := s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	s.must(err)
	for sequence := uint64(1); ; {
		msg, err := str.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return messages
		}
		messages = append(messages, msg)
		sequence = msg.Sequence + 1
	}
}

// letters returns the dead letters, oldest first.
func (s *stack) letters() (letters []messaging.DeadLetter) {
	s.Helper()
	for _, raw := range s.messages(natsbus.DeadLetterStream, natsbus.DeadLetterSubject) {
		var letter messaging.DeadLetter
		s.checkLetter(raw)
		s.must(json.Unmarshal(raw.Data, &letter))
		letters = append(letters, letter)
	}
	return letters
}

// publish puts a message on the events stream, behind the outbox's back.
func (s *stack) publish(subject, id string, payload []byte) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.js.Publish(ctx, subject, payload, jetstream.WithMsgID(id))
	s.must(err)
}

// command runs one of the operator's commands and returns what it printed.
func (s *stack) command(args ...string) (code int, output string) {
	s.Helper()
	var out bytes.Buffer
	code = run(s.Context(), args, s.environment(nil), &out, &out)
	return code, out.String()
}

func (s *stack) flushRedis() {
	s.Helper()
	s.must(s.redisClient().FlushAll(s.Context()).Err())
}

func (s *stack) redisClient() *redis.Client {
	s.Helper()
	options, err := redis.ParseURL(s.redis.URL())
	s.must(err)
	client := redis.NewClient(options)
	s.Cleanup(func() { s.must(client.Close()) })
	return client
}
