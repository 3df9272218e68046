"""What the machine starts from: a disk with a boot loader, two places for the system and what outlives both; and a
stick with bundles, by which a technician brings a new version."""

import shutil
import struct
import subprocess
from pathlib import Path

import bundles
from installed import apt
from machine import base
from root import MIB, file_system, inside

HERE = Path(__file__).resolve().parent
INCLUDED = (
    "systemd,systemd-sysv,dbus,ca-certificates,libnss-systemd,udev,kmod,iproute2,libssl3,init-system-helpers,passwd,"
    "procps,can-utils,sqlite3,rauc,rauc-service,squashfs-tools,grub-common,grub-pc-bin"
)
# Partitions, in MiB from the disk's beginning: the boot loader's, two slots, and /var/lib/voltry.
BOOT, SLOT_A, SLOT_B, DATA = PARTITIONS = [(1, 7), (8, 1024), (1032, 1024), (2056, 192)]
# What a site writes, and where it belongs.
FILES = {
    "agent": ("usr/local/lib/test-agent", 0o755),
    "test-agent.service": ("etc/systemd/system/test-agent.service", 0o644),
    "can.network": ("etc/systemd/network/10-can.network", 0o644),
    "hog": ("usr/local/lib/test-hog", 0o755),
    "voltry-hog@.service": ("etc/systemd/system/voltry-hog@.service", 0o644),
    "hog.conf": ("etc/systemd/system/voltry-hog@.service.d/20-needs.conf", 0o644),
    "watchdog.conf": ("etc/systemd/system.conf.d/10-watchdog.conf", 0o644),
    "topology.toml": ("etc/voltry-sim.toml", 0o644),
    "simulator.conf": ("etc/systemd/system/voltry-sim.service.d/30-machine.conf", 0o644),
    "meter.mount": ("etc/systemd/system/var-lib-voltry\\x2dmeter.mount", 0o644),
    "fstab": ("etc/fstab", 0o644),
    "rauc.conf": ("etc/rauc/system.conf", 0o644),
    "fw_env": ("usr/local/bin/fw_setenv", 0o755),
    "update.toml": ("etc/voltry/voltry.d/60-update.toml", 0o644),
}
ENABLED = [
    *["systemd-networkd.service", "test-agent.service", "var-lib-voltry\\x2dmeter.mount"],
    *["voltry-update.service", "voltry-reset.path"],
]
# What would only take the emulated processor's time; and the other voice that says "good".
MASKED = [
    *["e2scrub_reap.service", "e2scrub_all.timer", "getty@tty1.service", "serial-getty@ttyS0.service"],
    *["systemd-logind.service", "systemd-user-sessions.service", "systemd-update-utmp.service"],
    *["systemd-update-utmp-runlevel.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"],
    *["systemd-pstore.service", "systemd-binfmt.service", "systemd-machine-id-commit.service", "fstrim.timer"],
    *["systemd-journal-flush.service", "systemd-network-generator.service", "systemd-firstboot.service"],
    *["grub-common.service", "rauc-mark-good.service"],
]
MODULES = ["biosdisk", "part_msdos", "ext2", "normal", "loadenv", "test", "echo", "linux", "serial", "terminal", "sleep", "reboot"]


def make(folder, kernel, packages):
    """Makes disk and stick anew from the packages; they are files that no other machine has used."""
    root, disk, stick = folder / "root", folder / "disk", folder / "stick"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    subprocess.run(["tar", "-C", root, "-xf", base(folder, INCLUDED)], check=True)
    install(root, kernel, packages)
    loader = take_loader(root)
    keys = bundles.make_keys(folder, root)
    shutil.copy(keys / "maker.pem", root / "etc/rauc")
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    shutil.move(root / "var/lib/voltry", data)
    (root / "var/lib/voltry").mkdir()
    images = bundles.make_images(folder, root)

    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(sum(DATA) * MIB)
        file.write(loader["boot.img"][:440])
        file.seek(446)
        # Not active, no cylinders, Linux, first sector, sectors; all of 512 bytes.
        file.write(b"".join(struct.pack("<B3xB3xII", 0, 0x83, at * 2048, size * 2048) for at, size in PARTITIONS))
        file.write(b"\x55\xaa")
        file.write(loader["core.img"])
    file_system(loader["folder"], disk, BOOT[1], BOOT[0], "ext2")
    file_system(data, disk, DATA[1], DATA[0])
    place = [f"of={disk}", "bs=1M", f"seek={SLOT_A[0]}", "conv=notrunc,sparse", "status=none"]
    subprocess.run(["dd", f"if={images['1.0.0']}", *place], check=True)

    sold = bundles.make(folder, root, images, keys)
    stick.unlink(missing_ok=True)
    file_system(sold, stick, sum(file.stat().st_size for file in sold.iterdir()) // MIB * 5 // 4 + 16)
    for made in [root, data, sold, keys, *images.values()]:
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    return disk, stick


def install(root, kernel, packages):
    """The station, as an image builder or a technician installs it."""
    kernel.copy_modules(root)
    for name, (to, mode) in FILES.items():
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "guest" / name, root / to)
        (root / to).chmod(mode)
    (root / "usr/local/bin/fw_printenv").symlink_to("fw_setenv")
    (root / "var/lib/voltry-meter").mkdir(exist_ok=True)
    (root / "etc/hostname").write_text("voltry\n")
    for package in packages.values():
        shutil.copy(package, root / "srv")
    inside(root, *apt("install", *(f"/srv/{package.name}" for package in packages.values())))
    # As packaging/README.md says.
    inside(root, "dpkg-divert", "--rename", "/usr/lib/voltry/50-simulated.toml")
    (root / "etc/voltry/voltry.d/50-simulated.toml").write_text(
        inside(root, "voltry-sim", "configuration", "--topology", "/etc/voltry-sim.toml")
    )
    inside(root, "systemctl", "enable", *ENABLED)
    inside(root, "systemctl", "mask", *MASKED)
    for package in packages.values():
        (root / "srv" / package.name).unlink()
    shutil.copy(kernel.image, root / "boot/kernel")
    shutil.copy(kernel.first, root / "boot/first")


def take_loader(root):
    """GRUB as it lies on a disk: its first sector, what follows that, and its partition's folder. The system keeps
    the tool for its environment alone."""
    made = root.parent / "loader"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    core = ["grub-mkimage", "--format=i386-pc", "--prefix=(hd0,msdos1)/", "--output=/srv/core.img"]
    inside(root, *core, *MODULES)
    inside(root, "grub-editenv", "/srv/environment", "create")
    inside(root, "grub-editenv", "/srv/environment", "set", "BOOT_ORDER=A", "BOOT_A_LEFT=3", "BOOT_B_LEFT=0")
    shutil.move(root / "srv/environment", made)
    shutil.copy(HERE / "guest/grub.cfg", made)
    loader = {"folder": made, "boot.img": (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()}
    loader["core.img"] = (root / "srv/core.img").read_bytes()
    (root / "srv/core.img").unlink()
    shutil.rmtree(root / "usr/lib/grub")
    (root / "boot/grub").mkdir(exist_ok=True)
    return loader
