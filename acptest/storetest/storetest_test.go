package storetest_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/acp-go/acp/acptest/storetest"
)

// broken names the row that a child process puts in the place of what is correct.
const broken = "STORETEST_BROKEN"

func TestRun(t *testing.T) {
	t.Parallel()
	name, isBroken := os.LookupEnv(broken)
	if !isBroken {
		var both sync.WaitGroup
		both.Go(func() { t.Run("all", func(t *testing.T) { storetest.Run(t, newMemory()) }) })
		both.Go(func() { t.Run("no options", func(t *testing.T) { storetest.Run(t, plain{newMemory()}) }) })
		both.Wait()
		return
	}
	for _, row := range brokenStores {
		if row.name == name {
			storetest.Run(t, row.make())
		}
	}
}

func TestRunLease(t *testing.T) {
	t.Parallel()
	name, isBroken := os.LookupEnv(broken)
	if !isBroken {
		l := newLocks()
		var both sync.WaitGroup
		both.Go(func() { t.Run("one", func(t *testing.T) { storetest.RunLease(t, l) }) })
		both.Go(func() { t.Run("three", func(t *testing.T) { storetest.RunLease(t, l, l, l) }) })
		both.Wait()
		return
	}
	for _, row := range brokenLeases {
		if row.name == name {
			storetest.RunLease(t, row.make())
		}
	}
}

// Each mistake is found, and the failure speaks of it.
func TestBroken(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	for _, row := range brokenStores {
		all.Go(func() {
			t.Run("store/"+row.name, func(t *testing.T) { fails(t, "TestRun/"+row.in, row.name, row.want) })
		})
	}
	for _, row := range brokenLeases {
		all.Go(func() {
			t.Run("lease/"+row.name, func(t *testing.T) { fails(t, "TestRunLease/"+row.in, row.name, row.want) })
		})
	}
}

// fails runs a test of this binary in another process, which must fail with the words.
func fails(t *testing.T, test, name, want string) {
	t.Helper()
	exact := strings.TrimSuffix("^"+strings.ReplaceAll(test, "/", "$/^")+"$", "/^$")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+exact, "-test.timeout=2m")
	cmd.Env = append(os.Environ(), broken+"="+name)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it passed; want a failure that says %q", want)
	}
	if !strings.Contains(string(out), want) || strings.Contains(string(out), "panic: ") {
		t.Errorf("the failure does not say %q:\n%s", want, out)
	}
}
