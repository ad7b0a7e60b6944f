//go:build endtoend

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/train"
)

// browser is a headless Chromium that is spoken to in its DevTools protocol over a
// pair of pipes, messages end with a zero byte.
type browser struct {
	t       *testing.T
	out     *os.File
	mu      sync.Mutex
	last    int
	waiting map[int]chan answered
}

type answered struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startBrowser starts the Chromium that `make` installs.
func startBrowser(t *testing.T, root string) *browser {
	t.Helper()
	home := filepath.Join(root, ".rpo/chromium")
	if _, err := os.Stat(filepath.Join(home, "chromium")); err != nil {
		t.Fatalf("%v: run make .rpo/chromium/.ready", err)
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// It opens nothing but the pages of this machine's own servers, so it needs no
	// sandbox, which a container or root would not let it have.
	cmd := exec.Command(filepath.Join(home, "chromium"), "--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--hide-scrollbars",
		"--disable-dev-shm-usage", "--remote-debugging-pipe", "--lang=en-US", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(home, "lib"), "FONTCONFIG_FILE="+filepath.Join(home, "fonts.conf"), "TZ=UTC")
	exited, err := train.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, out: ourOut, waiting: map[int]chan answered{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(ourIn)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		<-read
		ourOut.Close()
		ourIn.Close()
	})
	return b
}

// read gives answers to who waits for them. Events are not looked at.
func (b *browser) read(in *os.File) {
	messages := bufio.NewReader(in)
	for {
		message, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var a answered
		if json.Unmarshal(message[:len(message)-1], &a) != nil {
			continue
		}
		b.mu.Lock()
		to := b.waiting[a.ID]
		delete(b.waiting, a.ID)
		b.mu.Unlock()
		if to != nil {
			to <- a
		}
	}
}

// call sends a command to a page, or to the browser itself if session is "".
func (b *browser) call(session, method string, params, result any) error {
	b.mu.Lock()
	b.last++
	message := map[string]any{"id": b.last, "method": method, "params": params}
	if session != "" {
		message["sessionId"] = session
	}
	reply := make(chan answered, 1)
	b.waiting[b.last] = reply
	data, err := json.Marshal(message)
	if err == nil {
		_, err = b.out.Write(append(data, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-reply:
		switch {
		case a.Error != nil:
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer", method)
	}
}

// page is one tab.
type page struct {
	*browser
	session string
}

// open opens a tab.
func (b *browser) open(url string) *page {
	b.t.Helper()
	var target struct {
		TargetID string `json:"targetId"`
	}
	p := &page{browser: b}
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	if err == nil {
		err = b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	}
	p.session = attached.SessionID
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("the page said: %s", p.text())
		}
	})
	p.size(1440, 900)
	p.goTo(url)
	return p
}

func (p *page) do(method string, params any) {
	p.t.Helper()
	if err := p.call(p.session, method, params, nil); err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) size(width, height int) {
	p.t.Helper()
	p.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

func (p *page) goTo(url string) {
	p.t.Helper()
	p.do("Page.navigate", map[string]any{"url": url})
}

// value evaluates JavaScript in the page.
func (p *page) value(script string, into any) error {
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := p.call(p.session, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &out)
	switch {
	case err != nil:
		return err
	case out.Exception != nil:
		return errors.New(out.Exception.Text + ": " + out.Exception.Exception.Description)
	case into == nil:
		return nil
	}
	return json.Unmarshal(out.Result.Value, into)
}

// text is what a person can read on the page and in its frames.
func (p *page) text() string {
	var text string
	if p.value(`[document, ...[...document.querySelectorAll("iframe")].map(f => f.contentDocument)].map(d => d?.body?.innerText ?? "").join("\n")`, &text) != nil {
		return "" // between two pages
	}
	return text
}

// reads waits until a person can read all of these on the page.
func (p *page) reads(wanted ...string) {
	p.t.Helper()
	missing := wanted
	await(p.t, fmt.Sprintf("a page that says %q", wanted), func() bool {
		text := p.text()
		for len(missing) > 0 && strings.Contains(text, missing[0]) {
			missing = missing[1:]
		}
		return len(missing) == 0
	})
}

// quoted is text as a JavaScript string.
func quotedJS(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// point waits until an element that a selector finds, with this text unless it is "",
// can be clicked, and returns its middle. An option's description does not count.
func (p *page) point(selector, label string) (x, y float64) {
	p.t.Helper()
	var at []float64
	await(p.t, fmt.Sprintf("%s %q to click", selector, label), func() bool {
		at = nil
		err := p.value(`(() => {
			const e = [...document.querySelectorAll(`+quotedJS(selector)+`)].findLast(e => e.checkVisibility() && (`+quotedJS(label)+` == "" || e.innerText.trim().split("\n")[0] == `+quotedJS(label)+`))
			if (!e) return null
			e.scrollIntoView({block: "nearest"})
			const r = e.getBoundingClientRect()
			if (r.width == 0 || e.disabled || e.getAttribute("aria-disabled") == "true") return null
			const [x, y] = [r.x + r.width / 2, r.y + r.height / 2]
			const top = document.elementFromPoint(x, y)
			return top && (e.contains(top) || top.contains(e)) ? [x, y] : null
		})()`, &at)
		return err == nil && len(at) == 2
	})
	return at[0], at[1]
}

// click moves the mouse to an element and clicks it.
func (p *page) click(selector, label string) {
	p.t.Helper()
	x, y := p.point(selector, label)
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p.do("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})
	}
}

// press clicks the button, link, tab or option with this text.
func (p *page) press(label string) {
	p.t.Helper()
	p.click("button, a, [role=tab], [role=option], [role=menuitem]", label)
}

// paste puts text in the place of what a field or editor holds.
func (p *page) paste(selector, text string) {
	p.t.Helper()
	p.click(selector, "")
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		p.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 2, "commands": []string{"selectAll"}})
	}
	p.do("Input.insertText", map[string]any{"text": text})
}

// key presses a key that is a letter.
func (p *page) key(letter string) {
	p.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		p.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": letter, "code": "Key" + strings.ToUpper(letter), "text": letter, "windowsVirtualKeyCode": int(strings.ToUpper(letter)[0])})
	}
}

// picture writes what the page looks like, if pictures are asked for, once all that
// moves has come to rest.
func (p *page) picture(dir, name string) {
	p.t.Helper()
	if dir == "" {
		return
	}
	p.do("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": 1, "y": 1})
	if err := p.value(`document.activeElement?.blur(), Promise.allSettled(document.getAnimations().filter(a => a.effect.getComputedTiming().endTime < Infinity).map(a => a.finished))`, nil); err != nil {
		p.t.Fatal(err)
	}
	var shot struct {
		Data []byte `json:"data"`
	}
	err := p.call(p.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
