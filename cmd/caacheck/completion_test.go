package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/test/world"
)

// The scripts are what the shells read, and bash's completes words, flags, values and files.
func TestCompletion(t *testing.T) {
	folder := t.TempDir()
	for shell, check := range map[string]string{"bash": "-n", "zsh": "-n", "fish": "--no-execute"} {
		var out strings.Builder
		if code := run(t.Context(), []string{"completion", shell}, stdio{out: &out}); code != 0 {
			t.Fatalf("%s: exit status %d", shell, code)
		}
		script := filepath.Join(folder, shell)
		world.WriteFile(t, script, out.String())
		if _, err := exec.LookPath(shell); err != nil {
			continue // bash, which is tested further, has the same words
		}
		if text, err := exec.Command(shell, check, script).CombinedOutput(); err != nil || len(text) > 0 {
			t.Errorf("%s: %v, %s", shell, err, text)
		}
	}
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), "")
	for line, want := range map[string][]string{
		"ch":                          {"check"},
		"keys roll --k":               {"--ksk"},
		"lint --":                     {"--json", "--sarif"},
		"--type ":                     {"smime", "tls", "vmc"},
		"check --policy pol":          {"policy.yaml"},
		"example.org --perspective-t": {"--perspective-timeout"},
	} {
		words := strings.Split(line, " ")
		text := fmt.Sprintf(`source ./bash; compopt() { :; }; COMP_WORDS=(caacheck %s); COMP_CWORD=%d; _caacheck caacheck '%s' '%s'; printf '%%s\n' "${COMPREPLY[@]}"`,
			line, len(words), words[len(words)-1], append([]string{"caacheck"}, words...)[len(words)-1])
		cmd := exec.Command("bash", "-c", text)
		cmd.Dir, cmd.Stderr = folder, os.Stderr
		out, err := cmd.Output()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q; %v", line, got, want, err)
		}
	}
}
