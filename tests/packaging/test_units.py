"""The unit files, as systemd itself reads them (no running systemd is needed)."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
UNITS = ["voltry-evse@1", "voltry-station", "voltry-power", "voltry-meter@grid", "voltry-board", "voltry-reader", "voltry-secc@1", "voltry-ocpp", "voltry-ui", "voltry-update"]
SIMULATED = "voltry-sim"
REAL_TIME = ["voltry-evse@1", "voltry-power", "voltry-board", "voltry-secc@1"]
# Of systemd's units, those that ours name.
BORROWED = [
    *["dbus.socket", "dbus.service", "sysinit.target", "basic.target", "multi-user.target", "shutdown.target"],
    *["reboot.target", "systemd-reboot.service", "umount.target", "final.target"],
]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The part of an installed system that systemd-analyze looks at."""
    root = tmp_path_factory.mktemp("image")
    system = root / "usr/lib/systemd/system"
    shutil.copytree(PACKAGING / "systemd", system)
    shutil.copytree(PACKAGING / "simulated/systemd", system, dirs_exist_ok=True)
    for unit in BORROWED:
        source = Path("/usr/lib/systemd/system") / unit
        if source.exists():
            shutil.copy(source, system)
    (root / "usr/bin").mkdir(parents=True)
    for unit in [*UNITS, SIMULATED]:
        program = root / "usr/bin" / re.match(r"[a-z-]+", unit)[0]
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return root


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


COMMON = PACKAGING / "systemd/voltry-.service.d/10-all.conf"


def own(unit):
    """The unit's own file, and the drop-in with what it needs beyond the common one."""
    folder = PACKAGING / ("simulated/systemd" if unit == SIMULATED else "systemd")
    file = folder / (re.sub(r"@.*", "@", unit) + ".service")
    return file, Path(f"{file}.d/20-needs.conf")


def settings(file):
    """Each line of a unit's file, as its key and its value."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"\w+=", line)]


def setting(unit, name):
    """The values of a setting in the order in which systemd reads them: of most settings the last one counts."""
    file, needs = own(unit)
    return [value for text in [file, COMMON, needs] for key, value in settings(text) if key == name]


@pytest.mark.parametrize("unit", [*UNITS, SIMULATED])
def test_nothing_in_the_units_own_file_is_undone_by_what_all_have_in_common(unit):
    file, _ = own(unit)
    common = {key for key, _ in settings(COMMON)}
    # These add up.
    assert {key for key, _ in settings(file)} & common <= {"SupplementaryGroups", "After"}


@pytest.mark.parametrize("unit", [*UNITS, SIMULATED])
def test_systemd_accepts_every_line_of_the_unit(image, unit):
    status, output = analyze("verify", "--man=no", f"--root={image}", f"{unit}.service")
    assert (status, output) == (0, "")


def test_a_reset_reboots_by_the_file_that_the_uplink_may_write(image):
    status, output = analyze("verify", "--man=no", f"--root={image}", "voltry-reset.path")
    assert (status, output) == (0, "")
    watched = re.search("^PathExists=(.*)$", (PACKAGING / "systemd/voltry-reset.path").read_text(), re.M)[1]
    [folder] = setting("voltry-ocpp", "RuntimeDirectory")
    assert watched == f"/run/{folder}/reset"
    assert f'reset_file = "{watched}"' in (ROOT / "docs/ocpp.md").read_text()


def test_an_update_restarts_the_machine_by_the_file_that_its_daemon_may_write(image):
    status, output = analyze("verify", "--man=no", f"--root={image}", "voltry-restart.path")
    assert (status, output) == (0, "")
    watched = re.search("^PathExists=(.*)$", (PACKAGING / "systemd/voltry-restart.path").read_text(), re.M)[1]
    [folder] = setting("voltry-update", "RuntimeDirectory")
    assert watched == f"/run/{folder}/restart"
    assert f'"{watched}"' in (ROOT / "daemons/update/src/config.rs").read_text()
    [state] = setting("voltry-update", "StateDirectory")
    assert f'"/var/lib/{state}/state.json"' in (ROOT / "daemons/update/src/config.rs").read_text()


def told_exposure():
    """The table in packaging/README.md."""
    rows = re.findall(r"^\| `(voltry-[^`]*)` \| ([0-9.]+) \|", (PACKAGING / "README.md").read_text(), re.M)
    return {unit: float(figure) for unit, figure in rows}


def test_every_unit_stands_in_the_table_of_exposures():
    assert set(told_exposure()) == {*UNITS, SIMULATED}
    assert max(told_exposure().values()) <= 2.0


@pytest.mark.parametrize("unit", [*UNITS, SIMULATED])
def test_the_sandbox_takes_away_all_but_what_the_daemon_needs(image, unit):
    threshold = f"--threshold={round(told_exposure()[unit] * 10)}"
    status, output = analyze("security", "--offline=true", threshold, f"--root={image}", f"{unit}.service")
    assert status == 0, output


def test_a_unit_without_its_sandbox_would_be_noticed(image, tmp_path):
    bare = tmp_path / "image"
    shutil.copytree(image, bare)
    shutil.rmtree(bare / "usr/lib/systemd/system/voltry-.service.d")
    status, _ = analyze("security", "--offline=true", "--threshold=10", f"--root={bare}", "voltry-power.service")
    assert status != 0


def test_a_makers_package_as_docs_oem_makes_it_runs_in_the_same_sandbox(image, tmp_path):
    subprocess.run([ROOT / "examples/package/make-deb", tmp_path], check=True, capture_output=True, timeout=60)
    shutil.copytree(image, tmp_path / "image")
    [package] = tmp_path.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path / "image"], check=True, timeout=60)
    here = f"--root={tmp_path / 'image'}"
    assert analyze("verify", "--man=no", here, "voltry-example-power.service") == (0, "")
    status, output = analyze("security", "--offline=true", "--threshold=20", here, "voltry-example-power.service")
    assert status == 0, output
    program = tmp_path / "image/usr/bin/voltry-example-power"
    told = json.loads(subprocess.check_output([program, "--check-config", "--json"], timeout=60))
    policy = (tmp_path / "image/usr/share/dbus-1/system.d/com.example.Power1.conf").read_text()
    bound = tomllib.loads((tmp_path / "image/usr/lib/voltry/10-example.toml").read_text())["evse"]["1"]["power_supply"]
    assert told == {"tables": [], "objects": [bound], "errors": []}
    assert f'<allow own="{bound["name"]}"/>' in policy
    assert 'user="voltry-example-power"' in policy


SERIAL = ["voltry-board", "voltry-power", "voltry-meter@grid", "voltry-reader"]
# By the kernel's drivers: 8250, i.MX, AMBA, STM32, Zynq, NXP's SPI bridges, OMAP, Qualcomm.
UARTS = ["ttyS", "ttymxc", "ttyAMA", "ttySTM", "ttyPS", "ttySC", "ttyO", "ttyMSM"]
# As Documentation/admin-guide/devices.txt has them.
ADAPTERS = {"ttyUSB": "188", "ttyACM": "166"}
CONSOLES = ["tty", "ttyp", "ttyprintk", "/dev/tty", "/dev/console", "/dev/vc/0"]


def groups(lines):
    """The groups of character devices that DeviceAllow= names: of /proc/devices by pattern, or by number."""
    return [re.fullmatch("char-(.*) rw", line)[1] for line in lines]


@pytest.mark.parametrize("unit", SERIAL)
def test_a_serial_line_may_be_any_uart_and_no_console(unit):
    allowed = groups(setting(unit, "DeviceAllow"))
    named = {name for file in (ROOT / "docs").glob("*.md") for name in re.findall(r"/dev/(tty[A-Za-z]+)\d", file.read_text())}
    assert "ttyLP" in named
    for name in [*UARTS, *ADAPTERS, *named]:
        assert any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed), name
    assert not [name for name in CONSOLES for pattern in allowed if fnmatch.fnmatchcase(name, pattern)]


def test_an_adapter_may_come_after_the_daemon_that_uses_it():
    """At a unit's start systemd leaves out the names that no driver has taken yet; a number it takes as it is."""
    for unit in SERIAL:
        assert set(ADAPTERS.values()) <= set(groups(setting(unit, "DeviceAllow"))), unit
    example = settings(ROOT / "examples/package/20-needs.conf")
    assert set(groups(value for key, value in example if key == "DeviceAllow")) == set(ADAPTERS.values())


def test_a_makers_package_that_is_removed_leaves_no_unit_that_would_start(tmp_path):
    subprocess.run([ROOT / "examples/package/make-deb", tmp_path], check=True, capture_output=True, timeout=60)
    [package] = tmp_path.glob("*.deb")
    subprocess.run(["dpkg-deb", "--control", package, tmp_path / "control"], check=True, timeout=60)
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/told\n')
    (tmp_path / "systemctl").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for script, action in [("prerm", "upgrade"), ("prerm", "remove"), ("postrm", "remove")]:
        subprocess.run([tmp_path / "control" / script, action], env=environment, check=True, timeout=60)
    told = (tmp_path / "told").read_text().splitlines()
    running = Path("/run/systemd/system").is_dir()
    stopped = ["stop voltry-example-power.service", "daemon-reload"] if running else []
    assert told == ["disable voltry-example-power.service", *stopped]


@pytest.mark.parametrize("unit", UNITS)
def test_the_supervisor_restarts_each_daemon_alone_and_for_ever(unit):
    assert setting(unit, "Type") == ["notify"]
    assert setting(unit, "Restart") == ["on-failure"]
    assert setting(unit, "StartLimitIntervalSec") == ["0"]
    assert len(setting(unit, "WatchdogSec")) == 1


@pytest.mark.parametrize("unit", REAL_TIME)
def test_a_real_time_daemon_that_spins_is_ended(unit):
    assert setting(unit, "CPUSchedulingPolicy") == ["rr"]
    assert setting(unit, "LimitRTTIME") == ["200ms"]


def test_the_bus_goes_before_who_waits_for_it_and_is_never_ended_for_its_load(image):
    drop_in = dict(settings(PACKAGING / "systemd/dbus.service.d/50-voltry.conf"))
    assert drop_in == {"CPUSchedulingPolicy": "rr", "CPUSchedulingPriority": "20"}
    [evse], [board] = setting("voltry-evse@1", "CPUSchedulingPriority"), setting("voltry-board", "CPUSchedulingPriority")
    assert int(evse) <= int(drop_in["CPUSchedulingPriority"]) < int(board)
    _, output = analyze("verify", "--man=no", f"--root={image}", "dbus.service")
    assert "50-voltry.conf" not in output


def test_what_has_outputs_makes_them_safe_however_it_ended():
    for unit in UNITS:
        program = re.match(r"[a-z-]+", unit)[0]
        outputs = program in {"voltry-power", "voltry-board"}
        assert setting(unit, "ExecStopPost") == ([f"-/usr/bin/{program} --make-safe"] if outputs else [])


def test_every_unit_runs_as_its_own_user_and_that_user_exists():
    sysusers = (PACKAGING / "sysusers.d/voltry.conf").read_text()
    users = [setting(unit, "User") for unit in UNITS]
    assert len({user for [user] in users}) == len(UNITS)
    for [user] in users:
        assert re.search(rf"^u {user} ", sysusers, re.M)
        assert re.search(rf"^m {user} voltry-daemon$", sysusers, re.M)


def test_every_unit_file_is_under_test():
    files = {path.stem for path in (PACKAGING / "systemd").glob("*.service")}
    assert files == {re.sub(r"@.*", "@", unit) for unit in UNITS}


def test_sysusers_accepts_the_users(tmp_path):
    if not shutil.which("systemd-sysusers"):
        pytest.skip("no systemd-sysusers on this machine")
    (tmp_path / "etc").mkdir()
    source = str(PACKAGING / "sysusers.d/voltry.conf")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", source], check=True, timeout=30)
    groups = (tmp_path / "etc/group").read_text()
    assert re.search(r"^voltry-daemon:.*voltry-evse.*voltry-ui", groups, re.M)
