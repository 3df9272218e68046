SUMMARY = "Image of a charging station"
DESCRIPTION = "A small image with systemd that charges. A maker's own image requires this one, or \
               installs packagegroup-voltry by itself."
HOMEPAGE = "https://voltry.org"
BUGTRACKER = "https://voltry.org"
SECTION = "base"
CVE_PRODUCT = "voltry"
LICENSE = "MIT | Apache-2.0"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "systemd"

IMAGE_INSTALL = "packagegroup-core-boot packagegroup-voltry iproute2 kernel-modules ${CORE_IMAGE_EXTRA_INSTALL}"
IMAGE_LINGUAS = ""
