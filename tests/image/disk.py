"""The machine's disk: a Debian with the station's packages, and what a site configures."""

import shutil
import subprocess
from pathlib import Path

from installed import apt
from machine import CannotRun, base

HERE = Path(__file__).resolve().parent
INCLUDED = (
    "systemd,systemd-sysv,dbus,ca-certificates,libnss-systemd,udev,kmod,iproute2,libssl3,init-system-helpers,passwd,"
    "procps,can-utils,sqlite3"
)
MIB = 1024
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
}
ENABLED = ["systemd-networkd.service", "test-agent.service", "var-lib-voltry\\x2dmeter.mount"]
# What would only take the emulated processor's time.
MASKED = [
    *["e2scrub_reap.service", "e2scrub_all.timer", "getty@tty1.service", "serial-getty@ttyS0.service"],
    *["systemd-logind.service", "systemd-user-sessions.service", "systemd-update-utmp.service"],
    *["systemd-update-utmp-runlevel.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"],
    *["systemd-pstore.service", "systemd-binfmt.service", "systemd-machine-id-commit.service", "fstrim.timer"],
    *["systemd-journal-flush.service", "systemd-network-generator.service", "systemd-firstboot.service"],
]


def make(folder, kernel, packages):
    """Makes the disk anew from the packages; it is a file that no other machine has used."""
    root, disk = folder / "root", folder / "disk"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    subprocess.run(["tar", "-C", root, "-xf", base(folder, INCLUDED)], check=True)
    kernel.copy_modules(root)
    for name, (to, mode) in FILES.items():
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "guest" / name, root / to)
        (root / to).chmod(mode)
    (root / "var/lib/voltry-meter").mkdir(exist_ok=True)
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw,errors=remount-ro 0 1\n")
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
    disk.unlink(missing_ok=True)
    subprocess.run(["mkfs.ext4", "-q", "-d", root, disk, f"{1536 * MIB}k"], check=True)
    shutil.rmtree(root)
    return disk


def inside(root, *command):
    """Runs a command in the root, with the kernel's files there and nothing of it left behind."""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    line = ["unshare", "--mount", "bash", "-c", enter, root, *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout
