# For a distribution that says so: DISTROOVERRIDES .= ":voltry". The layer alone changes nobody's kernel.
FILESEXTRAPATHS:prepend:voltry := "${THISDIR}/linux-yocto:"
SRC_URI:append:voltry = " file://voltry.scc"
