"""docs/ocpp-coverage.csv tells no more than its tests show."""

import csv
import re

import pytest
from conftest import ROOT


def rows():
    with (ROOT / "docs/ocpp-coverage.csv").open() as file:
        return list(csv.DictReader(file))


def missing(test):
    """Why this is no test of ours; None: it is one."""
    path, _, name = test.partition("::")
    file = ROOT / path
    if not file.is_file():
        return f"there is no {path}"
    source = file.read_text()
    if path.endswith(".py"):
        # Collected by pytest only under this name.
        found = re.search(rf"^(async )?def {re.escape(name)}\(", source, re.M) and name.startswith("test_")
    else:
        attributes = r"#\[(tokio::)?test[^\]]*\]\s*(#\[(?!ignore)[^\]]*\]\s*)*"
        found = re.search(attributes + rf"(async )?fn {re.escape(name)}\(", source)
    return None if found else f"{path} has no test {name}"


def test_each_use_case_stands_once_and_says_what_it_must():
    seen = [row["use_case"] for row in rows()]
    assert len(seen) == len(set(seen))
    for row in rows():
        assert row["supported"] in ("yes", "partly", "no"), row
        assert row["supported"] == "yes" or row["why_not"], f"{row['use_case']} does not say why not"
        assert (row["supported"] == "no") == (not row["tests"]), f"{row['use_case']}: tests show support"


def test_the_tests_that_it_names_exist():
    wrong = [f"{row['use_case']}: {why}" for row in rows() for test in row["tests"].split() if (why := missing(test))]
    assert not wrong, "\n".join(wrong)


def test_a_test_that_does_not_exist_is_found():
    assert missing("tests/interop/test_ocpp.py::test_nothing")
    assert missing("tests/interop/nothing.py::test_nothing")
    assert missing("daemons/ocpp/tests/uplink/boot.rs::nothing")


def test_no_use_case_is_left_out():
    known = ROOT / "../shared/facts/ocpp-use-cases.csv"
    if not known.is_file():
        pytest.skip("the list of use cases is not beside this project")
    with known.open() as file:
        assert {row["usecase"] for row in csv.DictReader(file)} == {row["use_case"] for row in rows()}
