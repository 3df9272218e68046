"""Versions of the machine's system, and the bundles that bring them: RAUC's own, of the format `verity`."""

import shutil
import subprocess

from root import file_system, inside

MANIFEST = """[update]
compatible=Voltry Test
version={version}
[bundle]
format=verity
[image.rootfs]
filename=rootfs.ext4
"""
# The version with which no EVSE works, and the one whose system does not come up.
BROKEN, DEAD = "3.0.0", "4.0.0"
# What is refused: one that is older than all, and one that was changed after it was signed.
OLDER, TAMPERED = "0.9.0", "5.0.0"
WHOLE = ["1.0.0", "2.0.0", BROKEN]
# Whoever signs; the machine knows the maker.
SIGNERS = {OLDER: "maker", "2.0.0": "maker", BROKEN: "maker", DEAD: "maker", TAMPERED: "maker", "6.0.0": "stranger"}


def make_keys(folder, root):
    """Certificates and keys of the maker and of somebody else."""
    keys = folder / "keys"
    shutil.rmtree(keys, ignore_errors=True)
    keys.mkdir()
    for name in ["maker", "stranger"]:
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "60"]
        inside(root, "openssl", "req", *kind, "-subj", f"/CN={name}", "-keyout", "/srv/key", "-out", "/srv/pem")
        shutil.move(root / "srv/key", keys / f"{name}.key")
        shutil.move(root / "srv/pem", keys / f"{name}.pem")
    return keys


def make_images(folder, root):
    """The versions' file systems, by version: of the first it is what the factory writes."""
    size = int(subprocess.run(["du", "-sm", root], capture_output=True, text=True, check=True).stdout.split()[0])
    release = root / "usr/lib/os-release"
    about = release.read_text()
    images = {}
    for version in WHOLE:
        release.write_text(f"{about}IMAGE_VERSION={version}\n")
        if version == BROKEN:
            (root / "etc/systemd/system/voltry-evse@1.service").symlink_to("/dev/null")
        images[version] = folder / f"image-{version}"
        file_system(root, images[version], size * 6 // 5 + 48)
    dead = folder / "dead"
    shutil.rmtree(dead, ignore_errors=True)
    dead.mkdir()
    shutil.copytree(root / "boot", dead / "boot")
    images[DEAD] = folder / f"image-{DEAD}"
    file_system(dead, images[DEAD], 24)
    shutil.rmtree(dead)
    return images


def make(folder, root, images, keys):
    """A folder with all bundles, `VERSION.raucb`."""
    sold, work = folder / "bundles", root / "srv/bench"
    shutil.rmtree(sold, ignore_errors=True)
    sold.mkdir()
    for version, signer in SIGNERS.items():
        work.mkdir()
        (work / "content").mkdir()
        shutil.copy(keys / f"{signer}.key", work / "key")
        shutil.copy(keys / f"{signer}.pem", work / "pem")
        # What is refused is small: it would not come up either.
        shutil.copy(images.get(version, images[DEAD]), work / "content/rootfs.ext4")
        (work / "content/manifest.raucm").write_text(MANIFEST.format(version=version))
        signed = ["--cert=/srv/bench/pem", "--key=/srv/bench/key"]
        # What an emulated processor unpacks soonest.
        inside(root, "rauc", *signed, "bundle", "--mksquashfs-args=-comp lz4", "/srv/bench/content", "/srv/bench/made")
        shutil.move(work / "made", sold / f"{version}.raucb")
        shutil.rmtree(work)
    tampered = bytearray((sold / f"{TAMPERED}.raucb").read_bytes())
    tampered[len(tampered) // 2] ^= 1
    (sold / f"{TAMPERED}.raucb").write_bytes(tampered)
    return sold
