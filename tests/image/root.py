"""A root of the machine as a folder: work inside it, and as a file system."""

import subprocess

from machine import CannotRun

MIB = 1 << 20


def file_system(content, to, size, at=0, kind="ext4"):
    """A file system of so many MiB with what is in a folder, in a file from some MiB on."""
    where = [] if at == 0 else ["-E", f"offset={at * MIB}"]
    # GRUB 2.06 reads none with these.
    features = [] if kind == "ext2" else ["-O", "^metadata_csum_seed,^orphan_file"]
    line = [f"mkfs.{kind}", "-q", "-F", *features, *where, "-d", content, to, f"{size}m"]
    made = subprocess.run(line, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise CannotRun(f"no file system: {made.stderr[-500:]}")


def inside(root, *command):
    """Runs a command in the root, with the kernel's files there and nothing of it left behind."""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    line = ["unshare", "--mount", "bash", "-c", enter, root, *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout
