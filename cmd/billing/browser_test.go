package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/winaity/billing/internal/browser"
)

// page is the console of an instance, in a browser.
type page struct {
	*stack
	*browser.Page
}

// openConsole opens the console of an instance. The test fails if at its end
// the browser has reported anything that the test did not expect.
func openConsole(i *instance) *page {
	i.Helper()
	p, closeIt, err := browser.Open(i.Context())
	if err != nil {
		i.Fatalf("%v: `make test` installs it where it can", err)
	}
	i.Cleanup(closeIt)
	opened := &page{i.stack, p}
	i.Cleanup(func() { opened.allow() })
	i.must(p.View(1440, 900, 1, "light"))
	i.must(p.Visit(i.url + "/"))
	opened.see(`document.querySelector("#connection").textContent === "Live"`)
	return opened
}

// allow fails the test for each problem that the browser has reported so far
// and that has none of the given texts in it.
func (p *page) allow(texts ...string) {
	p.Helper()
	for _, problem := range p.TakeProblems() {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(problem, text) }) {
			p.Errorf("the browser reports: %s", problem)
		}
	}
}

// see waits until an expression of JavaScript is true.
func (p *page) see(expression string) {
	p.Helper()
	p.must(p.Await(patience, expression))
}

// seeText waits until an element shows a text.
func (p *page) seeText(selector, text string) {
	p.Helper()
	p.see(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, text))
}

func (p *page) click(selector string) {
	p.Helper()
	p.see(fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", selector))
	p.must(p.Click(selector))
}

// tabTo presses Tab until the element that a selector finds has the focus.
func (p *page) tabTo(selector string) {
	p.Helper()
	for range 60 {
		p.must(p.Press(kb.Tab))
		there, err := browser.Eval[bool](p.Page, fmt.Sprintf("document.activeElement.matches(%q)", selector))
		p.must(err)
		if there {
			return
		}
	}
	p.Fatalf("Tab does not lead to %s", selector)
}

// fill replaces what is in a field.
func (p *page) fill(selector, text string) {
	p.Helper()
	p.must(p.Click(selector))
	_, err := browser.Eval[bool](p.Page, fmt.Sprintf("document.querySelector(%q).select() ?? true", selector))
	p.must(err)
	p.must(p.Press(text))
}

// fits fails the test if the page is wider than the window.
func (p *page) fits() {
	p.Helper()
	wide, err := browser.Eval[string](p.Page, `[...document.querySelectorAll("body *")]
		.filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 0.5)
		.filter((e) => !e.closest(".sr, .skip"))
		.map((e) => e.tagName + "." + e.className).slice(0, 5).join(" ")`)
	p.must(err)
	scrolls, err := browser.Eval[bool](p.Page, "document.documentElement.scrollWidth > innerWidth")
	p.must(err)
	if scrolls || wide != "" {
		p.Errorf("the page is wider than the window: %s", wide)
	}
}

var demoConsole = map[string]string{"BILLING_CONSOLE": "demo"}

// The main path of the console, without a reload: issue, pay, receipt.
func TestConsoleShowsTheLoopAsItHappens(t *testing.T) {
	s := newStack(t)
	p := openConsole(s.serve(demoConsole))
	p.seeText("#invoices-empty", "No invoices yet")
	_, err := browser.Eval[bool](p.Page, "window.notReloaded = true")
	s.must(err)

	p.fill("[name=amount]", "12.345")
	p.click("#issue [type=submit]")
	p.seeText("#amount-error", "EUR has 2 decimals")
	p.allow()
	p.fill("[name=amount]", "0")
	p.fill("[name=customerId]", "no spaces, please")
	p.click("#issue [type=submit]")
	p.see(`document.querySelector("#amount-error").textContent && document.querySelector("#customerId-error").textContent`)
	p.see(`document.activeElement.name === "customerId"`)
	p.allow("422")

	p.fill("[name=customerId]", "acme")
	p.fill("[name=amount]", "1234.50")
	p.click("#issue [type=submit]")
	p.seeText("#invoices .row", "€1,234.50")
	p.seeText("#loop-body", "billing.invoice.issued")
	p.see(`location.hash.startsWith("#inv_")`)

	p.click(`#invoices [data-command="paid"]`)
	p.seeText("#invoices .row", "RCT-")
	for _, step := range []string{"billing.invoice.paid", "Delivery 1", "handled", "RCT-", "billing.receipt.issued", "caused by", "the whole loop"} {
		p.seeText("#loop-body", step)
	}
	p.see("window.notReloaded")

	// The address of an invoice shows it to another.
	address, err := browser.Eval[string](p.Page, "location.href")
	s.must(err)
	s.must(p.Visit("about:blank"))
	s.must(p.Visit(address))
	p.seeText("#loop-body", "billing.receipt.issued")
}

func TestConsoleCanBeUsedByKeyboard(t *testing.T) {
	s := newStack(t)
	p := openConsole(s.serve(demoConsole))
	p.see(`!document.querySelector("#issue").hidden`)
	p.tabTo(".skip")
	p.tabTo("#issue [name=customerId]")
	p.tabTo("#issue [name=amount]")
	p.tabTo("#issue [type=submit]")
	s.must(p.Press(kb.Enter))
	p.see(`document.querySelector("#toasts .toast")`)
	s.must(p.Press(kb.Escape))
	p.see(`!document.querySelector("#toasts .toast")`)

	p.tabTo("#invoices .row-link")
	s.must(p.Press(kb.Enter))
	p.seeText("#loop-body", "billing.invoice.issued")
	p.tabTo(`#invoices [data-command="paid"]`)
	s.must(p.Press(" "))
	p.see(`document.activeElement.matches("#invoices .row-link")`) // the button is gone, its focus is not
	p.seeText("#loop-body", "billing.receipt.issued")
}

func TestConsoleShowsAndReplaysDeadLetters(t *testing.T) {
	s := newStack(t)
	p := openConsole(s.serve(demoConsole))
	p.click(`[data-do="garbage"]`)
	p.seeText("#result", "Parked at the first delivery")
	p.seeText("#letters", "billing.invoice.paid")
	p.click("#letters summary")
	p.see(`document.querySelector("#letters pre").checkVisibility()`)

	p.click(`[data-do="unknown-invoice"]`)
	p.seeText("#result", "Parked after 5 deliveries")
	p.see(`document.querySelectorAll("#letters .letter").length === 2`)
	p.see(`document.querySelector("#letters .letter:nth-child(2) details").open`) // what was open stays so

	p.click(`#letters .letter .button`)
	p.seeText("#letters .letter", "replayed")
}

func TestConsoleExperiments(t *testing.T) {
	s := newStack(t)
	p := openConsole(s.serve(demoConsole))
	p.click(`[data-do="same"]`)
	p.seeText("#result", "Idempotent-Replayed")
	p.seeText("#result", "bytes, one invoice")
	p.allow()
	p.click(`[data-do="other"]`)
	p.seeText("#result", "Refused: a key stands for one request.")
	p.allow("422")

	p.click(`[data-do="relay"]`)
	p.seeText("#relay", "Relay paused")
	p.click(`[data-do="burst"]`)
	p.seeText("#result", "50 wait in the outbox")
	p.click("#relay button")
	p.seeText("#relay", "Relay running")
	p.seeText("#result", "all are in the stream")
}

func TestConsoleInReadModeHasNoButtons(t *testing.T) {
	s := newStack(t)
	i := s.serve(map[string]string{"BILLING_CONSOLE": "read"})
	id := i.issuePaid()
	i.awaitReceipt(id)
	open := i.issue()
	p := openConsole(i)
	p.see(`document.querySelectorAll("#invoices .row").length === 2`)
	s.must(p.Visit(i.url + "/#" + open))
	p.seeText("#loop-body", "billing.invoice.issued")
	buttons, err := browser.Eval[int](p.Page, `[...document.querySelectorAll("button:not(.copy), input, select")].filter((e) => e.checkVisibility()).length`)
	s.must(err)
	if buttons > 0 {
		t.Errorf("%d buttons or fields", buttons)
	}
}

func TestConsoleFitsAPhone(t *testing.T) {
	s := newStack(t)
	i := s.serve(demoConsole)
	id := i.issuePaid()
	i.awaitReceipt(id)
	i.issue()
	p := openConsole(i)
	s.must(p.View(360, 740, 2, "dark"))
	p.click(`[data-do="garbage"]`)
	p.click(`[data-do="same"]`)
	p.seeText("#letters", "billing.invoice.paid")
	s.must(p.Visit(i.url + "/#" + id))
	p.seeText("#loop-body", "billing.receipt.issued")
	p.click("#letters summary")
	p.fits()
	s.must(p.View(768, 1024, 1, "light"))
	p.fits()
}

func TestConsoleReconnectsAfterARestart(t *testing.T) {
	s := newStack(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	address := listener.Addr().String()
	s.must(listener.Close())
	env := map[string]string{"BILLING_CONSOLE": "demo", "BILLING_HTTP_ADDR": address}
	i := s.serve(env)
	id := i.issue()
	p := openConsole(i)
	s.must(p.Visit(i.url + "/#" + id))
	p.seeText("#loop-body", "billing.invoice.issued")

	if code := i.stop(); code != 0 {
		t.Errorf("the instance ended with code %d, an open console holding it up", code)
	}
	p.seeText("#connection", "Reconnecting")
	p.seeText("#banner", "The service is away")

	i = s.serve(env)
	p.seeText("#connection", "Live")
	p.see(`document.querySelector("#banner").hidden`)
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", "")
	p.seeText("#loop-body", "billing.receipt.issued")
	p.allow("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
}
