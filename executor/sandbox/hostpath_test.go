package sandbox_test

import (
	"os"
	"path/filepath"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox"
)

// Links are seen as in the container: none leads to a file of the host's.
func TestHostPath(t *testing.T) {
	spec := sandbox.Spec{Workspace: t.TempDir(), WorkspacePath: workspace, Act: t.TempDir(), Clone: t.TempDir()}
	box := sandbox.Unstarted(spec)
	for name, target := range map[string]string{
		"to-file":    "dir/file",
		"to-act":     "/var/run/act/output",
		"to-host":    "/etc/passwd",
		"up":         "../../../etc/passwd",
		"up-to-act":  "../../../var/run/act/output",
		"loop":       "loop",
		"to-dir":     "dir",
		"host-named": spec.Act,
		"dangling":   "absent",
	} {
		if err := os.Symlink(target, filepath.Join(spec.Workspace, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(spec.Workspace, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, path, want string }{
		{"the workspace", workspace, spec.Workspace},
		{"the workspace with a slash", workspace + "/", spec.Workspace},
		{"a file in it", workspace + "/dir/file", spec.Workspace + "/dir/file"},
		{"a file that isn't there yet", workspace + "/new/file", spec.Workspace + "/new/file"},
		{"act's folder", "/var/run/act/workflow/envs.txt", spec.Act + "/workflow/envs.txt"},
		{"the clone", "/.cc-ci/clone/compose.yml", spec.Clone + "/compose.yml"},
		{"a way up and down again", "/var/run/act/../../.." + workspace + "/dir", spec.Workspace + "/dir"},
		{"a link to a file beside it", workspace + "/to-file", spec.Workspace + "/dir/file"},
		{"a file through a link to a folder", workspace + "/to-dir/x", spec.Workspace + "/dir/x"},
		{"a link from one folder to the other", workspace + "/to-act", spec.Act + "/output"},
		{"the same by a relative link", workspace + "/up-to-act", spec.Act + "/output"},
		{"a link to nothing", workspace + "/dangling", spec.Workspace + "/absent"},
		{"a link to a path of the host", workspace + "/to-host", ""},
		{"the same by a relative link", workspace + "/up", ""},
		{"a link to the host's name of a shared folder", workspace + "/host-named", ""},
		{"a link to itself", workspace + "/loop", ""},
		{"a file of the image", "/etc/passwd", ""},
		{"a neighbour of the workspace", workspace + "2/file", ""},
		{"above the workspace", "/workspace", ""},
		{"out of the workspace", workspace + "/../file", ""},
		{"a relative path", "file", ""},
		{"nothing", "", ""},
	} {
		got, ok := box.HostPath(c.path)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %s is %q, %v; want %q", c.what, c.path, got, ok, c.want)
		}
	}
}
