"""docs/safety.md has a line for each fault of voltry-evse and each rule of the fault sweep, and its evidence exists."""

import re
from pathlib import Path

import pytest

from test_ran import REPORTS, well

ROOT = Path(__file__).resolve().parents[2]
TABLE = "| hazard | detection"


def rows():
    """The cells of each line of the table of supervision rules."""
    lines = (ROOT / "docs/safety.md").read_text().partition(TABLE)[2].splitlines()[2:]
    table = lines[: lines.index("")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def faults():
    """The codes as voltry-evse reports them."""
    source = (ROOT / "daemons/evse/src/energy_path/fault.rs").read_text()
    body = source.partition("pub const fn name(self)")[2].partition("\n    }\n")[0]
    return set(re.findall(r'=> "(\w+)"', body))


def rules():
    return set(re.findall(r'^    rule\("([^"]+)"', (ROOT / "daemons/evse/tests/plant/checker.rs").read_text(), re.M))


def written():
    """Every test function in Rust."""
    sources = [*(ROOT / "daemons").glob("*/tests/**/*.rs"), *(ROOT / "tests").glob("*/tests/**/*.rs")]
    return {name for source in sources for name in re.findall(r"#\[(?:tokio::)?test\]\s*(?:async )?fn (\w+)", source.read_text())}


def named(column):
    return {name for row in rows() for name in re.findall(r"`(\w+)`", row[column])}


def test_every_line_has_its_cells():
    assert len(rows()) > 30
    assert [row[0] for row in rows() if len(row) != 7] == []


def test_every_fault_of_evse_has_its_line_and_no_other_has():
    assert len(faults()) > 30
    assert named(4) == faults()


def test_every_rule_of_the_sweep_has_its_line_and_no_other_has():
    quoted = {rule for row in rows() for rule in re.findall(r'"([^"]+)"', row[6])}
    assert len(rules()) > 30
    assert quoted == rules()


def test_the_tests_that_it_names_exist_and_ran():
    evidence = {name for name in named(6) if "_" in name}
    assert evidence
    assert sorted(evidence - written()) == []
    if not REPORTS["Rust"]:
        pytest.skip("no report of the tests in Rust: they ran by something else than scripts/run-tests")
    ran = {name for _, name in well(REPORTS["Rust"])}
    assert sorted(evidence - ran) == []
