package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/domain/invoice"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// Invariants 2 and 4, from the tables and the stream: an audit finds nothing
// where nothing is wrong, and whatever was done behind the service's back.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	var ids []string
	for range 3 {
		ids = append(ids, i.issuePaid())
		i.awaitReceipt(ids[len(ids)-1])
	}
	cancelled := i.issue()
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+cancelled+"/cancel", "")
	s.eventually("the credit note", func() bool { return i.get(cancelled).invoice().CreditNote != nil })
	s.eventually("all is published", func() bool { return s.count("outbox WHERE published_at IS NULL") == 0 })
	if code, output := s.command("audit", "--grace", "0s"); code != exitOK || strings.Contains(output, "DIFFERS") {
		t.Fatalf("nothing is wrong, but: %d\n%s", code, output)
	}

	var receipt string
	s.must(s.pool.QueryRow(t.Context(), "SELECT id FROM documents WHERE invoice_id = $1", ids[1]).Scan(&receipt))
	for _, c := range []struct {
		name, harm, mend, want string
	}{
		{
			"a gap", "UPDATE invoices SET number = replace(number, '-0002', '-0009')", "UPDATE invoices SET number = replace(number, '-0009', '-0002')",
			"-0009",
		},
		{
			"a number out of order", "UPDATE invoices SET issued_at = now() WHERE id = '" + ids[0] + "'", "UPDATE invoices i SET issued_at = (SELECT (payload->>'timestamp')::timestamptz FROM outbox WHERE aggregate_id = i.id AND type = 'billing.invoice.issued')",
			"is number",
		},
		{
			"no receipt", "UPDATE documents SET invoice_id = '" + cancelled + "' WHERE id = '" + receipt + "'", "UPDATE documents SET invoice_id = '" + ids[1] + "' WHERE id = '" + receipt + "'",
			ids[1],
		},
		{
			"another amount", "UPDATE documents SET amount = 7 WHERE id = '" + receipt + "'", "UPDATE documents SET amount = 15000 WHERE id = '" + receipt + "'",
			ids[1],
		},
		{
			"an event that the stream does not have", "UPDATE outbox SET id = 'evt_forged' WHERE aggregate_id = '" + receipt + "'", "DELETE FROM outbox WHERE id = 'evt_forged'",
			"evt_forged",
		},
	} {
		_, err := s.pool.Exec(t.Context(), c.harm)
		s.must(err)
		if code, output := s.command("audit", "--grace", "0s"); code != exitFailure || !strings.Contains(output, c.want) {
			t.Errorf("%s: %d\n%s", c.name, code, output)
		}
		_, err = s.pool.Exec(t.Context(), c.mend)
		s.must(err)
	}
	if code, output := s.command("audit", "--grace", "0s", "--json"); code != exitOK {
		t.Errorf("all was mended, but: %d\n%s", code, output)
	}
}

func TestRepublishHealsAStreamThatLostData(t *testing.T) {
	s := newStack(t)
	i := s.serve(map[string]string{"BILLING_OUTBOX_POLL_INTERVAL": "50ms"})
	id := i.issuePaid()
	i.awaitReceipt(id)
	s.eventually("three events are published", func() bool { return s.count("outbox WHERE published_at IS NOT NULL") == 3 })
	s.must(s.js.DeleteStream(t.Context(), natsbus.EventsStream))
	s.eventually("the stream is back", func() bool { _, err := s.js.Stream(t.Context(), natsbus.EventsStream); return err == nil })
	if code, output := s.command("audit", "--grace", "0s"); code != exitFailure || !strings.Contains(output, "not in the stream") {
		t.Errorf("audit of a stream that lost data: %d\n%s", code, output)
	}

	if code, output := s.command("outbox", "republish", "--since", "1h", "--dry-run"); code != exitOK || !strings.HasPrefix(output, "3 events") {
		t.Errorf("dry run: %d\n%s", code, output)
	}
	if events := s.events(); len(events) != 0 {
		t.Errorf("a dry run published %d events", len(events))
	}
	if code, output := s.command("outbox", "republish", "--since", "1h"); code != exitOK || !strings.HasPrefix(output, "3 events") {
		t.Errorf("republish: %d\n%s", code, output)
	}
	s.eventually("the stream has them again", func() bool { return len(s.events()) == 3 })
	s.eventually("and the outbox says so", func() bool { return s.count("outbox WHERE published_at IS NULL") == 0 })
	if code, output := s.command("audit", "--grace", "0s"); code != exitOK {
		t.Errorf("audit after republishing: %d\n%s", code, output)
	}
	s.settled()
	if n := s.count("documents"); n != 1 {
		t.Errorf("%d receipts for an event that came again", n)
	}
	for _, since := range []string{"", "yesterday", "2999-01-01T00:00:00Z", "-1h"} {
		if code, _ := s.command("outbox", "republish", "--since", since); code != exitBadUsage {
			t.Errorf("--since %q: exit code %d", since, code)
		}
	}
}

func TestOutboxStatusShowsTheBacklog(t *testing.T) {
	s := newStack(t)
	s.must(s.nats.Stop(t.Context()))
	i := s.serve(nil)
	i.issuePaid()
	code, output := s.command("outbox", "status", "--json")
	var status struct {
		Unpublished      int
		OldestAgeSeconds float64
		Blocked          int
	}
	s.must(json.Unmarshal([]byte(output), &status))
	if code != exitOK || status.Unpublished != 2 || status.OldestAgeSeconds <= 0 || status.Blocked != 0 {
		t.Errorf("outbox status: %d\n%s", code, output)
	}
	if metrics := string(i.expect(http.StatusOK, http.MethodGet, "/metrics", "").body); !strings.Contains(metrics, "billing_outbox_unpublished_events 2\n") {
		t.Errorf("the backlog is not among the metrics:\n%s", metrics)
	}
	s.must(s.nats.Start(t.Context()))
	s.eventually("the backlog is gone", func() bool {
		code, output := s.command("outbox", "status")
		return code == exitOK && strings.HasPrefix(output, "unpublished  0\n")
	})
}

func TestLettersAreSelectedAndDropped(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	i.awaitReceipt(i.issuePaid())
	s.publish(invoice.TypePaid, "a", []byte("not JSON"))
	s.publish(invoice.TypeCancelled, "b", []byte("not JSON"))
	s.publish(invoice.TypeCancelled, "c", []byte("not JSON"))
	s.eventually("three letters", func() bool { return len(s.letters()) == 3 })
	for _, c := range []struct {
		args   []string
		lines  int
		remain int
	}{
		{[]string{"drop", "--type", invoice.TypeCancelled, "--dry-run"}, 2, 3},
		{[]string{"drop", "--type", invoice.TypeCancelled}, 2, 1},
		{[]string{"drop", "--type", invoice.TypeCancelled}, 0, 1},
		{[]string{"drop", "--all"}, 1, 0},
	} {
		code, output := s.command(append([]string{"dlq"}, c.args...)...)
		if code != exitOK || strings.Count(output, "\n") != c.lines || len(s.letters()) != c.remain {
			t.Errorf("dlq %v: %d, %d letters remain\n%s", c.args, code, len(s.letters()), output)
		}
	}
}
