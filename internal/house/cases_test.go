package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	caseRow  = regexp.MustCompile(`^\| ([A-Z]{2}-[0-9]{2}) \| (.*) \|$`)
	caseID   = regexp.MustCompile(`\b[A-Z]{2}-[0-9]{2}\b`)
	caseTest = regexp.MustCompile("^(?:`[^`]+`(?:, )?)+")
)

// docs/cases.md names, for each requirement, the tests that carry its id, and for one
// without a test the reason: go test ./internal/house -update writes the names.
func TestCases(t *testing.T) {
	tests := testsOfCases(t)
	name := filepath.Join(root, "docs", "cases.md")
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(before)) {
		m := caseRow.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			b.WriteString(line)
			continue
		}
		id, cell := m[1], m[2]
		named := caseTest.FindString(cell)
		remark := strings.TrimPrefix(strings.TrimSpace(cell[len(named):]), "; ")
		if files := tests[id]; len(files) > 0 {
			if named == "" {
				remark = "" // it said why there was none
			}
			cell = "`" + strings.Join(files, "`, `") + "`"
			if remark != "" {
				cell += "; " + remark
			}
		} else if cell = remark; cell == "" {
			t.Errorf("%s: no test carries it, and there is no reason", id)
		}
		b.WriteString("| " + id + " | " + cell + " |\n")
	}
	if b.String() == string(before) {
		return
	}
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("docs/cases.md is not up to date: run go test ./internal/house -update\n%s", firstDifference(b.String(), string(before)))
}

// testsOfCases are the test files that name each id.
func testsOfCases(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "cases_test.go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		short, err := filepath.Rel(root, path)
		for _, id := range caseID.FindAllString(string(text), -1) {
			if !slices.Contains(found[id], filepath.ToSlash(short)) {
				found[id] = append(found[id], filepath.ToSlash(short))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
