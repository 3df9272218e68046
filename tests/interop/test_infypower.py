"""The example of Infypower modules, on a bus that is this test."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))
import infypower


class Bus:
    """Keeps what is sent; the module confirms nothing by itself."""

    def __init__(self, **_):
        self.sent = []

    def fileno(self):
        return -1

    def send(self, message):
        self.sent.append((message.arbitration_id >> 16 & 0x3F, bytes(message.data)))


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.setattr(infypower.can, "Bus", Bus)
    loop = SimpleNamespace(add_reader=lambda *_: None)
    monkeypatch.setattr(infypower.asyncio, "get_running_loop", lambda: loop)
    return infypower.Modules("nowhere", 1)


def confirm(modules, on):
    """The module repeats what it was told, as it does, and tells its state."""
    for command, data in list(modules.can.sent):
        modules.all[0].hears(command, data)
    modules.all[0].hears(infypower.STATUS, bytes([0, 0, 0, 0, 0, 0, 0 if on else 1, 0]))
    modules.can.sent.clear()


ORDER = [
    (infypower.WALK_IN, bytes(8)),
    (infypower.SET, struct.pack(">II", 400_000, 20_000)),
    (infypower.SWITCH, infypower.ON),
]


def test_a_module_that_restarted_gets_the_whole_order_again(modules):
    modules.set(400.0, 20.0)
    assert modules.can.sent == ORDER
    confirm(modules, on=True)
    assert modules.confirmed()
    modules.repeat()
    assert modules.can.sent == []
    confirm(modules, on=False)
    modules.repeat()
    assert modules.can.sent == ORDER


def test_a_module_that_switched_itself_on_is_switched_off(modules):
    modules.switch_off()
    confirm(modules, on=True)
    modules.repeat()
    assert modules.can.sent == [(infypower.SWITCH, infypower.OFF)]
