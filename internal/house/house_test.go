// Package house holds no code: its tests keep the shape of the repository, so that a new
// import, a new exported name or a stale line of the README shows as a diff in review.
package house

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/acp-go/acp"
)

var update = flag.Bool("update", false, "write the golden list of exported names")

// imports lists, for each package, what it may import beside the standard library.
var imports = map[string][]string{
	"pkce":                {},
	"internal/strictjson": {},
	"acpclient": {
		module + "/pkce", module + "/internal/strictjson", "golang.org/x/oauth2",
		"github.com/coreos/go-oidc/v3/oidc", "github.com/go-jose/go-jose/v4",
		"github.com/go-jose/go-jose/v4/cryptosigner", "github.com/go-jose/go-jose/v4/json", "github.com/go-jose/go-jose/v4/jwt",
	},
	"middleware": {module + "/acpclient", "github.com/gorilla/securecookie", "golang.org/x/oauth2"},
	"acptest": {
		module + "/middleware", module + "/acpclient", module + "/pkce", module + "/internal/strictjson",
		"github.com/go-jose/go-jose/v4", "github.com/go-jose/go-jose/v4/jwt", "github.com/go-jose/go-jose/v4/json", "golang.org/x/oauth2",
	},
	"acptest/storetest": {module + "/middleware"},
	"internal/house":    {},
}

// parsed holds the files of one package directory, tests left out.
func parsed(t *testing.T, dir string) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	files := map[string]*ast.File{}
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = f
	}
	return fset, files
}

func TestImportRules(t *testing.T) {
	for _, dir := range packageDirs(t) {
		allowed, known := imports[dir]
		if !known {
			t.Errorf("%s: a package without an import rule", dir)
			continue
		}
		_, files := parsed(t, dir)
		for name, f := range files {
			for _, spec := range f.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !slices.Contains(allowed, path) {
					t.Errorf("%s/%s imports %s", dir, name, path)
				}
			}
		}
	}
}

// packageDirs are the directories of the root module that hold Go files.
func packageDirs(t *testing.T) []string {
	t.Helper()
	dirs := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
		}
		if strings.HasSuffix(path, ".go") {
			dir, _ := filepath.Rel(root, filepath.Dir(path))
			dirs[filepath.ToSlash(dir)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(dirs))
}

// The protocol knows no cookie and no handler; the browser's side no key and no JWT.
func TestForbiddenWords(t *testing.T) {
	for dir, words := range map[string]string{
		"acpclient":  `\bhttp\.(Handler|HandlerFunc|Cookie|ResponseWriter|SetCookie)\b`,
		"middleware": `\b(jose|jwt|jwk)\.|TokenEndpoint`,
	} {
		forbidden := regexp.MustCompile(words)
		fset, files := parsed(t, dir)
		for name, f := range files {
			var b bytes.Buffer
			f.Comments = nil
			if err := printer.Fprint(&b, fset, f); err != nil {
				t.Fatal(err)
			}
			if found := forbidden.FindString(b.String()); found != "" {
				t.Errorf("%s/%s speaks of %s", dir, name, found)
			}
		}
	}
}

// CF-09: every check of a time uses the clock of its value; time.Now is named once per package.
func TestOneClock(t *testing.T) {
	for _, dir := range []string{"acpclient", "middleware"} {
		var seen []string
		fset, files := parsed(t, dir)
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Now" {
					if id, ok := s.X.(*ast.Ident); ok && id.Name == "time" {
						seen = append(seen, fset.Position(n.Pos()).String())
					}
				}
				return true
			})
		}
		if len(seen) != 1 {
			t.Errorf("%s names time.Now at %q, want one place", dir, seen)
		}
	}
}

// LG-08: what an attacker may guess is compared in constant time.
func TestConstantTime(t *testing.T) {
	secret := regexp.MustCompile(`(?i)(state|nonce|verifier|secret|athash|at_hash|mac|thumbprint)$`)
	for _, dir := range []string{"acpclient", "middleware", "pkce"} {
		fset, files := parsed(t, dir)
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				b, ok := n.(*ast.BinaryExpr)
				if !ok || b.Op != token.EQL && b.Op != token.NEQ || constant(b.X) || constant(b.Y) {
					return true
				}
				for _, side := range []ast.Expr{b.X, b.Y} {
					if name := lastName(side); secret.MatchString(name) {
						t.Errorf("%s: %s is compared with %s", fset.Position(n.Pos()), name, b.Op)
					}
				}
				return true
			})
		}
	}
}

func constant(e ast.Expr) bool {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name == "nil" || id.Name == "true" || id.Name == "false" || strings.HasPrefix(id.Name, "state") && id.Obj != nil && id.Obj.Kind == ast.Con
	}
	_, ok := e.(*ast.BasicLit)
	return ok
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// The golden list is testdata/exported.txt: go test ./internal/house -update writes it.
func TestExportedNames(t *testing.T) {
	var b strings.Builder
	for _, dir := range packageDirs(t) {
		if strings.HasPrefix(dir, "internal/") {
			continue
		}
		exported(t, &b, dir)
	}
	const golden = "testdata/exported.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("the exported names changed; if that is meant, run go test ./internal/house -update\n%s", firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			line := func(s []string) string {
				if i < len(s) {
					return s[i]
				}
				return "(end)"
			}
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, line(g), line(w))
		}
	}
	return ""
}

// exported writes one line for each exported name, and fails where one has no comment.
func exported(t *testing.T, b *strings.Builder, dir string) {
	fset, files := parsed(t, dir)
	list := slices.Collect(maps.Values(files))
	pkg, err := doc.NewFromFiles(fset, list, module+"/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Doc == "" {
		t.Errorf("%s: no package comment", dir)
	}
	var lines []string
	say := func(comment, format string, args ...any) {
		line := dir + ": " + fmt.Sprintf(format, args...)
		lines = append(lines, line)
		if strings.TrimSpace(comment) == "" {
			t.Errorf("no comment: %s", line)
		}
	}
	values := func(kind string, groups []*doc.Value) {
		for _, g := range groups {
			for _, spec := range g.Decl.Specs {
				s := spec.(*ast.ValueSpec)
				for _, id := range s.Names {
					if id.IsExported() {
						say(g.Doc+s.Doc.Text()+s.Comment.Text(), "%s %s", kind, id.Name)
					}
				}
			}
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			var sig bytes.Buffer
			f.Decl.Doc, f.Decl.Body = nil, nil
			printer.Fprint(&sig, fset, f.Decl)
			say(f.Doc, "%s", sig.String())
		}
	}
	values("const", pkg.Consts)
	values("var", pkg.Vars)
	funcs(pkg.Funcs)
	for _, typ := range pkg.Types {
		say(typ.Doc, "type %s", typ.Name)
		values("const", typ.Consts)
		values("var", typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
		for _, spec := range typ.Decl.Specs {
			fields(say, typ, spec.(*ast.TypeSpec).Type)
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(b, strings.Join(strings.Fields(line), " "))
	}
}

func fields(say func(comment, format string, args ...any), typ *doc.Type, e ast.Expr) {
	s, ok := e.(*ast.StructType)
	if !ok {
		return
	}
	// A comment above a block of fields without blank line speaks for all of them.
	comment := ""
	for _, f := range s.Fields.List {
		if own := f.Doc.Text() + f.Comment.Text(); own != "" {
			comment = own
		} else if comment == "" {
			comment = typ.Doc
		}
		for _, id := range f.Names {
			if id.IsExported() {
				say(comment, "field %s.%s", typ.Name, id.Name)
			}
		}
	}
}
