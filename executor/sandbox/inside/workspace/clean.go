package workspace

import (
	"fmt"
	"os"
	"path/filepath"
)

// Clean removes what is in the given folders, not the folders: they are mount
// points. What root made in them in the container an ordinary user of the host
// could not remove.
func Clean(folders []string) error {
	if len(folders) == 0 {
		return UsageError("name the folders to clean")
	}
	for _, folder := range folders {
		if !filepath.IsAbs(folder) || filepath.Clean(folder) == "/" {
			return UsageError(fmt.Sprintf("%q isn't a folder to clean: name it from the root, and not the root", folder))
		}
	}
	for _, folder := range folders {
		root, err := os.OpenRoot(folder)
		if err != nil {
			return err
		}
		err = empty(root)
		root.Close()
		if err != nil {
			return fmt.Errorf("clean %s: %w", folder, err)
		}
	}
	return nil
}

// empty removes everything in a folder, following no link.
func empty(root *os.Root) error {
	names, err := namesIn(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

func namesIn(root *os.Root) ([]string, error) {
	folder, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Readdirnames(-1)
}
