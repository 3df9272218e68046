"""docs/ocpp-coverage.csv tells no more than its tests show."""

import csv
import re
from collections import Counter

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


BLOCKS = {
    "A": "Security",
    "B": "Provisioning",
    "C": "Authorization",
    "D": "Local list",
    "E": "Transactions",
    "F": "Remote control",
    "G": "Availability",
    "H": "Reservation",
    "I": "Tariff and cost",
    "J": "Meter values",
    "K": "Smart charging",
    "L": "Firmware",
    "M": "ISO 15118 certificates",
    "N": "Diagnostics",
    "O": "Display messages",
    "P": "Data transfer",
}


def by_block(count):
    """The sums of what `count` makes of each use case that 2.0.1 has."""
    blocks = {block: Counter() for block in BLOCKS}
    for row in rows():
        if row["use_case"] != "GEN" and row["why_not"] != "of OCPP 2.1":
            blocks[row["use_case"][0]] += count(row)
    return {**blocks, "all": sum(blocks.values(), Counter())}


def table():
    """The table's rows in docs/ocpp.md as far as they follow from ours."""
    for block, count in by_block(lambda row: Counter([row["supported"]])).items():
        title = f"{block}: {BLOCKS[block]}" if block in BLOCKS else block
        yield f"| {title} | {count.total()} | {count['yes']} | {count['partly']} | {count['no']} | "


def test_the_totals_by_block_are_what_docs_say():
    text = (ROOT / "docs/ocpp.md").read_text()
    print("\n" + "\n".join(table()))
    assert not [row for row in table() if f"\n{row}" not in text], "docs/ocpp.md has other totals"


def test_each_use_case_stands_once_and_says_what_it_must():
    seen = [row["use_case"] for row in rows()]
    assert len(seen) == len(set(seen))
    for row in rows():
        assert row["supported"] in ("yes", "partly", "no"), row
        assert row["supported"] == "yes" or row["why_not"], f"{row['use_case']} does not say why not"
        assert (row["supported"] == "no") == (not row["tests"]), f"{row['use_case']}: tests show support"


# Of what this table has of 2.0.1: what a CSMS starts.
STARTED_BY_CSMS = """
A01 A02 A05 B05 B06 B07 B08 B09 B10 B11 B12 C11 D01 D02 E14 F01 F02 F03 F04 F05 F06 G03 G04 H01 H02 I02 K01 K02 K05 K08
K09 K10 K16 L01 L02 M03 M04 M05 N01 N02 N03 N04 N05 N06 N08 N09 N10 O01 O02 O03 O04 O05 O06 P01
""".split()


def test_each_use_case_that_a_csms_starts_is_started_by_one_that_nobody_here_wrote():
    known = {row["use_case"]: row for row in rows()}
    alone = [use for use in STARTED_BY_CSMS if known[use]["supported"] != "no" and "tests/interop/" not in known[use]["tests"]]
    assert not alone, f"no test in tests/interop: {alone}"


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


def test_the_totals_of_libocpp_are_what_was_counted():
    known = ROOT / "../shared/facts/ocpp-use-cases.csv"
    if not known.is_file():
        pytest.skip("what was counted of libocpp is not beside this project")
    with known.open() as file:
        theirs = {row["usecase"]: row for row in csv.DictReader(file)}

    def count(row):
        counted = theirs[row["use_case"]]
        satisfied = int(counted["satisfied"])
        concern = int(counted["FRs"]) - int(counted["not_applicable_or_other_actor"])
        return Counter(touched=satisfied > 0, satisfied=satisfied, concern=concern)

    blocks = by_block(count)
    text = (ROOT / "docs/ocpp.md").read_text()
    for row, count in zip(table(), blocks.values(), strict=True):
        whole = f"{row}{count['touched']} | {count['satisfied']} of {count['concern']} |"
        print(whole)
        assert f"\n{whole}\n" in text
