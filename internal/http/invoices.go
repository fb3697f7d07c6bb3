package httpapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/version"
)

// invoices has the handlers of /v1/invoices. Each parses the request into the
// types of the domain, which say what fits, and then asks the application.
type invoices struct {
	guard   *idempotency.Guard[invoicing.Tx]
	queries *invoicing.Queries
	now     func() time.Time
}

// issue is POST /v1/invoices.
func (h *invoices) issue(w http.ResponseWriter, r *http.Request, raw []byte) error {
	key, err := keyOf(r, raw)
	if err != nil {
		return err
	}
	body, err := parseObject(raw)
	if err != nil {
		return err
	}
	cmd := invoicing.Issue{
		CustomerID: required(body, "customerId", text(invoice.ParseCustomerID)),
		Total: money.New(
			required(body, "amount", integer(invoice.ParseAmount)),
			required(body, "currency", text(money.ParseCurrency)),
		),
		DueDate: optional(body, "dueDate", text(invoice.ParseDate)),
	}
	// By itself, a due date that is over is for the domain to refuse: after the
	// kept answer was looked for, since a retry past midnight gets its first
	// answer too. Here it completes the list of what does not fit.
	if !body.fit() && !cmd.DueDate.IsZero() {
		if err := invoice.CheckDueDate(cmd.DueDate, h.now()); err != nil {
			body.reject("dueDate", err.Error())
		}
	}
	if err := body.err(); err != nil {
		return err
	}
	return h.run(w, r, key, cmd, created)
}

// pay is POST /v1/invoices/{id}/pay.
func (h *invoices) pay(w http.ResponseWriter, r *http.Request, raw []byte) error {
	c, err := readChange(w, r, raw)
	if err != nil {
		return err
	}
	cmd := invoicing.Pay{
		InvoiceID: c.id,
		Reference: optional(c.body, "paymentReference", text(invoice.ParsePaymentReference)),
		Expect:    c.expect,
	}
	if err := c.body.err(); err != nil {
		return err
	}
	return h.run(w, r, c.key, cmd, changed)
}

// cancel is POST /v1/invoices/{id}/cancel.
func (h *invoices) cancel(w http.ResponseWriter, r *http.Request, raw []byte) error {
	c, err := readChange(w, r, raw)
	if err != nil {
		return err
	}
	cmd := invoicing.Cancel{
		InvoiceID: c.id,
		Reason:    optional(c.body, "reason", text(invoice.ParseReason)),
		Expect:    c.expect,
	}
	if err := c.body.err(); err != nil {
		return err
	}
	return h.run(w, r, c.key, cmd, changed)
}

// show is GET /v1/invoices/{id}.
func (h *invoices) show(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(w, r)
	if err != nil {
		return err
	}
	conditions, err := conditionsOf(r.Header)
	if err != nil {
		return err
	}
	view, err := h.queries.Invoice(r.Context(), id)
	if err != nil {
		return err
	}
	if err := (version.Precondition{In: conditions.In}).Check(view.Version); err != nil {
		return err
	}
	w.Header().Set("ETag", etag(view.Version))
	w.Header().Set("Cache-Control", "private, no-cache")
	if conditions.NotIn.Has(view.Version) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeJSON(w, http.StatusOK, NewInvoiceJSON(view))
}

// defaultPage is the number of invoices on a page if the client does not say.
const defaultPage = 20

// list is GET /v1/invoices.
func (h *invoices) list(w http.ResponseWriter, r *http.Request) error {
	query, err := queryFields(r.URL)
	if err != nil {
		return err
	}
	filter := invoicing.Filter{
		Status:     optional(query, "status", invoice.ParseStatus),
		CustomerID: optional(query, "customerId", invoice.ParseCustomerID),
	}
	limit := optional(query, "limit", parseLimit)
	if limit == 0 {
		limit = defaultPage
	}
	var after *invoicing.Position
	if cursor, ok := query.take("cursor"); ok {
		if after, err = decodeCursor(cursor); err != nil {
			return err
		}
	}
	if err := query.err(); err != nil {
		return err
	}
	page, err := h.queries.List(r.Context(), filter, after, limit)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, no-cache")
	return writeJSON(w, http.StatusOK, toPageJSON(page))
}

// run runs a command, once for each key, and sends its answer.
func (h *invoices) run(w http.ResponseWriter, r *http.Request, key idempotency.Request, cmd invoicing.Command, render func(invoicing.View) (idempotency.Answer, error)) error {
	answer, err := h.guard.Do(r.Context(), idempotency.Command[invoicing.Tx]{
		Name:    cmd.Name(),
		Request: key,
		Run: func(tx invoicing.Tx) (idempotency.Answer, error) {
			view, err := cmd.Do(tx, h.now())
			if err != nil {
				return idempotency.Answer{}, err
			}
			return render(view)
		},
	})
	if err != nil {
		return err
	}
	if id, made := strings.CutPrefix(answer.Header["Location"], invoicesPath); made {
		note(w, slog.String("invoiceId", id))
	}
	writeAnswer(w, answer)
	return nil
}

// change is what requests that change an invoice have in common.
type change struct {
	id     string
	key    idempotency.Request
	expect version.Precondition
	body   *fields[json.RawMessage]
}

func readChange(w http.ResponseWriter, r *http.Request, raw []byte) (change, error) {
	id, err := pathID(w, r)
	if err != nil {
		return change{}, err
	}
	key, err := keyOf(r, raw)
	if err != nil {
		return change{}, err
	}
	expect, err := conditionsOf(r.Header)
	if err != nil {
		return change{}, err
	}
	body, err := parseOptionalObject(raw)
	if err != nil {
		return change{}, err
	}
	return change{id, key, expect, body}, nil
}

// pathID returns the id in the path, and notes it. One that cannot be an
// invoice's is no business of the database, nor of the log.
func pathID(w http.ResponseWriter, r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !invoiceID.MatchString(id) {
		return "", invoicing.ErrInvoiceNotFound
	}
	note(w, slog.String("invoiceId", id))
	return id, nil
}

func parseLimit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > invoicing.MaxPage {
		return 0, fmt.Errorf("must be an integer from 1 to %d", invoicing.MaxPage)
	}
	return n, nil
}

const invoicesPath = "/v1/invoices/"

// created is the answer to a command that made the invoice.
func created(v invoicing.View) (idempotency.Answer, error) {
	answer, err := changed(v)
	if err != nil {
		return idempotency.Answer{}, err
	}
	answer.Status = http.StatusCreated
	answer.Header["Location"] = invoicesPath + v.ID
	return answer, nil
}

// changed is the answer to a command on an invoice that was there.
func changed(v invoicing.View) (idempotency.Answer, error) {
	body, err := json.Marshal(NewInvoiceJSON(v))
	if err != nil {
		return idempotency.Answer{}, fmt.Errorf("encode invoice: %w", err)
	}
	return idempotency.Answer{
		Status: http.StatusOK,
		Header: map[string]string{"Content-Type": jsonMediaType, "ETag": etag(v.Version)},
		Body:   body,
	}, nil
}
