SUMMARY = "A charging station without its simulated hardware"
DESCRIPTION = "Every daemon of a station, and the technician's command. A maker whose own daemon \
               plays a role of one of them removes that package from RDEPENDS in a bbappend."
HOMEPAGE = "https://voltry.org"
BUGTRACKER = "https://voltry.org"
SECTION = "base"

PACKAGE_ARCH = "${TUNE_PKGARCH}"

inherit packagegroup

RDEPENDS:${PN} = "\
    voltry-board \
    voltry-ctl \
    voltry-evse \
    voltry-meter \
    voltry-ocpp \
    voltry-power \
    voltry-reader \
    voltry-secc \
    voltry-station \
    voltry-ui \
    voltry-update \
"
