// Package browser drives a headless Chromium, for tests and screenshots of the
// pages that the service serves.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/winaity/billing/internal/devstack"
)

const (
	startTimeout = time.Minute
	pollInterval = 20 * time.Millisecond
)

// Page is a tab in a browser of its own.
type Page struct {
	ctx      context.Context //nolint:containedctx // the browser is this context
	problems problems
}

// Open starts a browser that ends with close, and at the latest with ctx. It
// fails with devstack.ErrMissing if there is none to start.
func Open(ctx context.Context) (page *Page, closeIt func(), err error) {
	path, err := devstack.FindChromium()
	if err != nil {
		return nil, nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], // with disable-dev-shm-usage, for containers
		chromedp.ExecPath(path),
		chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(startTimeout),
		chromedp.Flag("lang", "en-US"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to start for root with it
	}
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	ctx, closeTab := chromedp.NewContext(ctx)
	closeIt = func() {
		closeTab()
		closeBrowser()
	}
	page = &Page{ctx: ctx}
	if err := page.problems.collect(ctx); err != nil {
		closeIt()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return page, closeIt, nil
}

// TakeProblems returns what has gone wrong in the page since it was last asked:
// errors on its console, exceptions, requests that failed, answers from 400 on,
// and what its policy forbade.
func (p *Page) TakeProblems() []string { return p.problems.take() }

// Visit opens an address and waits until it is loaded.
func (p *Page) Visit(url string) error { return p.do(chromedp.Navigate(url)) }

// View sets the size of the page in CSS pixels, the pixels of the device for
// each of them, and the colour scheme, light or dark.
func (p *Page) View(width, height int64, scale float64, scheme string) error {
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: scale,
	})
	if err != nil {
		return err
	}
	_, err = chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
	return err
}

// Eval returns the value of an expression of JavaScript, or of the promise that
// it is. The value must not be null or undefined.
func Eval[T any](p *Page, expression string) (T, error) {
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return value, fmt.Errorf("%s: %w", expression, err)
	}
	return value, nil
}

// Await waits, not longer than patience, until an expression of JavaScript is
// true.
func (p *Page) Await(patience time.Duration, expression string) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		isTrue, err := Eval[bool](p, "Boolean("+expression+")")
		if err == nil && isTrue {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return errors.Join(fmt.Errorf("not within %s: %s", patience, expression), err)
		}
	}
}

// Click clicks the first element that a CSS selector finds, with the mouse.
func (p *Page) Click(selector string) error { return p.do(chromedp.Click(chromedp.CSS(selector))) }

// Press types keys where the focus is; package kb of chromedp names the special
// ones.
func (p *Page) Press(keys string) error { return p.do(chromedp.KeyEvent(keys)) }

// Screenshot returns what the page shows as a PNG.
func (p *Page) Screenshot() (png []byte, err error) {
	return chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
}

func (p *Page) do(action chromedp.Action[chromedp.Void]) error { return chromedp.Do(p.ctx, action) }
