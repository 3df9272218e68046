"""Updates of a machine with two places for its system: GRUB starts one, RAUC writes the other."""

import json
import re

from bundles import BROKEN, DEAD, OLDER, TAMPERED
from machine import wait_for
from test_image import books, boot_of, first_of_all, hold_books_to_meter

# Seconds of the machine's clock for an image to be written, of some 300 MiB.
WRITING = 1800
# Ten minutes by the machine's clock, of which this one may take ten each.
TRIAL = 6000
PART_B = "/sys/block/vda/vda3/stat"
SECTOR = 512


def standing(guest):
    """What `voltryctl update status` says; its exit status is the verdict."""
    return json.loads(guest.try_run("voltryctl", "--json", "update", "status").stdout or "{}")


def slot_of(guest):
    """The slot that runs, by what the boot loader told the kernel."""
    line = guest.run("cat", "/proc/cmdline").split()
    return next(word.removeprefix("rauc.slot=") for word in line if word.startswith("rauc.slot="))


def until(station, verdict, limit=120):
    told = station.machine
    return station.wait_for(lambda: (now := standing(told)).get("verdict") == verdict and now, f"the verdict {verdict}", limit)


def update(guest, version):
    return guest.try_run("voltryctl", "update", f"/mnt/{version}.raucb", limit=WRITING)


def install_and_restart(guest, version):
    done = update(guest, version)
    assert done.returncode == 0, done
    assert standing(guest)["restart_needed"]
    guest.run_later("voltryctl", "update", "restart")


def begin(station, guest):
    """The stick is put in, and nobody charges."""
    guest.run("sh", "-c", "mountpoint -q /mnt || mount -o ro /dev/vdb /mnt")
    station.wait_for(lambda: standing(guest).get("slots"), "RAUC answers")
    # The daemon asks the station each second, and right after its start the station was not there.
    station.wait_for(lambda: "does not answer" not in update(guest, OLDER).stderr, "the station answers")


def runs(guest, version, slot):
    """Holds the machine to what runs: by the boot loader, by the image, by RAUC."""
    now = standing(guest)
    assert (slot_of(guest), now["version"]) == (slot, version), now
    [booted] = [each["name"] for each in now["slots"] if each["booted"]]
    assert booted == {"A": "rootfs.0", "B": "rootfs.1"}[slot]


def test_what_is_damaged_foreign_or_older_is_refused_and_what_runs_stays(station, guest):
    station.clear()
    begin(station, guest)
    version, slot = standing(guest)["version"], slot_of(guest)
    # Of the last RAUC knows no more than that it cannot read on: the kernel checks what is written.
    refused = [(OLDER, "older"), ("6.0.0", "(invalid): RAUC does not believe it"), (TAMPERED, "not installed (failed)")]
    for bundle, why in refused:
        done = update(guest, bundle)
        said = done.stdout + done.stderr
        assert done.returncode != 0 and why in said, f"{bundle}: {said}"
        station.told.append(f"bundle {bundle} refused: {said.strip().splitlines()[-1]}")
    assert not standing(guest)["restart_needed"]
    runs(guest, version, slot)
    assert f"BOOT_ORDER={slot}" in guest.run("fw_printenv", "BOOT_ORDER")


def test_nothing_is_installed_while_a_vehicle_charges(station, guest):
    begin(station, guest)
    station.charge()
    done = update(guest, "2.0.0")
    assert done.returncode != 0 and "charges at EVSE 1" in done.stdout + done.stderr, done
    station.free()


def written(guest):
    return int(guest.run("cat", PART_B).split()[6]) * SECTOR


def test_a_power_cut_in_the_middle_of_writing_leaves_what_ran(station, guest):
    station.clear()
    begin(station, guest)
    before = written(guest)
    guest.run("systemd-run", "--unit=technician", "--collect", "voltryctl", "update", "/mnt/2.0.0.raucb")
    wait_for(lambda: written(guest) - before > 30 << 20, "30 MiB are written", WRITING, 0.2, guest.clock)
    so_far = written(guest) - before
    assert standing(guest)["installing"]
    guest.power_cut()
    guest.boot()
    station.wait_until("available")
    now = until(station, "interrupted")
    runs(guest, "1.0.0", "A")
    station.told.append(f"power cut after {so_far >> 20} MiB of 2.0.0 were written: {now['version']} runs, {now['verdict']}: {now['detail']}")


def test_a_version_that_charges_is_started_from_the_other_slot_and_marked_good(station, guest):
    begin(station, guest)
    before = boot_of(guest)
    install_and_restart(guest, "2.0.0")
    guest.follow_restarts()
    assert boot_of(guest) != before
    now = until(station, "good")
    runs(guest, "2.0.0", "B")
    assert guest.run("fw_printenv", "BOOT_B_LEFT").strip() == "BOOT_B_LEFT=3"
    station.wait_until("available")
    bills = len(books(guest))
    charged = station.charge()
    station.free()
    rows = hold_books_to_meter(guest, first_of_all(guest))
    assert [row["id"] for row in rows][bills:] == [charged], "the book is the one from before"
    station.told.append(f"2.0.0 installed, started from slot B: {now['verdict']}; a vehicle charges")


def test_a_version_that_does_not_charge_is_left_for_the_one_from_before(station, guest):
    begin(station, guest)
    install_and_restart(guest, BROKEN)
    guest.follow_restarts()
    assert slot_of(guest) == "A"
    # Its trial over, the machine starts anew by itself.
    guest.follow_restarts(TRIAL)
    station.wait_until("available")
    now = until(station, "fell-back")
    runs(guest, "2.0.0", "B")
    assert "EVSE 1" in now["detail"] or "station" in now["detail"], now
    station.told.append(f"{BROKEN}, in which no EVSE works: {now['verdict']} to {now['version']}: {now['detail']}")


def test_a_version_that_does_not_come_up_is_left_by_the_boot_loader(station, guest):
    begin(station, guest)
    version, slot = standing(guest)["version"], slot_of(guest)
    other = {"A": "B", "B": "A"}[slot]
    boots = guest.boots
    install_and_restart(guest, DEAD)
    guest.follow_restarts()
    station.wait_until("available")
    now = until(station, "fell-back")
    runs(guest, version, slot)
    tried = [re.findall(r"slot [AB], attempts left: .", guest.said(boot)) for boot in range(boots + 1, guest.boots + 1)]
    assert sum(tried, []) == [*(f"slot {other}, attempts left: {left}" for left in (2, 1, 0)), f"slot {slot}, attempts left: 2"]
    station.told.append(f"{DEAD}, which does not come up, was started 3 times; then {now['version']} runs: {now['detail']}")
