"""meta-voltry, as BitBake's own parser reads it: no image can be built here, but that the recipes are whole can be
held. The classes of OpenEmbedded-Core that they inherit are not here; what of them counts is said below."""

import fnmatch
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "yocto/meta-voltry"
RECIPE = next(LAYER.glob("recipes-voltry/voltry/voltry_*.bb"))
RECIPES = [*LAYER.rglob("*.bb"), *LAYER.rglob("*.bbappend"), LAYER / "conf/layer.conf"]
# Of OpenEmbedded-Core's bitbake.conf and classes.
SURROUNDINGS = {
    "BB_SIGNATURE_HANDLER": "noop",
    "THISDIR": "${@os.path.dirname(d.getVar('FILE'))}",
    "PN": "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0]}",
    "PV": "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[1]}",
    "bindir": "/usr/bin",
    "datadir": "/usr/share",
    "localstatedir": "/var",
    "nonarch_libdir": "/usr/lib",
    "systemd_system_unitdir": "/usr/lib/systemd/system",
    "TUNE_PKGARCH": "aarch64",
    "__bbclasstype": "recipe",
}
CLASSES = ["base", "cargo", "core-image", "externalsrc", "features_check", "packagegroup", "pkgconfig", "systemd", "useradd"]

# What Voltry needs of OpenEmbedded-Core's packages.
CORE = {"ca-certificates", "dbus", "iproute2", "kernel-modules", "packagegroup-core-boot"}

needs_bitbake = pytest.mark.skipif(not importlib.util.find_spec("bb"), reason="bitbake-setup (PyPI) is not installed")


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """parsed(RECIPE, VARIABLE=VALUE...): its variables."""
    # The parser's package leaves out two servers of BitBake's, which it imports and nobody asks here.
    for absent in ("hashserv", "hashserv.client"):
        sys.modules.setdefault(absent, types.ModuleType(absent))
    import bb.data
    import bb.parse
    import bb.siggen

    folder = tmp_path_factory.mktemp("bitbake")
    (folder / "classes").mkdir()
    for name in CLASSES:
        (folder / f"classes/{name}.bbclass").write_text("")

    def parse(recipe, **more):
        data = bb.data.init()
        data.setVar("BBPATH", f"{folder}:{LAYER}")
        data.setVar("TOPDIR", str(folder))
        for name, value in {**SURROUNDINGS, **more}.items():
            data.setVar(name, value)
        data.setVar("FILE", str(recipe))
        bb.parse.siggen = bb.siggen.init(data)
        return bb.parse.handle(str(recipe), data)[""]

    return parse


def listed():
    """What packaging/files says: for each package its sources and the files that they become."""
    for line in (ROOT / "packaging/files").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            package, _, source, target = line.split()
            if source.endswith("/"):
                below = [path for path in (ROOT / source).rglob("*") if path.is_file()]
                files = [target + str(path.relative_to(ROOT / source)) for path in below]
            else:
                names = [source] if source.startswith("bin/") else ROOT.glob(source)
                files = [target + Path(name).name if target.endswith("/") else target for name in names]
            assert files, line
            for file in files:
                yield package, source, file


def test_the_crates_are_those_of_the_lock_file():
    subprocess.run([ROOT / "yocto/update-crates", "--check"], check=True, timeout=60)


@needs_bitbake
def test_the_license_names_what_is_linked(parsed):
    if not shutil.which("cargo"):
        pytest.skip("no cargo on this machine")
    done = subprocess.run([ROOT / "yocto/update-crates", "--licenses"], check=True, capture_output=True, text=True, timeout=120)
    recipe = parsed(RECIPE)
    assert recipe.getVar("LICENSE") == "(MIT | Apache-2.0) & " + done.stdout.strip()
    for checksum in recipe.getVar("LIC_FILES_CHKSUM").split():
        file, md5 = re.fullmatch(r"file://(.*);md5=(.*)", checksum).groups()
        assert subprocess.run(["md5sum", ROOT / file], capture_output=True, text=True, check=True).stdout.split()[0] == md5


@needs_bitbake
def test_the_recipe_builds_the_sources_that_it_is_a_folder_of(parsed):
    recipe = parsed(RECIPE)
    assert recipe.getVar("EXTERNALSRC") == str(ROOT)
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert recipe.getVar("PV") == version
    lock = (ROOT / "Cargo.lock").read_text().count('source = "registry')
    assert len(recipe.getVar("SRC_URI").split()) == lock > 100


@needs_bitbake
def test_a_build_within_the_sources_is_refused(parsed):
    import bb

    with pytest.raises(bb.BBHandledException):
        parsed(RECIPE, TOPDIR=str(ROOT / "build"))


@needs_bitbake
def test_every_package_that_is_needed_is_in_a_layer_of_the_build(parsed):
    def needed(recipe):
        for variable in recipe.keys():
            if variable.startswith(("RDEPENDS:", "RRECOMMENDS:", "IMAGE_INSTALL")):
                yield from recipe.getVar(variable).replace("${CORE_IMAGE_EXTRA_INSTALL}", "").split()

    recipe, group, image = [parsed(next(LAYER.rglob(f"{name}*.bb"))) for name in ["voltry_", "packagegroup-voltry", "voltry-image"]]
    ours = {"voltry", "packagegroup-voltry", *recipe.getVar("PACKAGE_BEFORE_PN").split()}
    assert {name for of in [recipe, group, image] for name in needed(of)} <= ours | CORE
    # meta-rauc's collection.
    assert recipe.getVar("RRECOMMENDS:voltry-update") == ""
    assert parsed(RECIPE, BBFILE_COLLECTIONS="core voltry rauc").getVar("RRECOMMENDS:voltry-update") == "rauc"


@needs_bitbake
def test_every_program_that_is_installed_is_built_and_no_other(parsed):
    flags = parsed(RECIPE).getVar("CARGO_BUILD_FLAGS").split()
    built = {flags[index + 1] for index, flag in enumerate(flags) if flag == "-p"}
    assert built == {Path(source).name for _, source, _ in listed() if source.startswith("bin/")}


@needs_bitbake
def test_what_is_installed_is_in_exactly_the_packages_that_packaging_names(parsed):
    recipe = parsed(RECIPE)
    packages = [*recipe.getVar("PACKAGE_BEFORE_PN").split(), "voltry"]
    packages = [recipe.expand(package) for package in packages]
    matched = {package: set() for package in packages}
    patterns = {}
    for package in packages:
        for pattern in recipe.getVar(f"FILES:{package}").split():
            patterns[package, pattern] = False
    for of, _, target in listed():
        # As do_package has it: the first package takes a file.
        for package, pattern in patterns:
            if fnmatch.fnmatchcase(target, pattern) or target.startswith(pattern + "/"):
                patterns[package, pattern] = True
                matched[package].add(target)
                assert (package == "voltry-simulated") == (of == "voltry-simulated"), f"{target} is in {package}"
                break
        else:
            pytest.fail(f"{target} is in no package")
    assert all(matched.values()), matched
    assert [of for of, taken in patterns.items() if not taken] == []
    for package in packages:
        programs = {Path(file).name for file in matched[package] if file.startswith("/usr/bin/")}
        assert programs == (set() if package == "voltry" else {package.replace("voltry-simulated", "voltry-sim").replace("voltry-ctl", "voltryctl")})


@needs_bitbake
def test_every_unit_that_is_enabled_is_in_the_package_that_enables_it(parsed):
    recipe = parsed(RECIPE)
    recipe.setVar("VOLTRY_EVSES", "1 2")
    recipe.setVar("VOLTRY_METER_LINES", "")
    assert recipe.getVar("SYSTEMD_SERVICE:voltry-evse") == "voltry-evse@1.service voltry-evse@2.service"
    assert recipe.getVar("SYSTEMD_SERVICE:voltry-meter") == "voltry-meter@.service"
    for package in recipe.getVar("SYSTEMD_PACKAGES").split():
        for unit in recipe.getVar(f"SYSTEMD_SERVICE:{package}").split():
            file = re.sub(r"@.*\.", "@.", unit)
            assert (ROOT / "packaging/systemd" / file).is_file(), unit
            files = recipe.getVar(f"FILES:{package}").split()
            installed = f"/usr/lib/systemd/system/{file}"
            assert any(fnmatch.fnmatchcase(installed, pattern) or installed.startswith(pattern + "/") for pattern in files), unit


@needs_bitbake
def test_the_image_has_the_users_that_sysusers_would_make(parsed):
    recipe = parsed(RECIPE)
    sysusers = (ROOT / "packaging/sysusers.d/voltry.conf").read_text()
    groups = [f"--system {group}" for group in re.findall(r"^g (\S+)", sysusers, re.M)]
    assert [" ".join(part.split()) for part in recipe.getVar("GROUPADD_PARAM:voltry").split(";")] == groups
    members = dict(re.findall(r"^m (\S+) (\S+)", sysusers, re.M))
    users = [
        f"--system --user-group --no-create-home --home-dir {home or '/'} --shell /sbin/nologin --groups {members[user]} {user}"
        for user, home in re.findall(r'^u (\S+) - "[^"]*"(?: (\S+))?$', sysusers, re.M)
    ]
    assert [" ".join(part.split()) for part in recipe.getVar("USERADD_PARAM:voltry").split(";")] == users


@needs_bitbake
def test_the_packagegroup_has_every_package_of_a_real_station(parsed):
    recipe, group = parsed(RECIPE), parsed(next(LAYER.rglob("packagegroup-voltry.bb")))
    packages = {recipe.expand(package) for package in recipe.getVar("PACKAGE_BEFORE_PN").split()}
    assert set(group.getVar("RDEPENDS:packagegroup-voltry").split()) == packages - {"voltry-simulated"}
    image = parsed(next(LAYER.rglob("voltry-image.bb")))
    assert "packagegroup-voltry" in image.getVar("IMAGE_INSTALL").split()


def test_every_kernel_fragment_is_used_and_sets_each_option_once():
    folder = LAYER / "recipes-kernel/linux/linux-yocto"
    used = re.findall(r"^kconf \S+ (\S+)$", (folder / "voltry.scc").read_text(), re.M)
    assert sorted(used) == sorted(path.name for path in folder.glob("*.cfg"))
    options = []
    for fragment in used:
        for line in (folder / fragment).read_text().splitlines():
            option = re.fullmatch(r"(CONFIG_\w+)=[ym]|# (CONFIG_\w+) is not set", line)
            assert option or line.startswith("# "), line
            options += [name for name in (option.groups() if option else ()) if name]
    assert len(options) == len(set(options))
    for wanted in ("CAN_GS_USB", "CAN_PEAK_USB", "QCA7000_SPI", "WATCHDOG", "RT_GROUP_SCHED"):
        assert f"CONFIG_{wanted}" in options


def test_the_linter_of_recipes_has_nothing_to_say(tmp_path):
    linter = Path(sys.executable).with_name("oelint-adv")
    if not linter.is_file():
        pytest.skip("oelint-adv (PyPI) is not installed")
    known = tmp_path / "known.json"
    known.write_text(json.dumps({"variables": {"known": ["VOLTRY_SOURCE", "VOLTRY_EVSES", "VOLTRY_METER_LINES"]}}))
    command = [linter, "--release", "wrynose", "--quiet", "--relpaths", "--constantmods", f"+{known}"]
    # It would ask voltry.org whether it is there.
    command += ["--suppress", "oelint.vars.homepageping"]
    done = subprocess.run([*command, *RECIPES], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
