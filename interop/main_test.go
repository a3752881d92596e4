package interop_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	// shared is a directory for what all tests use; it goes away at the end.
	shared string
	// failures is where pictures of failed pages stay.
	failures = filepath.Join(os.TempDir(), "interop-failures")
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if shared, err = os.MkdirTemp("", "interop-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(shared)) }()
	defer stopBrowser()
	return m.Run(), nil
}

// webappBinary and apiBinary are examples/webapp and examples/api, built as a user would.
var (
	webappBinary = sync.OnceValues(func() (string, error) { return buildExample("webapp") })
	apiBinary    = sync.OnceValues(func() (string, error) { return buildExample("api") })
)

func buildExample(name string) (string, error) {
	binary := filepath.Join(shared, name)
	build := exec.Command("go", "build", "-o", binary, "./"+name)
	build.Dir = filepath.Join("..", "examples")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building examples/%s: %w\n%s", name, err, out)
	}
	return binary, nil
}
