package devstack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// serverUser is the user that Postgres runs as, because it refuses to be root.
// It is nil when we are not root: then the server runs as ourselves.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("Postgres cannot run as root, and there is no user postgres or nobody: run this as another user")
}

// place makes dir for owner and returns where it really is. What owner cannot
// reach, such as a checkout in root's home, becomes a symbolic link to a
// directory outside.
func place(dir string, owner *syscall.Credential) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if owner == nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		return filepath.EvalSymlinks(dir)
	}

	hash := sha256.Sum256([]byte(dir))
	outside := fmt.Sprintf("/var/tmp/billing-postgres-%x", hash[:8])
	if target, err := os.Readlink(dir); err == nil {
		if target == outside {
			return outside, makeOwned(outside, owner)
		}
		if err := os.Remove(dir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	if err := makeOwned(dir, owner); err != nil {
		return "", err
	}
	if reachable(dir, owner) {
		return filepath.EvalSymlinks(dir)
	}

	if err := os.Remove(dir); err != nil {
		return "", fmt.Errorf("the user that runs Postgres cannot reach %s: %w", dir, err)
	}
	// Without the link that led to it, what is outside belongs to a directory
	// that was deleted.
	if err := os.RemoveAll(outside); err != nil {
		return "", err
	}
	if err := makeOwned(outside, owner); err != nil {
		return "", err
	}
	return outside, os.Symlink(outside, dir)
}

func makeOwned(dir string, owner *syscall.Credential) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrExist) {
		// Anybody may have made the directory outside before us.
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() || stat.Uid != 0 && stat.Uid != owner.Uid {
			return fmt.Errorf("%s is not a directory of root or of the user that runs Postgres: remove it", dir)
		}
	} else if err != nil {
		return err
	}
	return os.Lchown(dir, int(owner.Uid), int(owner.Gid))
}

func reachable(dir string, owner *syscall.Credential) bool {
	cmd := exec.Command("test", "-w", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	return cmd.Run() == nil
}
