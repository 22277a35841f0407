//go:build e2e && linux

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// browser is a page in headless Chromium, driven through chromedriver by the
// W3C's WebDriver protocol.
type browser struct {
	session string // URL of the session
}

// newBrowser starts Chromium. It ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	chromium := need(t, "chromium")
	driver := start(t, "chromedriver", need(t, "chromedriver"), "--port=0")
	line := driver.line(t, &driver.out, "started successfully on port", 20*time.Second)
	port := regexp.MustCompile(`port (\d+)`).FindStringSubmatch(line)
	if port == nil {
		t.Fatalf("chromedriver: no port in %q", line)
	}
	b := &browser{}
	var created struct{ SessionID string }
	root := "http://127.0.0.1:" + port[1]
	b.call(t, http.MethodPost, root+"/session", map[string]any{
		"capabilities": map[string]any{"alwaysMatch": map[string]any{
			"browserName": "chrome",
			"goog:chromeOptions": map[string]any{
				"binary": chromium,
				"args": []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
					"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
					"--disable-component-update", "--disable-sync", "--window-size=1280,900",
					"--autoplay-policy=no-user-gesture-required", "--user-data-dir=" + t.TempDir()},
			},
			"goog:loggingPrefs": map[string]any{"browser": "ALL"},
		}},
	}, &created)
	if created.SessionID == "" {
		t.Fatal("chromedriver: no session")
	}
	b.session = root + "/session/" + created.SessionID
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("browser's console: %v", b.console(t))
		}
		b.call(t, http.MethodDelete, b.session, nil, nil)
	})
	return b
}

// call makes one request of the protocol and stores the value of the answer.
func (b *browser) call(t *testing.T, method, url string, body, value any) {
	t.Helper()
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, url, &payload)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 60 * time.Second}
	r, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", method, url, r.Status, tail(string(answer.Value), 1000))
	}
	if value != nil {
		if err := json.Unmarshal(answer.Value, value); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, answer.Value)
		}
	}
}

// open loads a page.
func (b *browser) open(t *testing.T, url string) {
	t.Helper()
	b.call(t, http.MethodPost, b.session+"/url", map[string]any{"url": url}, nil)
}

// eval runs the body of a JavaScript function and stores what it returns.
func (b *browser) eval(t *testing.T, script string, value any) {
	t.Helper()
	b.call(t, http.MethodPost, b.session+"/execute/sync", map[string]any{"script": script, "args": []any{}}, value)
}

// console returns what the page has logged, errors among it.
func (b *browser) console(t *testing.T) (lines []string) {
	t.Helper()
	var entries []struct{ Level, Message string }
	b.call(t, http.MethodPost, b.session+"/se/log", map[string]any{"type": "browser"}, &entries)
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%s: %s", e.Level, e.Message))
	}
	return lines
}

// screenshot leaves a picture of the page in the folder that is kept.
func (b *browser) screenshot(t *testing.T, name string) {
	t.Helper()
	var text string
	b.call(t, http.MethodGet, b.session+"/screenshot", nil, &text)
	png, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outDir, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
