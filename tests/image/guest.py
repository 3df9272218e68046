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
}
COMMAND_LINE = "console=ttyS0 quiet panic=-1 mitigations=off systemd.show_status=true"


def ask_fitness():
    """Raises where no such machine can be made."""
    if os.geteuid() != 0:
        raise CannotRun("only root may make its root file system")
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            raise CannotRun(f"no {program} on this machine (package {package})")


class Guest:
    """One machine with its disk; it may be powered on and cut off again and again."""

    def __init__(self, folder, kernel, disk, shared):
        self.folder, self.kernel, self.disk, self.shared = folder, kernel, disk, shared
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
        with (self.folder / "qemu.log").open("ab") as log:
            self.qemu = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.monitor = Monitor(self.connect("monitor"))
        self.agent = self.connect("agent")

    def command(self):
        socket_of = "id={0},path={1}/{0},server=on,wait=off".format
        return [
            *["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"],
            # Its clock is its count of instructions, a nanosecond each: deadlines hold however busy this machine is.
            *["-accel", "tcg,thread=single", "-icount", "shift=0", "-cpu", "Nehalem", "-m", "768"],
            *["-kernel", self.kernel.image, "-initrd", self.kernel.first, "-append", COMMAND_LINE],
            *["-serial", f"file:{self.console}.{self.boots}"],
            *["-drive", f"file={self.disk},format=raw,if=virtio,cache=writethrough"],
            *["-object", "can-bus,id=wire", "-device", "kvaser_pci,canbus=wire", "-device", "kvaser_pci,canbus=wire"],
            *["-device", "i6300esb", "-action", "watchdog=reset"],
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

    def boot(self, limit=300):
        """Starts it and returns when its agent answers."""
        self.power_on()
        self.wait_for_agent(limit)

    def wait_for_agent(self, limit=300):
        """Waits until the machine takes commands."""
        self.agent.settimeout(limit)
        line = Lines(self.agent)
        try:
            while line.read() != b"ready":
                pass
        except TimeoutError:
            raise AssertionError(f"the machine does not come up: {self.said()[-2000:]}") from None
        self.lines = line

    def power_cut(self):
        """Ends it between one instruction and the next."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()
        self.agent.close()
        self.monitor.close()

    def try_run(self, *command, user=None, limit=120):
        """Runs a command inside, as root or as somebody else; says what came of it."""
        if user:
            command = ("runuser", "-u", user, "--", *command)
        words = b"".join(str(word).encode() + b"\0" for word in command)
        self.agent.settimeout(limit + 60)
        self.agent.sendall(f"{limit} {base64.b64encode(words).decode()}\n".encode())
        status, out, err = self.lines.read().split(b" ")
        text = [base64.b64decode(part).decode(errors="replace") for part in (out, err)]
        return subprocess.CompletedProcess(command, int(status), *text)

    def run(self, *command, **options):
        """Runs a command inside that must succeed; returns what it printed."""
        done = self.try_run(*command, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit, *properties):
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, *arguments):
        """Entries of the journal, with all their fields."""
        return [json.loads(line) for line in self.run("journalctl", "--output=json", *arguments).splitlines()]

    def said(self):
        """What came over the serial console since it was powered on."""
        return Path(f"{self.console}.{self.boots}").read_text(errors="replace")


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
