package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var reference = regexp.MustCompile(`"reference":"([A-Z2-7]{12})"`)

// audit judges whatever the program writes: the headers of an answer, and for a refusal its
// body, which says nothing of the check that failed, its challenge, and its one line in the log.
func (p *program) audit(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.StatusCode != status || a.error() != code {
		t.Errorf("status %d, error %q, want %d, %q\n%s", a.StatusCode, a.error(), status, code, a.body)
	}
	for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := a.Header.Values(header); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	if a.StatusCode == http.StatusOK || a.StatusCode == http.StatusNotFound || a.StatusCode == http.StatusMethodNotAllowed || a.body == "" {
		return
	}
	m := reference.FindStringSubmatch(a.body)
	if m == nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("no problem with a reference: %s\n%s", a.Header.Get("Content-Type"), a.body)
		return
	}
	// LG-09
	if want := fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"reference":%q}`, http.StatusText(a.StatusCode), a.StatusCode, m[1]); a.body != want {
		t.Errorf("the body says more than its class: %s", a.body)
	}
	if n := strings.Count(p.stderr.String(), "reference="+m[1]+" "); n != 1 {
		t.Errorf("%d lines in the log for the reference %s", n, m[1])
	}
	if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); a.StatusCode == 503 && (err != nil || wait < 1 || wait > 300) {
		t.Errorf("503 with Retry-After %q", a.Header.Get("Retry-After"))
	}
	if challenges := a.Header.Values("WWW-Authenticate"); len(challenges) > 1 || (len(challenges) == 1) != (a.StatusCode/100 == 4) {
		t.Errorf("status %d with the challenges %q", a.StatusCode, challenges)
	}
}

// raw sends bytes that net/http's client would not send.
func (p *program) raw(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(body)}
}
