package acptest

import (
	"html"
	"net/url"
	"regexp"
	"strings"
)

// form is an HTML form with the values that it would send by itself.
type form struct {
	action, method string
	values         url.Values
}

var (
	formElement   = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form\s*>`)
	inputElement  = regexp.MustCompile(`(?is)<input\b([^>]*)>`)
	attributePair = regexp.MustCompile(`(?is)([a-z][a-z0-9_-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?`)
	submitsItself = regexp.MustCompile(`(?is)\.submit\(\s*\)|\.requestSubmit\(`)
	noscript      = regexp.MustCompile(`(?is)<noscript\b.*?</noscript\s*>`)
	comment       = regexp.MustCompile(`(?s)<!--.*?-->`)
)

// parseForms reads the plain forms of sign-in, consent and form_post pages. It is no HTML parser.
func parseForms(page string) []form {
	var forms []form
	page = comment.ReplaceAllString(page, "")
	for _, m := range formElement.FindAllStringSubmatch(page, -1) {
		attrs := attributes(m[1])
		f := form{action: attrs["action"], method: attrs["method"], values: url.Values{}}
		for _, input := range inputElement.FindAllStringSubmatch(m[2], -1) {
			a := attributes(input[1])
			_, checked := a["checked"]
			_, disabled := a["disabled"]
			switch kind := strings.ToLower(a["type"]); {
			case a["name"] == "", disabled, kind == "submit", kind == "button", kind == "image", kind == "reset", kind == "file":
			case (kind == "checkbox" || kind == "radio") && !checked:
			case kind == "checkbox" && a["value"] == "":
				f.values.Add(a["name"], "on")
			default:
				f.values.Add(a["name"], a["value"])
			}
		}
		forms = append(forms, f)
	}
	return forms
}

func attributes(source string) map[string]string {
	attrs := map[string]string{}
	for _, m := range attributePair.FindAllStringSubmatch(source, -1) {
		name := strings.ToLower(m[1])
		if _, seen := attrs[name]; !seen { // the first one counts in HTML
			attrs[name] = html.UnescapeString(m[2] + m[3] + m[4])
		}
	}
	return attrs
}

// selfSubmitting says whether a page submits its first form without the user.
func selfSubmitting(step *Step) bool {
	if mediaType(step.ResponseHeader) != "text/html" {
		return false
	}
	page := noscript.ReplaceAllString(string(step.ResponseBody), "")
	return submitsItself.MatchString(page) && len(parseForms(string(step.ResponseBody))) > 0
}
