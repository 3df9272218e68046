"""Debian's own kernel, unpacked and given the little that finds its root.

The cloud's kernel has no CAN, so it is the one for real machines. Nothing of it is installed here.
"""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

from machine import CannotRun

HERE = Path(__file__).resolve().parent
# Drivers that the first file system needs: the disk and what is on it.
EARLY = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"]
# Drivers that the running machine needs: its controllers, its watchdog, what the test speaks through, and what
# systemd, the station and RAUC ask of any kernel.
LATE = [
    *["kvaser_pci", "can_raw", "i6300esb", "virtio_console", "9pnet_virtio", "9p"],
    *["veth", "af_packet", "ipv6", "autofs4", "fuse", "loop", "dm_mod", "configfs", "efi_pstore", "nft_compat"],
    *["dm_verity", "squashfs"],
]
# The root is what the boot loader says. Where it has no system the kernel panics, and the machine starts anew.
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t devtmpfs none /dev
while read -r module; do /bin/busybox insmod "/modules/$module"; done </modules/order
read -r line </proc/cmdline
for word in $line; do case $word in root=*) root=${word#root=} ;; esac; done
tries=0
until /bin/busybox mount -t ext4 -o rw "$root" /root; do
    tries=$((tries + 1)); [ $tries -lt 50 ] || exit 1
    /bin/busybox sleep 0.1
done
exec /bin/busybox switch_root /root /lib/systemd/systemd
"""


class Kernel:
    """A kernel: `image`, `first` (its initramfs), and `modules` to copy into a root."""

    def __init__(self, folder):
        package = newest_package()
        self.release = package.removeprefix("linux-image-")
        self.tree = folder / package
        self.image = self.tree / f"boot/vmlinuz-{self.release}"
        self.modules = self.tree / "lib/modules" / self.release
        if not self.image.exists():
            fetch([package], folder, self.tree)
        self.bus_off = build_bus_off(self.release, folder)
        subprocess.run(["depmod", "--basedir", self.tree, self.release], check=True)
        self.first = folder / f"initramfs-{self.release}"
        self.first.write_bytes(gzip.compress(cpio(self.first_files()), 1))

    def order(self, names):
        """The modules' files in the order in which they must be loaded, relative to the folder of modules."""
        dependencies = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            file, needs = line.split(":")
            dependencies[file] = needs.split()
        by_name = {Path(file).name.split(".")[0].replace("-", "_"): file for file in dependencies}
        wanted = []
        for name in names:
            file = by_name.get(name)  # what is not there is built in, or not needed
            if file:
                wanted += [*reversed(dependencies[file]), file]
        return list(dict.fromkeys(wanted))

    def first_files(self):
        busybox = Path(shutil.which("busybox") or "/bin/busybox")
        files = {"init": (INIT.encode(), 0o755), "bin/busybox": (busybox.read_bytes(), 0o755)}
        early = self.order(EARLY)
        for file in early:
            files[f"modules/{Path(file).name}"] = ((self.modules / file).read_bytes(), 0o644)
        files["modules/order"] = ("".join(f"{Path(file).name}\n" for file in early).encode(), 0o644)
        return files

    def copy_modules(self, root):
        """Gives a root the drivers that its machine needs."""
        to = root / "usr/lib/modules" / self.release
        for file in self.order(EARLY + LATE):
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.modules / file, to / file)
        for file in ["modules.builtin", "modules.builtin.modinfo", "modules.order"]:
            shutil.copy(self.modules / file, to / file)
        (to / "extra").mkdir()
        shutil.copy(self.bus_off, to / "extra")
        subprocess.run(["depmod", "--basedir", root / "usr", self.release], check=True)


def newest_package():
    """The package that Debian's `linux-image-amd64` stands for."""
    shown = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False)
    found = re.search(r"Depends: (linux-image-\S+-amd64)", shown.stdout)
    if not found:
        raise CannotRun("apt knows no linux-image-amd64")
    return found[1]


def fetch(packages, folder, tree):
    """Unpacks some of Debian's packages into a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    part = tree.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for package in packages:
        line = ["apt-get", "download", "-q", package]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotRun(f"no {package}: {done.stderr.strip()[-300:]}")
        [file] = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", file, part], check=True)
        file.unlink()
    part.rename(tree)


def build_bus_off(release, folder):
    """The module of guest/bus_off, for the kernel of that release."""
    common, series = release.rsplit("-", 1)[0], ".".join(release.split(".")[:2])
    tree = folder / f"headers-{release}"
    own, shared = (tree / "usr/src" / f"linux-headers-{name}" for name in (release, f"{common}-common"))
    if not own.exists():
        fetch([own.name, shared.name, f"linux-kbuild-{series}"], folder, tree)
        # It names where the package would be installed.
        (own / "Makefile").write_text(f"include {shared}/Makefile\n")
    work = folder / "bus_off"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE / "guest/bus_off", work)
    done = subprocess.run(["make", "-C", own, f"M={work}", "modules"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"no module: {done.stderr.strip()[-500:]}")
    subprocess.run(["strip", "--strip-debug", work / "bus_off.ko"], check=True)
    return work / "bus_off.ko"


def cpio(files):
    """An archive as the kernel unpacks it (`newc`), of files and the folders they and mount points need."""
    folders = {"proc", "dev", "root", *(str(parent) for name in files for parent in Path(name).parents)} - {"."}
    entries = [(name, 0o040755, b"") for name in sorted(folders)]
    entries += [(name, 0o100000 | mode, data) for name, (data, mode) in files.items()]
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)
