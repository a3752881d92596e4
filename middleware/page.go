package middleware

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// pageText is what a person reads. It depends on the status alone, so that a page tells
// nobody which check failed.
type pageText struct {
	title, text string
	signIn      string // the label of a link that starts a login; "" for none
}

var pageTexts = map[int]pageText{
	http.StatusBadRequest:            {"This sign-in cannot be finished", "The link was used before, is too old, or belongs to another browser. Starting again takes a moment.", "Sign in again"},
	http.StatusUnauthorized:          {"Please sign in", "You are not signed in, or your session is over.", "Sign in"},
	http.StatusForbidden:             {"Not allowed", "The sign-in was refused, or this request is not allowed. Nothing was changed.", "Sign in again"},
	http.StatusNotFound:              {"Not found", "There is nothing at this address.", ""},
	http.StatusMethodNotAllowed:      {"This cannot be opened directly", "The address does not answer this kind of request.", ""},
	http.StatusRequestEntityTooLarge: {"Too much data", "The request is larger than a sign-in ever is.", ""},
	http.StatusUnsupportedMediaType:  {"Unknown kind of data", "The request is not the form that a sign-in sends.", ""},
	http.StatusInternalServerError:   {"Something went wrong", "The fault is on our side. Please tell us the reference below.", ""},
	http.StatusNotImplemented:        {"Not available", "This application does not offer that.", ""},
	http.StatusBadGateway:            {"The sign-in service gave a wrong answer", "The fault is not yours. Please try again, and tell us the reference below if it stays.", "Try again"},
	http.StatusServiceUnavailable:    {"The sign-in service cannot be reached", "Please try again in a moment. Nothing was lost.", "Try again"},
	http.StatusGatewayTimeout:        {"The sign-in service did not answer in time", "Please try again in a moment. Nothing was lost.", "Try again"},
}

const pageStyle = `:root{color-scheme:light dark;--ink:#1b1f24;--soft:#4b535d;--paper:#fff;--line:#d5dae0;--go:#0b57d0;--on:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#eceff3;--soft:#b3bcc7;--paper:#15181c;--line:#3a424c;--go:#9cc2ff;--on:#0b1a33}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}
main{max-width:36rem;margin:0 auto;padding:12vh 1.25rem 3rem}
h1{margin:0 0 .75rem;font-size:1.6rem;line-height:1.25}
p{margin:0 0 1.25rem}
a{display:inline-block;margin:0 .75rem .75rem 0;padding:.65rem 1.25rem;border:1px solid var(--go);border-radius:.4rem;background:var(--go);color:var(--on);font-weight:600;text-decoration:none}
a+a{background:none;color:var(--go)}
a:focus-visible{outline:3px solid var(--ink);outline-offset:3px}
footer,aside{margin-top:2rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.9rem}
code{font:.95em ui-monospace,monospace;overflow-wrap:anywhere}
dt{font-weight:600}
dd{margin:0 0 .6rem}`

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
<style>` + pageStyle + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
<p>{{if .SignIn}}<a href="{{.Login}}">{{.SignIn}}</a>{{end}}<a href="{{.Start}}">To the start page</a></p>
{{with .Explained}}<aside aria-label="For developers">
<dl>
<dt>What happened</dt><dd><code>{{.Reason}}</code></dd>
<dt>Probable cause</dt><dd>{{.Cause}}</dd>
<dt>How to fix it</dt><dd>{{.Fix}}</dd>
</dl>
<p>The log has the whole error, under the reference below. This part is shown because Config.Development is set.</p>
</aside>
{{end}}<footer>Reference <code>{{.Reference}}</code></footer>
</main>
</body>
</html>
`))

// pagePolicy allows the page its own style and nothing else.
var pagePolicy = func() string {
	hash := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}()

type pageData struct {
	Title, Text, Reference string
	SignIn, Login, Start   string
	Explained              *explained
}

type explained struct{ Reason, Cause, Fix string }

func (a *Authenticator) writePage(w http.ResponseWriter, f *Failure) {
	text, ok := pageTexts[f.Status]
	if !ok {
		text = pageTexts[http.StatusInternalServerError]
	}
	data := pageData{
		Title: text.title, Text: text.text, Reference: f.Reference,
		SignIn: text.signIn, Login: a.config.LoginPath, Start: a.config.DefaultPath,
	}
	if a.config.Development {
		data.Explained = explain(f.Err)
	}
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, data); err != nil {
		body.Reset() // cannot happen: the template and its data are fixed
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	w.WriteHeader(f.Status)
	w.Write(body.Bytes())
}
