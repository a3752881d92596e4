package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// README blocks of Go code stand under a comment that names the file they come from:
//
//	<!-- examples/login/main.go -->
//
// and are, but for their indentation, a run of that file's lines.
var block = regexp.MustCompile("(?s)(?:<!-- ([^\n>]+) -->\n)?```go\n(.*?)```")

func TestREADMEBlocks(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, name := range docs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			blocks++
			if m[1] == "" {
				t.Errorf("%s: a Go block without the comment that names its file:\n%s", filepath.Base(name), m[2])
				continue
			}
			source, err := os.ReadFile(filepath.Join(root, m[1]))
			if err != nil {
				t.Error(err)
				continue
			}
			if !strings.Contains(flat(string(source)), flat(m[2])) {
				t.Errorf("%s: this is not in %s:\n%s", filepath.Base(name), m[1], m[2])
			}
		}
	}
	if blocks == 0 {
		t.Error("no Go block in any document")
	}
}

// Blocks of two programs' difference stand under a comment that names both:
//
//	<!-- examples/webapp/main.go examples/hardened/main.go -->
//
// The first has the lines with a minus, the second those with a plus, and both those without a sign.
var difference = regexp.MustCompile("(?s)(?:<!-- ([^ \n>]+) ([^ \n>]+) -->\n)?```diff\n(.*?)```")

func TestREADMEDifferences(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, name := range docs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range difference.FindAllStringSubmatch(string(text), -1) {
			blocks++
			for i, sign := range []string{"-", "+"} {
				var kept strings.Builder
				for line := range strings.Lines(m[3]) {
					if strings.HasPrefix(line, " ") || strings.HasPrefix(line, sign) {
						kept.WriteString(line[1:])
					}
				}
				source, err := os.ReadFile(filepath.Join(root, m[1+i]))
				if err != nil {
					t.Error(err)
					continue
				}
				if !strings.Contains(flat(string(source)), flat(kept.String())) {
					t.Errorf("%s: this is not in %q:\n%s", filepath.Base(name), m[1+i], kept.String())
				}
			}
		}
	}
	if blocks == 0 {
		t.Error("no difference in any document")
	}
}

// flat takes the indentation and the empty lines away.
func flat(code string) string {
	var lines []string
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}
