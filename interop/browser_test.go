package interop_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// stopBrowser ends the browser, if it was started, and waits for it.
var stopBrowser = func() {}

// startBrowser starts one headless browser for all tests; each has a profile of its own in
// it. Its resolver knows only this machine, so that no page can reach anything else.
var startBrowser = sync.OnceValues(func() (context.Context, error) {
	binary := os.Getenv("INTEROP_BROWSER")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && binary == "" {
			binary = found
		}
	}
	if binary == "" {
		return nil, errors.New("a browser is needed: chromium, chromium-browser or google-chrome")
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(),
		chromedp.WSURLReadTimeout(patience),
		chromedp.ExecPath(binary), // with a fresh profile directory, removed at the end
		chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.Flag("password-store", "basic"),
	)
	root, cancelRoot := chromedp.NewContext(allocator)
	stopBrowser = func() { cancelRoot(); cancelAllocator() }
	if err := chromedp.Do(root, chromedp.Navigate("about:blank")); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	return root, nil
})

// tab is a page of a browser profile.
type tab struct {
	t   *testing.T
	ctx context.Context
	env *environment
}

// newProfile opens a tab in a browser profile without a past.
func (e *environment) newProfile(t *testing.T) *tab {
	t.Helper()
	root, err := startBrowser()
	if err != nil {
		t.Fatal(err)
	}
	return openTab(t, e, root, chromedp.WithNewBrowserContext())
}

// newTab opens one more tab in the profile of this one.
func (p *tab) newTab() *tab {
	p.t.Helper()
	return openTab(p.t, p.env, p.ctx)
}

func openTab(t *testing.T, e *environment, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	p := &tab{t: t, ctx: ctx, env: e}
	t.Cleanup(func() {
		if t.Failed() {
			p.explain()
		}
		cancel()
	})
	// Not through do: the tab lives as long as the context of its first step.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800)); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	// The application's pages allow no script; the tests' own shall fetch from them.
	if _, err := chromedp.Call(ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	return p
}

func (p *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p *tab) open(path string) {
	p.t.Helper()
	p.do("opening "+path, chromedp.Navigate(p.env.app.origin+path))
}

// view is what a page looks like at one moment.
type view struct {
	URL    string
	Status int // of the answer that brought the page
	Ready  bool
	Acted  bool // we have clicked on this page already
	Login  bool // the server's login page
	Allow  bool // its consent page
	End    bool // its logout page
	Text   string
}

func (v view) String() string {
	text := strings.Join(strings.Fields(v.Text), " ")
	return fmt.Sprintf("%d %s %.200q", v.Status, v.URL, text)
}

// look reads the page. It fails while the page is about to change.
func (p *tab) look() (view, error) {
	s := p.env.kind
	exists := func(selector string) string {
		return "document.querySelector(" + strconv.Quote(selector) + ") !== null"
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[view](`({
		URL: location.href,
		Status: performance.getEntriesByType("navigation")[0]?.responseStatus ?? 0,
		Ready: document.readyState === "complete",
		Acted: window.interopActed === true,
		Login: `+exists(s.password)+`,
		Allow: `+exists(s.allow)+`,
		End: `+exists(s.endSession)+`,
		Text: document.body?.innerText ?? "",
	})`))
}

// click presses what the selector finds, as a person does, once for each page.
func (p *tab) click(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`window.interopActed = true`)); err != nil {
		p.t.Fatalf("before the click on %s: %v", selector, err)
	}
	p.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// waitFor looks at the page until it is complete and as wanted.
func (p *tab) waitFor(what string, wanted func(view) bool) view {
	p.t.Helper()
	var last view
	eventually(p.t, what, func() (bool, string) {
		v, err := p.look()
		if err != nil {
			return false, err.Error()
		}
		last = v
		return v.Ready && wanted(v), v.String()
	})
	return last
}

// atApp says whether the page is the application's own, and complete.
func (p *tab) atApp(v view) bool { return strings.HasPrefix(v.URL, p.env.app.origin+"/") }

// answers is what a person does on the server's pages.
type answers struct {
	deny bool
}

// journey is which pages a person saw on the way back to the application.
type journey struct{ login, consent bool }

// passServer goes through the server's pages until the application is back.
func (p *tab) passServer(a answers) (view, journey) {
	p.t.Helper()
	s := p.env.kind
	var seen journey
	end := p.waitFor("coming back from the authorization server", func(v view) bool {
		switch {
		case p.atApp(v):
			return true
		case v.Acted:
		case v.Login:
			seen.login = true
			p.env.picture(p, "server-login")
			p.do("filling in the login", chromedp.SendKeys(chromedp.CSS(s.user), "alice"),
				chromedp.SendKeys(chromedp.CSS(s.password), "wonderland"))
			p.click(s.signIn)
		case v.Allow:
			seen.consent = true
			p.env.picture(p, "server-consent")
			if a.deny {
				p.click(s.deny)
			} else {
				p.click(s.allow)
			}
		}
		return false
	})
	return end, seen
}

// signIn opens the protected page, signs in, consents, and sees the subject.
func (p *tab) signIn() journey {
	p.t.Helper()
	p.open("/profile")
	v, seen := p.passServer(answers{})
	p.wantProfile(v)
	return seen
}

func (p *tab) wantProfile(v view) {
	p.t.Helper()
	if u, err := url.Parse(v.URL); err != nil || u.Path != "/profile" || v.Status != 200 || !strings.Contains(v.Text, "alice") {
		p.t.Fatalf("not the protected page of alice: %s", v)
	}
}

// fetched is an answer that a script on the page got.
type fetched struct {
	Status     int
	Redirected bool
	Body       string
}

// fetch lets a script on the page ask for the path n times at once.
func (p *tab) fetch(path string, n int) []fetched {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[[]fetched](`Promise.all(Array.from({length: `+strconv.Itoa(n)+`}, async () => {
		const r = await fetch(`+strconv.Quote(path)+`);
		return {Status: r.status, Redirected: r.redirected, Body: await r.text()};
	}))`, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("fetch of %s from %s: %v", path, p.env.app.origin, err)
	}
	return got
}

// cookies are those that the browser would send to the application.
func (p *tab) cookies() []*network.Cookie {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{p.env.app.origin + "/"}})
	if err != nil {
		p.t.Fatalf("reading the cookies: %v", err)
	}
	return got.Cookies
}

// explain saves a picture of a page on which a test failed.
func (p *tab) explain() {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	v, err := p.look()
	p.t.Logf("the page at the end: %s (%v)", v, err)
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Logf("no picture of it: %v", err)
		return
	}
	file := filepath.Join(failures, fileName(p.t.Name())+".png")
	if err := writeFile(file, png); err != nil {
		p.t.Log(err)
		return
	}
	p.t.Logf("a picture of it: %s", file)
}

// picture saves the page at the width of a phone and of a desktop, when asked for.
func (e *environment) picture(p *tab, name string) {
	dir := os.Getenv("INTEROP_SCREENSHOTS")
	if dir == "" {
		return
	}
	p.t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"phone", 390, 844}, {"desktop", 1280, 800}} {
		p.do("resizing", chromedp.EmulateViewport(size.width, size.height))
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		cancel()
		if err != nil {
			p.t.Fatalf("picture of %s: %v", name, err)
		}
		file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.png", e.kind.name, name, size.name))
		if err := writeFile(file, png); err != nil {
			p.t.Fatal(err)
		}
	}
}

func fileName(test string) string {
	return strings.NewReplacer("/", "-", " ", "-").Replace(cmp.Or(test, "test"))
}

func writeFile(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
