// Package env reads the settings of the example programs from the environment.
//
// Blank is absent. Without ACP_ISSUER a program brings its own authorization server, and
// only ACP_LISTEN may be set, to a loopback address. An error is about one variable, in
// one line, and never repeats a value, which could be a secret in the wrong place.
package env

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Settings are the variables of one program that are set.
type Settings struct{ values map[string]string }

// Read takes "NAME=value" pairs, and looks at names that begin with ACP_. Of those only
// the known ones may be set; ACP_ISSUER and ACP_LISTEN always are.
func Read(environ []string, known ...string) (Settings, error) {
	s := Settings{map[string]string{}}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case !strings.HasPrefix(name, "ACP_"):
		case strings.TrimSpace(value) == "":
			delete(s.values, name)
		default:
			s.values[name] = value
		}
	}
	names := slices.Sorted(maps.Keys(s.values))
	if s.Embedded() {
		for _, name := range names {
			if name != "ACP_LISTEN" {
				return Settings{}, Mistake("ACP_ISSUER", "is not set, but %s is; without an issuer only ACP_LISTEN may be set", oneLine(name))
			}
		}
		return s, nil
	}
	for _, name := range names {
		if name != "ACP_ISSUER" && name != "ACP_LISTEN" && !slices.Contains(known, name) {
			return Settings{}, Mistake(oneLine(name), "is not a setting of this program")
		}
	}
	return s, nil
}

// Embedded says that there is no ACP_ISSUER.
func (s Settings) Embedded() bool { return s.Text("ACP_ISSUER") == "" }

// Text is a setting without the white space around it; "" when it is absent.
func (s Settings) Text(name string) string { return strings.TrimSpace(s.values[name]) }

// Secret is a setting with all its white space; "" when it is absent.
func (s Settings) Secret(name string) (string, error) {
	secret := s.values[name]
	if strings.ContainsFunc(secret, unicode.IsControl) {
		return "", Mistake(name, "has a control character, such as a line break at its end")
	}
	return secret, nil
}

// Issuer is ACP_ISSUER; "" when the program brings its own.
func (s Settings) Issuer() (string, error) {
	issuer := s.Text("ACP_ISSUER")
	if issuer == "" {
		return "", nil
	}
	if err := CheckURL("ACP_ISSUER", issuer); err != nil {
		return "", err
	}
	if strings.Contains(issuer, "?") {
		return "", Mistake("ACP_ISSUER", "must not have a query")
	}
	return issuer, nil
}

// Listen is ACP_LISTEN. Absent it is fallback, and a free port of loopback when the program
// brings its own authorization server, whose users everybody knows.
func (s Settings) Listen(fallback string) (string, error) {
	const variable = "ACP_LISTEN"
	if s.Embedded() {
		fallback = "127.0.0.1:0"
	}
	listen := cmp.Or(s.Text(variable), fallback)
	host, port, err := net.SplitHostPort(listen)
	switch {
	case err != nil:
		return "", Mistake(variable, "must be host:port")
	case !isPort(port):
		return "", Mistake(variable, "must end in a port number")
	case s.Embedded() && !loopback(host):
		return "", Mistake(variable, "must be a loopback host:port as long as ACP_ISSUER is not set")
	}
	return listen, nil
}

// CheckURL demands an absolute https URL, or http on loopback, without a fragment: a code
// or a token travels there.
func CheckURL(variable, value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return Mistake(variable, "must be an absolute https URL")
	case u.User != nil:
		return Mistake(variable, "must not contain a user or password")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return Mistake(variable, "must be https; http is for loopback only")
	case strings.Contains(value, "#"):
		return Mistake(variable, "must not have a fragment")
	case u.Port() != "" && !isPort(u.Port()):
		return Mistake(variable, "has a port that cannot be")
	}
	return nil
}

// Mistake is a wrong setting. Nothing in its text may be a value.
func Mistake(variable, format string, args ...any) error {
	return errors.New(variable + ": " + fmt.Sprintf(format, args...))
}

// First runs the checks in turn, up to the first mistake: one is enough for one line.
func First(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// Translate makes one mistake of a package's error, which speaks of the fields of its
// configuration, and may quote their values. variables are by the fields that they set.
func Translate(err error, variables map[string]string) error {
	for line := range strings.Lines(err.Error()) {
		field, text, found := strings.Cut(strings.TrimSpace(line), ": ")
		field, _, _ = strings.Cut(field, "[") // of a list's element
		if variable := variables[field]; found && variable != "" {
			return Mistake(variable, "%s", quoted.ReplaceAllString(text, "a part of it"))
		}
	}
	return Mistake("ACP_ISSUER", "its settings do not fit together")
}

// oneLine is a name as it can be printed.
func oneLine(name string) string { return strings.Trim(strconv.QuoteToASCII(name), `"`) }

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
