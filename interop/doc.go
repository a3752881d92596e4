// Package interop holds no code of its own. Its tests run the example web
// application and the example API, as the binaries that a user would start, against
// authorization servers of other authors, and let a real browser do what a person does:
// sign in, consent, refuse, use two tabs, go back, sign out.
//
// Others run stores of sessions against the servers that they are for, Redis and
// PostgreSQL, which are started on free loopback ports with temporary directories, and are
// killed, suspended and cut off while they are used.
//
// They need Chromium (or Chrome), Node 20 or later, `npm ci` in oidcprovider, redis-server,
// and PostgreSQL's initdb and postgres. A missing tool fails them: a test that did not
// run proves nothing.
//
// With INTEROP_SCREENSHOTS set to a directory, each page that a person sees is saved
// there at the width of a phone and of a desktop. INTEROP_BROWSER names another
// browser binary.
package interop
