"""The packages replaced by later ones, and taken away: after all that wants a station."""

import subprocess
from pathlib import Path

import site_files
from conftest import accounts
from installed import apt, pid
from machine import wait_for


def next_version(package, to):
    """The same package as a later version."""
    tree = to / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("0.1.0", "0.1.1"))
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", tree, to], check=True, capture_output=True)
    [made] = to.glob("*.deb")
    return made


def version(machine):
    return machine.run("dpkg-query", "--show", "--showformat=${Version}", "voltry")


def test_an_upgrade_waits_for_a_running_charge_and_keeps_data_and_configuration(station, packages, tmp_path):
    machine = station.machine
    site = machine.root / "etc/voltry/voltry.d/70-site.toml"
    text = '[station]\nname = "By the administrator"\n'
    site.write_text(text)
    newer = []
    for name, package in packages.items():
        (tmp_path / name).mkdir()
        newer.append(next_version(package, tmp_path / name))
    for package in newer:
        (machine.root / "srv" / package.name).write_bytes(package.read_bytes())
    known = station.transactions()
    station.charge()
    daemon = pid(machine, "voltry-evse@1")
    install = apt("install", *(f"/srv/{package.name}" for package in newer))
    impatient = machine.try_run("env", "VOLTRY_PATIENCE_S=1", *install)
    assert impatient.returncode != 0
    assert "somebody still charges" in impatient.stdout + impatient.stderr
    assert version(machine) == "0.1.0"
    upgrade = machine.start(*install)
    wait_for(lambda: machine.try_run("pgrep", "-f", "wait-until-idle").returncode == 0, "the upgrade waits")
    assert station.evse()["state"] == "charging"
    assert (upgrade.poll(), pid(machine, "voltry-evse@1")) == (None, daemon)
    machine.run("voltryctl", "stop", "1")
    output, _ = upgrade.communicate(timeout=120)
    assert upgrade.returncode == 0, output
    assert "somebody charges; waiting" in output
    assert version(machine) == "0.1.1"
    wait_for(lambda: pid(machine, "voltry-evse@1") not in {"0", daemon}, "the new programs run")
    station.free()
    assert [row["id"] for row in station.transactions()][-len(known) :] == [row["id"] for row in known]
    assert site.read_text() == text
    station.charge()
    station.free()


def test_a_purge_leaves_nothing(station, before):
    machine = station.machine
    site_files.clear(machine.root)
    machine.run(*apt("purge", "voltry", "voltry-simulated"))
    marks = ["voltry", "deb-systemd-helper"]
    new = machine.files() - before["files"]
    left = {path for path in new if any(mark in path for mark in marks) and not path.startswith("srv/")}
    assert left == set()
    assert accounts(machine, "passwd") == before["users"]
    assert accounts(machine, "group") == before["groups"]
    assert machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "voltry*") == ""
    assert not list(Path(machine.root, "run").glob("voltry*"))
