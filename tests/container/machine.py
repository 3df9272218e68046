"""A small Debian that boots in a container with systemd as process 1, steered from outside.

Needs root. The container has no network but its own, and cgroups of its own below ours; nothing is registered
with a service of the host.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

CGROUPS = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
INCLUDED = (
    "systemd,systemd-sysv,dbus,ca-certificates,libnss-systemd,iproute2,libssl3,init-system-helpers,passwd,procps,"
    # What installs updates; what a maker's daemon in Python is written with.
    "rauc,rauc-service,python3,python3-dbus-fast,python3-can,python3-serial"
)


class CannotRun(Exception):
    """This machine is not fit for containers; says why."""


def suite():
    """The Debian of this machine: programs built here run on no older one."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return release.get("VERSION_CODENAME", "bookworm").strip('"')


def ask_fitness():
    """Raises where no container can run."""
    if os.geteuid() != 0:
        raise CannotRun("only root may start containers")
    for program in ["mmdebstrap", "systemd-nspawn", "nsenter"]:
        if not shutil.which(program):
            raise CannotRun(f"no {program} on this machine")


def base(folder, included=INCLUDED):
    """A minimal Debian with these packages as a tar file in `folder`, made once."""
    name = hashlib.sha256(f"{suite()} {included}".encode()).hexdigest()[:12]
    tar = folder / f"base-{name}.tar"
    part = folder / f"part-{tar.name}"  # mmdebstrap makes what the name ends in
    if not tar.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            [
                *["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={included}"],
                *["--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*"],
                *['--aptopt=APT::Install-Recommends "false"', suite(), part],
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise CannotRun(f"mmdebstrap cannot make a Debian {suite()}: {made.stderr.strip()[-500:]}")
        part.rename(tar)
    return tar


def wait_for(condition, what, limit=60.0, pause=0.1, clock=time.monotonic):
    """The first value of `condition()` that is true; between two askings there is a pause, in seconds."""
    deadline = clock() + limit
    while True:
        value = condition()
        if value:
            return value
        if clock() > deadline:
            raise AssertionError(f"not within {limit:.0f} s: {what}")
        time.sleep(pause)


class Machine:
    """A container, from its boot to its power-off."""

    def __init__(self, tar, root):
        self.root = root
        self.console = root.with_suffix(".console")
        self.cgroup = f"voltry-{os.getpid()}"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run(["tar", "-C", root, "-xf", tar], check=True)
        self.nspawn = self.leader = None

    def boot(self):
        """Starts it, and returns when it has come up."""
        folders = [folder / self.cgroup for folder in CGROUPS if (folder / "cgroup.procs").exists()]
        enter = "".join(f"mkdir -p {folder} && echo $$ > {folder}/cgroup.procs && " for folder in folders)
        command = (
            f"{enter} exec systemd-nspawn --quiet --directory={self.root} --boot --register=no --keep-unit"
            " --console=pipe --private-network --link-journal=no"
        )
        with self.console.open("wb") as console:
            self.nspawn = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self.leader = wait_for(self.find_leader, "process 1 of the container")
        wait_for(lambda: self.try_run("systemctl", "is-system-running").stdout.strip() == "running", "the container's boot")

    def find_leader(self):
        if self.nspawn.poll() is not None:
            raise CannotRun(f"systemd-nspawn ended: {self.console.read_text(errors='replace').strip()[-500:]}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        started = [child for child in children if Path(f"/proc/{child}/comm").read_text().strip() == "systemd"]
        return started[0] if started else None

    def try_run(self, *command, user=None, limit=120, **options):
        """Runs a command inside, as root or as somebody else; says what came of it."""
        if user:
            command = ("runuser", "-u", user, "--", *command)
        line = ["nsenter", "-t", self.leader, "-a", "--", *map(str, command)]
        return subprocess.run(line, capture_output=True, text=True, timeout=limit, check=False, **options)

    def run(self, *command, **options):
        """Runs a command inside that must succeed; returns what it printed."""
        done = self.try_run(*command, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command):
        """Starts a command inside that is waited for later."""
        line = ["nsenter", "-t", self.leader, "-a", "--", *map(str, command)]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def show(self, unit, *properties):
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, *arguments):
        """Entries of the journal, with all their fields."""
        return [json.loads(line) for line in self.run("journalctl", "--output=json", *arguments).splitlines()]

    def files(self):
        """Every path of the file system, but what the kernel and running programs make."""
        fleeting = {"proc", "sys", "run", "dev", "tmp"}
        folders = [folder for folder in sorted(self.root.iterdir()) if folder.name not in fleeting and not folder.is_symlink()]
        return {str(path.relative_to(self.root)) for folder in folders for path in folder.rglob("*")}

    def power_off(self):
        """Ends it."""
        if self.nspawn is None:
            return
        if self.leader:
            self.try_run("systemctl", "poweroff")
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        for folder in CGROUPS:
            for inner in sorted((folder / self.cgroup).glob("**/"), reverse=True):
                try:
                    inner.rmdir()
                except OSError:
                    pass
