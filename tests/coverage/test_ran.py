"""The tests that docs/ocpp-coverage.csv names ran, by the reports of this run. scripts/run-tests calls it last."""

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "target/test-logs"
# The suite's own report, and one of each time that what failed ran once more.
REPORTS = {
    "Rust": sorted(LOGS.glob("rust*.xml")),
    "Python": sorted([*LOGS.glob("interop*.xml"), *LOGS.glob("josev*.xml")]),
}


def outcomes(reports):
    """What became of each test: (package or module, name) and whether it ran to a good end; of each time that it ran."""
    for report in reports:
        for case in ET.parse(report).iter("testcase"):
            ran = case.find("skipped") is None and case.find("failure") is None and case.find("error") is None
            # `voltry-ocpp::uplink` and `boot::name`, or `tests.interop.test_ocpp` and `name[1.6]`.
            place = case.get("classname").split("::")[0]
            yield (place, re.sub(r"\[.*", "", case.get("name")).split("::")[-1]), ran


def well(reports):
    """The tests that ran to a good end once at least."""
    return {test for test, good in outcomes(reports) if good}


def place(path):
    """The package of a Rust test, the module of one in Python."""
    if path.endswith(".py"):
        return path.removesuffix(".py").replace("/", ".")
    manifest = ROOT / "/".join(path.split("/")[:2]) / "Cargo.toml"
    return re.search(r'^name = "(.*)"', manifest.read_text(), re.M)[1]


def named():
    """(use case, test) as the table has them."""
    with (ROOT / "docs/ocpp-coverage.csv").open() as file:
        return [(row["use_case"], test) for row in csv.DictReader(file) for test in row["tests"].split()]


@pytest.mark.parametrize("language", REPORTS)
def test_the_tests_that_the_table_names_ran(language):
    reports = REPORTS[language]
    if not reports:
        pytest.skip(f"no report of the tests in {language}: they ran by something else than scripts/run-tests")
    known = {test for test, _ in outcomes(reports)}
    ran = well(reports)
    assert ran
    idle = {}
    for use_case, test in named():
        path, _, name = test.partition("::")
        if (path.endswith(".py")) == (language == "Python") and (place(path), name) not in ran:
            idle.setdefault(test, []).append(use_case)
    for test, use_cases in idle.items():
        print(f"{test} did not run: it shows nothing of {', '.join(use_cases)}")
    # One that was left out said why, as a peer that cannot be installed here; one that is in no report is a lie.
    missing = [test for test in idle if (place(test.partition("::")[0]), test.partition("::")[2]) not in known]
    assert not missing, "\n".join(missing)


def test_a_test_that_was_left_out_did_not_run(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase classname='voltry-ocpp::uplink' name='boot::a'/>"
        "<testcase classname='tests.interop.test_ocpp' name='test_b[1.6]'><skipped/></testcase>"
        "<testcase classname='voltry-ocpp' name='uplink::tokens::tests::c'><failure/></testcase></testsuite></testsuites>"
    )
    expected = {
        ("voltry-ocpp", "a"): True,
        ("tests.interop.test_ocpp", "test_b"): False,
        ("voltry-ocpp", "c"): False,
    }
    assert dict(outcomes([report])) == expected
    assert place("daemons/ocpp/tests/uplink/boot.rs") == "voltry-ocpp"


def test_one_good_run_is_enough(tmp_path):
    first, again = tmp_path / "rust.xml", tmp_path / "rust-again-1.xml"
    for report, end in [(first, "<failure/>"), (again, "")]:
        case = f"<testcase classname='voltry-secc::all' name='flood::a'>{end}</testcase>"
        report.write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>")
    assert well([first]) == set()
    assert well([first, again]) == {("voltry-secc", "a")}
