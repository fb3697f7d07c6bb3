package check

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
)

// invoices checks that each invoice and its events tell the same story.
func (c *checker) invoices() {
	for _, i := range c.snapshot.Invoices {
		if !c.asked[i.CustomerID] || i.Mark != "" && !c.asked[i.Mark] {
			c.Violate(Contradiction, "nobody asked for invoice %s (%s, %s)", i.ID, i.CustomerID, i.Mark)
		}
		want := []string{invoice.TypeIssued}
		for _, s := range settlements {
			if s.status == i.Status {
				want = append(want, s.event)
			}
		}
		var got []string
		for n, e := range c.ofAggregate[i.ID] {
			got = append(got, e.Type)
			if e.Version != n+1 {
				c.Violate(Reordered, "event %d of invoice %s in the outbox has version %d", n+1, i.ID, e.Version)
			}
			d := data(e)
			if d.InvoiceNumber != i.Number || d.CustomerID != i.CustomerID || d.Amount != i.Amount || d.PaymentReference+d.Reason != "" && d.PaymentReference+d.Reason != i.Mark {
				c.Violate(Contradiction, "event %s says %s, but its invoice is %+v", e.ID, e.Data, i)
			}
		}
		c.compare("invoice "+i.ID, got, want)
		if i.Version != len(want) {
			c.Violate(Contradiction, "invoice %s is %s and has version %d", i.ID, i.Status, i.Version)
		}
	}
}

// documents checks that each settled invoice has exactly its document, with one
// event and one inbox row.
func (c *checker) documents() {
	for _, i := range c.snapshot.Invoices {
		var got, want []string
		for _, d := range c.documentsOf[i.ID] {
			got = append(got, d.Kind)
		}
		for _, s := range settlements {
			if s.status != i.Status {
				continue
			}
			want = []string{s.document}
			for _, e := range c.ofAggregate[i.ID] {
				if e.Type == s.event {
					c.consequence(i, s, e)
				}
			}
		}
		c.compare("the documents of invoice "+i.ID, got, want)
	}
	for _, d := range c.snapshot.Documents {
		if i, ok := c.invoice[d.InvoiceID]; !ok || i.Amount != d.Amount {
			c.Violate(Contradiction, "%s %s is of %d, but its invoice is %+v", d.Kind, d.Number, d.Amount, i)
		}
	}
}

// consequence checks what the event e, which settled invoice i, led to.
func (c *checker) consequence(i Invoice, s settlement, e Event) {
	switch n := c.inbox[InboxRow{s.handler, e.ID}]; {
	case n == 0 && len(c.documentsOf[i.ID]) > 0:
		c.Violate(Contradiction, "invoice %s has its document, but the inbox of %s does not know event %s", i.ID, s.handler, e.ID)
	case n > 1:
		c.Violate(Doubled, "the inbox of %s has event %s %d times", s.handler, e.ID, n)
	}
	for _, d := range c.documentsOf[i.ID] {
		var got []string
		for _, told := range c.ofAggregate[d.ID] {
			got = append(got, told.Type)
			if told.CausationID != e.ID || told.CorrelationID != e.CorrelationID {
				c.Violate(Contradiction, "event %s was caused by %q of %q, not by %q of %q",
					told.ID, told.CausationID, told.CorrelationID, e.ID, e.CorrelationID)
			}
			says := data(told)
			if says.InvoiceID != i.ID || says.InvoiceNumber != i.Number || says.CustomerID != i.CustomerID || says.Amount != i.Amount ||
				says.ReceiptNumber+says.CreditNoteNumber != d.Number || told.Version != 1 {
				c.Violate(Contradiction, "event %s says %s, but its document is %+v", told.ID, told.Data, d)
			}
		}
		c.compare(d.Kind+" "+d.ID, got, []string{s.documentType})
	}
}

// compare checks that what was found is what was wanted, each once.
func (c *checker) compare(of string, got, want []string) {
	for _, w := range want {
		switch n := count(got, w); {
		case n == 0:
			c.Violate(Lost, "%s: %s is missing", of, w)
		case n > 1:
			c.Violate(Doubled, "%s: %s is there %d times", of, w, n)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			c.Violate(Contradiction, "%s: %s should not be there", of, g)
		}
	}
}

func count(list []string, value string) int {
	n := 0
	for _, v := range list {
		if v == value {
			n++
		}
	}
	return n
}

// events checks that each event is of something that is there.
func (c *checker) events() {
	for _, e := range c.snapshot.Outbox {
		known := c.document[e.AggregateID]
		if e.AggregateType == invoice.AggregateType {
			_, known = c.invoice[e.AggregateID]
		}
		if !known {
			c.Violate(Contradiction, "event %s tells of %s %s, which is not there", e.ID, e.AggregateType, e.AggregateID)
		}
	}
}

// numbered is a number and when it was given.
type numbered struct {
	number  string
	ordinal int
	at      time.Time
}

// numbers checks that the numbers of each series and year are gapless, unique
// and chronological.
func (c *checker) numbers() {
	series := map[string][]numbered{}
	add := func(prefix, number string, at time.Time) {
		parts := strings.Split(number, "-")
		if len(parts) != 3 || parts[0] != prefix || parts[1] != strconv.Itoa(at.UTC().Year()) {
			c.Violate(Gap, "%s of %s is no number of its series and year", number, at)
			return
		}
		ordinal, err := strconv.Atoi(parts[2])
		if err != nil {
			c.Violate(Gap, "%s has no ordinal", number)
			return
		}
		key := parts[0] + "-" + parts[1]
		series[key] = append(series[key], numbered{number, ordinal, at})
	}
	for _, i := range c.snapshot.Invoices {
		add(string(invoice.Series), i.Number, i.IssuedAt)
	}
	prefixes := map[string]string{string(document.Receipt): string(document.ReceiptSeries), string(document.CreditNote): string(document.CreditNoteSeries)}
	for _, d := range c.snapshot.Documents {
		add(prefixes[d.Kind], d.Number, d.IssuedAt)
	}
	latest := map[string]numbered{} // by series, of any year
	for key, list := range series {
		slices.SortStableFunc(list, func(a, b numbered) int { return a.ordinal - b.ordinal })
		last := numbered{}
		for _, n := range list {
			switch {
			case n.ordinal == last.ordinal:
				c.Violate(Gap, "%s was given twice", n.number)
			case n.ordinal != last.ordinal+1:
				c.Violate(Gap, "%s: %d number(s) before it are missing", n.number, n.ordinal-last.ordinal-1)
			case !n.at.After(last.at):
				c.Violate(Gap, "%s was given at %s, the number before it at %s", n.number, n.at, last.at)
			}
			last = n
		}
		name, _, _ := strings.Cut(key, "-")
		if last.at.After(latest[name].at) {
			latest[name] = last
		}
	}
	for name, taken := range c.snapshot.Series {
		if last := latest[name].ordinal; last != taken {
			c.Violate(Gap, "series %s: %d is the last number taken, but %d the last given", name, taken, last)
		}
	}
}
