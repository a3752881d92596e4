package middleware

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ResourceMetadata describes an API to clients that do not know it (RFC 9728 2). Resource
// is required; what is "" or nil is left out of the document, which says besides
// that tokens are taken from the header alone.
type ResourceMetadata struct {
	// Resource is the identifier of the API, the same as BearerOptions.Resource: an https
	// URL (http on loopback) without query and fragment.
	Resource string `json:"resource"`

	// AuthorizationServers are the issuers whose tokens the API takes.
	AuthorizationServers []string `json:"authorization_servers,omitempty"`

	// ScopesSupported are scopes that a client may ask for; they need not be all.
	ScopesSupported []string `json:"scopes_supported,omitempty"`

	// ResourceName is a name for people, ResourceDocumentation the address of a page
	// for developers.
	ResourceName          string `json:"resource_name,omitempty"`
	ResourceDocumentation string `json:"resource_documentation,omitempty"`
}

const wellKnownResource = "/.well-known/oauth-protected-resource"

// ProtectedResource serves the metadata document of an API at the two addresses where clients
// look for it: /.well-known/oauth-protected-resource, and for a resource with a path
// that followed by the path, which is the one that challenges name. Everything else is
// 404, every method but GET and HEAD 405. Mount it at both patterns:
//
//	mux.Handle("/.well-known/oauth-protected-resource", metadata)
//	mux.Handle("/.well-known/oauth-protected-resource/", metadata)
//
// The error names every mistake at once.
func ProtectedResource(m ResourceMetadata) (http.Handler, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("middleware: invalid resource metadata:\n%w", err)
	}
	body, err := json.Marshal(struct {
		ResourceMetadata
		BearerMethodsSupported []string `json:"bearer_methods_supported"`
	}{m, []string{"header"}})
	if err != nil {
		return nil, fmt.Errorf("middleware: resource metadata: %w", err)
	}
	path := metadataAddress(m.Resource).path
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := &Failure{}
		switch at := r.URL.EscapedPath(); {
		case at != wellKnownResource && at != path:
			f.Status = http.StatusNotFound
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			f.Status, f.Err = http.StatusMethodNotAllowed, methodNotAllowed("GET, HEAD")
		default:
			private(w.Header())
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
			return
		}
		f.setHeaders(w.Header())
		writeProblem(w, f)
	}), nil
}

func (m *ResourceMetadata) check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("ResourceMetadata."+field+": "+format, args...))
	}
	if problem := checkResource(m.Resource); problem != "" {
		bad("Resource", "%q %s", m.Resource, problem)
	}
	for _, issuer := range m.AuthorizationServers {
		if !usableURL(issuer) || strings.Contains(issuer, "?") {
			bad("AuthorizationServers", "%q is not an absolute https URL (http on loopback) without query and fragment", issuer)
		}
	}
	for i, s := range m.ScopesSupported {
		if !isScope(s) || slices.Contains(m.ScopesSupported[:i], s) {
			bad("ScopesSupported", "%q is no scope (RFC 6749 3.3), or is there twice", s)
		}
	}
	if u := m.ResourceDocumentation; u != "" && !usableURL(u) {
		bad("ResourceDocumentation", "%q is not an absolute https URL (http on loopback)", u)
	}
	return errors.Join(errs...)
}

// checkResource returns "" for an identifier whose metadata can be found (RFC 9728 1.2).
func checkResource(resource string) string {
	if !usableURL(resource) || strings.Contains(resource, "?") {
		return "is not an absolute https URL (http on loopback) without query and fragment"
	}
	u, err := url.Parse(resource)
	if err != nil {
		return "is not a URL"
	}
	if p := u.EscapedPath(); p != "" && (!servablePath(p) || withoutDots(p) != p || !strings.HasSuffix(resource, p)) {
		return "has a path that clients would spell in another way"
	}
	return ""
}

// address is where the metadata of a resource is.
type address struct{ path, url string }

// metadataAddress takes a resource that was checked. RFC 9728 3.1: the well-known part goes
// between host and path, and a path of one slash is none.
func metadataAddress(resource string) address {
	u, err := url.Parse(resource)
	if err != nil {
		return address{}
	}
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	path = wellKnownResource + path
	return address{path, u.Scheme + "://" + u.Host + path}
}
