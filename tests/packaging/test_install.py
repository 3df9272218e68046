"""What packaging/files installs, and the Debian packages' own files."""

import configparser
import os
import re
import subprocess
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
PACKAGES = ["voltry", "voltry-simulated"]
LINES = [line.split() for line in (PACKAGING / "files").read_text().splitlines() if line and line[0] != "#"]
UNITS = [*(PACKAGING / "systemd").glob("*.service"), *(PACKAGING / "simulated/systemd").glob("*.service")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Everything that both packages install, with empty programs."""
    programs, root = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("root")
    for _, _, source, _ in LINES:
        if source.startswith("bin/"):
            (programs / source.removeprefix("bin/")).touch()
    subprocess.run([PACKAGING / "install", programs, root, *PACKAGES], check=True, timeout=30)
    return root


def test_each_line_of_the_list_says_four_things():
    assert {len(line) for line in LINES} == {4}
    assert {package for package, *_ in LINES} == set(PACKAGES)


def test_a_source_that_is_not_there_is_no_success(tmp_path):
    done = subprocess.run([PACKAGING / "install", tmp_path, tmp_path / "root", "voltry"], capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_is_installed_with_the_program_that_it_starts(installed, unit):
    assert (installed / "usr/lib/systemd/system" / unit.name).exists()
    for program in re.findall(r"^Exec\w+=[-+!:]*(\S+)", unit.read_text(), re.M):
        assert (installed / program.removeprefix("/")).exists(), program


@pytest.mark.parametrize(("folder", "to"), [
    ("packaging/systemd", "usr/lib/systemd/system"),
    ("packaging/meters", "usr/lib/voltry/meters"),
    ("dbus", "usr/share/dbus-1"),
])
def test_nothing_of_a_folder_stays_behind(installed, folder, to):
    there = {path.name for path in (installed / to).rglob("*") if path.is_file()}
    wanted = {path.name for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert wanted <= there


def test_raucs_word_on_its_slots_is_where_no_update_replaces_it():
    ini = re.search(r"```ini\n(.*?)```", (ROOT / "docs/updates.md").read_text(), re.S)[1]
    system = configparser.ConfigParser()
    system.read_string(textwrap.dedent(ini))
    folder = Path(system["system"]["statusfile"]).parent
    assert Path("/var/lib/voltry") in folder.parents
    assert re.search(rf"^d {folder} 0700 root root -$", (PACKAGING / "tmpfiles.d/voltry.conf").read_text(), re.M)


def test_nothing_that_would_outlive_its_package_is_installed(installed):
    """Files below /etc stay when a package is removed: a station that vends for nothing stayed configured."""
    assert {path.name for path in installed.iterdir()} == {"usr"}


def test_the_units_of_the_simulated_hardware_are_those_of_its_configuration(installed):
    config = tomllib.loads((installed / "usr/lib/voltry/50-simulated.toml").read_text())
    wanted = {f"voltry-{role}@{name}.service" for role in ["evse", "secc", "meter"] for name in config[role]}
    drop_in = (installed / "usr/lib/systemd/system/voltry.target.d/50-simulated.conf").read_text()
    wants = {unit for line in re.findall("^Wants=(.*)$", drop_in, re.M) for unit in line.split()}
    assert wants == wanted | {"voltry-sim.service"}


def test_the_credentials_that_the_documents_name_are_those_that_the_units_load():
    for unit, document in [("voltry-secc@", "docs/integration.md"), ("voltry-ocpp", "docs/ocpp.md"), ("voltry-ui", "docs/ui.md")]:
        loaded = re.findall("^LoadCredential=(.*)$", (PACKAGING / f"systemd/{unit}.service").read_text(), re.M)
        assert loaded
        for name in loaded:
            assert f"`{name}`" in (ROOT / document).read_text()


def test_the_packages_have_the_version_of_the_programs():
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert (PACKAGING / "debian/changelog").read_text().startswith(f"voltry ({version}) ")


def related(package, field):
    """The packages that debian/control names for one of ours."""
    [paragraph] = re.findall(rf"^Package: {package}$.*?(?:\n\n|\Z)", (PACKAGING / "debian/control").read_text(), re.M | re.S)
    found = re.search(rf"^{field}: (.*)$", paragraph, re.M)
    return {re.match(r"[a-z0-9-]*", each)[0] for each in re.split(r"[,|] *", found[1])} - {""} if found else set()


def test_the_debian_package_needs_what_its_programs_and_its_policy_take_for_granted():
    # The broker that knows send_destination_prefix, and where [ocpp] looks for authorities.
    assert {"dbus", "ca-certificates"} <= related("voltry", "Depends")
    assert "dbus-broker" in related("voltry", "Conflicts") - related("voltry", "Depends")


@pytest.mark.parametrize("machine", ["container/machine.py", "image/disk.py"])
def test_the_machines_that_the_packages_are_installed_in_have_what_they_need(machine):
    [included] = re.findall(r"^INCLUDED = (\([^)]*\)|[^\n]*)", (ROOT / "tests" / machine).read_text(), re.M)
    included = set(re.findall(r"[a-z0-9-]+", included))
    assert related("voltry", "Depends") | related("voltry-simulated", "Depends") <= included | {"voltry"}


PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """What voltryctl says of itself, as the Debian package has it."""
    root = tmp_path_factory.mktemp("pages")
    subprocess.run([PACKAGING / "pages", PROGRAMS, root], check=True, timeout=60)
    return root / "usr/share"


def test_each_command_has_a_man_page(pages):
    told = subprocess.run([PROGRAMS / "voltryctl", "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    commands = set(re.findall(r"^  ([a-z0-9]+) ", told.partition("Commands:")[2].partition("Options:")[0], re.M)) - {"help"}
    assert {"status", "completions"} <= commands
    written = {page.name for page in (pages / "man/man1").iterdir()}
    assert {"voltryctl.1", *[f"voltryctl-{command}.1" for command in commands]} <= written
    assert all((pages / "man/man1" / page).read_text().lstrip().startswith(".ie") for page in written)


def test_the_shell_completes_a_command(pages):
    script = """
        source "$1"
        COMP_WORDS=(voltryctl stat) COMP_CWORD=1
        _voltryctl voltryctl stat voltryctl
        echo "${COMPREPLY[*]}"
    """
    file = pages / "bash-completion/completions/voltryctl"
    done = subprocess.run(["bash", "-c", script, "-", file], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["status"]
    assert (pages / "zsh/vendor-completions/_voltryctl").read_text().startswith("#compdef voltryctl")
    assert "complete -c voltryctl" in (pages / "fish/vendor_completions.d/voltryctl.fish").read_text()


def test_a_purge_takes_every_user_along():
    users = re.findall(r"^u voltry-(\w+) ", (PACKAGING / "sysusers.d/voltry.conf").read_text(), re.M)
    [removed] = re.findall(r"for user in ([a-z ]+);", (PACKAGING / "debian/voltry.postrm").read_text())
    assert users and removed.split() == users


@pytest.mark.parametrize("package", PACKAGES)
def test_a_removal_stops_units_of_every_kind(package):
    """One that waits for a file stayed, and would have started the machine anew."""
    kinds = {path.suffix for path in (PACKAGING / "systemd").iterdir() if path.is_file()} - {".target"}
    assert kinds == {".service", ".path"}
    script = (PACKAGING / f"debian/{package}.prerm").read_text()
    assert all(f"'voltry-*{kind}'" in script for kind in kinds)
