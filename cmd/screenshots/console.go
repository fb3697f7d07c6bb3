package main

import (
	"context"
	"fmt"

	"github.com/winaity/billing/internal/browser"
)

// takeConsole takes pictures of the loop of an invoice. It is issued and paid
// before the browser is busy, so that the times are those of the service alone.
func takeConsole(ctx context.Context, page *browser.Page, url, dir string) error {
	c := client{url: url}
	invoice, err := c.post(ctx, "/v1/invoices", `{"customerId":"acme","amount":15000,"currency":"EUR"}`)
	if err != nil {
		return err
	}
	if _, err := c.post(ctx, "/v1/invoices/"+invoice+"/pay", ""); err != nil {
		return err
	}
	const width, height = 1440, 900
	if err := page.View(width, height, 1, "light"); err != nil {
		return err
	}
	if err := page.Visit(url + "/#" + invoice); err != nil {
		return err
	}
	if err := page.Await(patience, `document.querySelector(".took")?.innerText.includes("whole loop")`); err != nil {
		return err
	}
	for _, shot := range []struct {
		name          string
		width, height int64
		scale         float64
		scheme        string
	}{
		{"console-light.png", width, height, 1, "light"},
		{"console-dark.png", width, height, 1, "dark"},
		{"console-phone.png", 390, 844, 1, "light"},
	} {
		if err := page.View(shot.width, shot.height, shot.scale, shot.scheme); err != nil {
			return err
		}
		if _, err := browser.Eval[bool](page, scrollTo(shot.width < width)); err != nil {
			return err
		}
		if err := save(page, dir, shot.name); err != nil {
			return fmt.Errorf("%s: %w", shot.name, err)
		}
	}
	return nil
}

// scrollTo shows the loop where it is below the fold, else the top, with nothing
// in focus.
func scrollTo(loop bool) string {
	return fmt.Sprintf(`(() => {
		document.activeElement.blur();
		if (%t) document.querySelector("#loop").scrollIntoView(); else scrollTo(0, 0);
		return true;
	})()`, loop)
}
