"""A machine in QEMU: it boots, is steered through an agent, and loses its power."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from machine import CannotRun, wait_for

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "depmod": "kmod",
    "busybox": "busybox-static",
    "dpkg-deb": "dpkg",
    "make": "make",
    "gcc": "gcc",
}
# Seconds of the clock on the wall in which one comes up, whatever else the host does; and the restarts until then.
COMES_UP = 1200
RESTARTS = 8


def ask_fitness():
    """Raises where no such machine can be made."""
    if os.geteuid() != 0:
        raise CannotRun("only root may make its root file system")
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            raise CannotRun(f"no {program} on this machine (package {package})")


class Guest:
    """One machine with its disk; it may be powered on and cut off again and again."""

    def __init__(self, folder, disk, stick, shared):
        self.folder, self.disk, self.stick, self.shared = folder, disk, stick, shared
        self.console = folder / "console"
        self.qemu = self.agent = self.monitor = None
        self.boots = 0
        self.powered_at = 0.0

    def power_on(self):
        """Starts it; returns at once."""
        for name in ["agent", "monitor"]:
            (self.folder / name).unlink(missing_ok=True)
        self.boots += 1
        self.powered_at = time.monotonic()
        # Without its tables of translated code in huge pages it spends half of its time looking things up in them.
        huge = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
        with (self.folder / "qemu.log").open("ab") as log:
            self.qemu = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=huge)
        self.monitor = Monitor(self.connect("monitor"))
        self.agent = self.connect("agent")

    def command(self):
        socket_of = "id={0},path={1}/{0},server=on,wait=off".format
        return [
            *["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"],
            # Its clock is its count of instructions, a nanosecond each: deadlines hold however busy this machine is.
            *["-accel", "tcg,thread=single", "-icount", "shift=0", "-cpu", "Nehalem", "-m", "768"],
            *["-serial", f"file:{self.console}.{self.boots}"],
            *["-drive", f"file={self.disk},format=raw,if=virtio,cache=writethrough"],
            *["-drive", f"file={self.stick},format=raw,if=virtio,readonly=on"],
            *["-object", "can-bus,id=wire", "-device", "kvaser_pci,canbus=wire", "-device", "kvaser_pci,canbus=wire"],
            # A machine that starts anew ends QEMU, and is powered on again: QEMU 7.2 does not bring its CAN controllers
            # through a reset, after it they tell of overruns and of no frames.
            *["-device", "i6300esb", "-action", "watchdog=reset,reboot=shutdown"],
            *["-virtfs", f"local,path={self.shared},mount_tag=meter,security_model=none,multidevs=remap"],
            *["-device", "virtio-serial-pci", "-chardev", f"socket,{socket_of('agent', self.folder)}"],
            *["-device", "virtserialport,chardev=agent,name=voltry.test"],
            *["-chardev", f"socket,{socket_of('monitor', self.folder)}", "-mon", "chardev=monitor,mode=control"],
        ]

    def connect(self, name):
        def dial():
            if self.qemu.poll() is not None:
                raise CannotRun(f"QEMU ended: {(self.folder / 'qemu.log').read_text()[-500:]}")
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(self.folder / name))
            except OSError:
                line.close()
                return None
            return line

        return wait_for(dial, f"QEMU's {name}", 30)

    def boot(self):
        """Starts it and returns when its agent answers."""
        self.power_on()
        self.wait_for_agent()

    def wait_for_agent(self):
        """Waits until the machine takes commands."""
        self.agent.settimeout(COMES_UP)
        line = Lines(self.agent)
        try:
            while line.read() != b"ready":
                pass
        except TimeoutError:
            raise AssertionError(f"the machine does not come up: {self.said()[-2000:]}") from None
        self.lines = line

    def follow_restarts(self, within=COMES_UP):
        """Waits until the machine starts anew by itself, as often as it does, and takes commands again."""
        self.qemu.wait(within)
        for _ in range(RESTARTS):
            self.let_go()
            self.power_on()
            try:
                return self.wait_for_agent()
            except (EOFError, ConnectionError):
                self.qemu.wait(60)
        raise AssertionError(f"the machine starts anew again and again: {self.said()[-2000:]}")

    def power_cut(self):
        """Ends it between one instruction and the next."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()
        self.let_go()

    def let_go(self):
        self.agent.close()
        self.monitor.close()

    def try_run(self, *command, user=None, limit=120):
        """Runs a command inside, as root or as somebody else; says what came of it."""
        if user:
            command = ("runuser", "-u", user, "--", *command)
        words = b"".join(str(word).encode() + b"\0" for word in command)
        self.agent.settimeout(limit + COMES_UP)
        self.agent.sendall(f"{limit} {base64.b64encode(words).decode()}\n".encode())
        status, out, err = self.lines.read().split(b" ")
        text = [base64.b64decode(part).decode(errors="replace") for part in (out, err)]
        return subprocess.CompletedProcess(command, int(status), *text)

    def run(self, *command, **options):
        """Runs a command inside that must succeed; returns what it printed."""
        done = self.try_run(*command, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
        return done.stdout

    def run_later(self, *command):
        """Begins a command inside that ends this boot, once we have the agent's answer."""
        self.run("sh", "-c", '(sleep 1; exec "$@") >/dev/null 2>&1 &', "sh", *command)

    def clock(self):
        """Seconds since its kernel's start, by its own clock."""
        return float(self.run("cat", "/proc/uptime").split()[0])

    def show(self, unit, *properties):
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, *arguments):
        """Entries of the journal, with all their fields."""
        return [json.loads(line) for line in self.run("journalctl", "--output=json", *arguments).splitlines()]

    def said(self, boot=None):
        """What came over the serial console since it was powered on, last or for the time of that number."""
        return Path(f"{self.console}.{boot or self.boots}").read_text(errors="replace")


class Lines:
    """Lines of a socket."""

    def __init__(self, line):
        self.socket, self.held = line, b""

    def read(self):
        while b"\n" not in self.held:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError("the machine is off")
            self.held += piece
        line, self.held = self.held.split(b"\n", 1)
        return line


class Monitor:
    """QEMU's own monitor: what it says happened."""

    def __init__(self, line):
        line.settimeout(60)
        self.socket, self.lines = line, Lines(line)
        self.lines.read()  # its greeting
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """The answer to a command; events before it are forgotten."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while "return" not in (answer := json.loads(self.lines.read())):
            assert "error" not in answer, answer
        return answer["return"]

    def wait_for(self, event, limit):
        """The data of the next such event."""
        self.socket.settimeout(limit)
        while (told := json.loads(self.lines.read())).get("event") != event:
            pass
        return told["data"]

    def close(self):
        self.socket.close()
