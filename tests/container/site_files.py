"""What a site adds to a station from the packages: a card reader, a screen, RAUC, and a CSMS that nobody plays."""

# A card of 7 bytes.
CARD = "047BCB51962280"
FILES = {
    # The uplink dials it in vain, and lives.
    "etc/voltry/voltry.d/60-site.toml": f"""
[ocpp]
identity = "VOLTRY-TEST"
[ocpp.profile.1]
url = "ws://127.0.0.1:9"
version = "2.0.1"
security_profile = 1
password_file = "ocpp.password"
[reader.1]
device = "/run/voltry-sim/dev/reader1"
[station]
tokens = ["{CARD}"]
[station.evse.1]
id_token_reader = {{ name = "org.voltry.Reader1", path = "/org/voltry/id_token_reader/1" }}
""",
    # A battery that outlasts each test, however slow the machine is.
    "etc/voltry-sim.toml": """
readers = true
[[evse]]
monitor_pace = 10
vehicle = { capacity_wh = 60000.0 }
""",
    "etc/systemd/system/voltry-sim.service.d/30-site.conf": """
[Service]
ExecStart=
ExecStart=/usr/bin/voltry-sim hardware --topology /etc/voltry-sim.toml
""",
    # Two slots, as docs/updates.md has them, with a boot loader that knows only where it started.
    "etc/rauc/system.conf": """
[system]
compatible=Voltry Test
bootloader=custom
statusfile=/var/lib/voltry/rauc/status
bundle-formats=-plain
[handlers]
bootloader-custom-backend=/usr/local/lib/boot-loader
[keyring]
path=/etc/rauc/maker.pem
[slot.rootfs.0]
device=/srv/slot0
type=raw
bootname=A
[slot.rootfs.1]
device=/srv/slot1
type=raw
bootname=B
""",
    "usr/local/lib/boot-loader": """#!/bin/sh
case $1 in
get-primary) echo A ;;
get-state) echo good ;;
esac
""",
    # A container's kernel was told of no slot.
    "etc/systemd/system/rauc.service.d/10-slot.conf": """
[Service]
ExecStart=
ExecStart=/usr/bin/rauc --override-boot-slot=A --mount=/run/rauc service
""",
}
SECRETS = {"ocpp.password": "sixteen letters!"}
# What the packages do not enable.
ENABLED = ["voltry-ocpp", "voltry-reader", "voltry-ui", "voltry-update"]


def put(root):
    """Onto the installed machine."""
    for name, secret in SECRETS.items():
        _write(root, f"etc/credstore/{name}", secret, 0o600)
    (root / "etc/credstore").chmod(0o700)
    for name, text in FILES.items():
        _write(root, name, text, 0o755 if text.startswith("#!") else 0o644)
    for slot in ["srv/slot0", "srv/slot1"]:
        (root / slot).write_bytes(bytes(1 << 20))


def clear(root):
    """What no package put there, no package takes away."""
    for name in FILES:
        (root / name).unlink(missing_ok=True)


def _write(root, name, text, mode):
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
