# nooelint: oelint.var.bbclassextend - a station runs on its target alone
SUMMARY = "Software of a DC fast charging station"
DESCRIPTION = "Daemons that charge electric vehicles with direct current: energy path, station, \
               power modules, meters, safety controller, vehicle communication and back end, each a package. \
               They talk over D-Bus; a maker replaces any of them."
HOMEPAGE = "https://voltry.org"
BUGTRACKER = "https://voltry.org"
SECTION = "base"
CVE_PRODUCT = "voltry"
# Voltry's own, and what the crates are under that are linked into its programs.
LICENSE = "(MIT | Apache-2.0) & Apache-2.0 & BSD-3-Clause & ISC & MIT & MPL-2.0 & PD & Unicode-3.0 & Zlib"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=b377b220f43d747efdec40d69fcaa69d \
                    file://LICENSE-APACHE;md5=22a53954e4e0ec258dfce4391e905dac"

DEPENDS = "openssl"

require voltry-crates.inc

inherit cargo externalsrc pkgconfig systemd useradd

# The layer is a folder of the sources that it builds, so that recipe and crate list are always
# theirs. Whoever builds from elsewhere names it. Crates are fetched as anywhere.
VOLTRY_SOURCE ?= "${@os.path.realpath('${THISDIR}/../../../..')}"
EXTERNALSRC = "${VOLTRY_SOURCE}"

# nooelint: oelint.task.noanonpython - the sources are hashed before any task could refuse
python () {
    if os.path.realpath(d.getVar("TOPDIR")).startswith(d.getVar("VOLTRY_SOURCE") + "/"):
        bb.fatal("the build's folder is part of the sources, which externalsrc hashes whole: build outside of VOLTRY_SOURCE")
}

CARGO_BUILD_FLAGS += "--bins -p voltry-evse -p voltry-station -p voltry-power -p voltry-meter \
                      -p voltry-board -p voltry-reader -p voltry-secc -p voltry-ocpp -p voltry-ui -p voltry-update \
                      -p voltryctl -p voltry-sim"

# The instances that the image starts: EVSEs by number, meter lines by their names in the
# configuration. A station without a CSMS leaves voltry-ocpp out of its image.
VOLTRY_EVSES ?= "1"
VOLTRY_METER_LINES ?= ""

# What packaging/files lists is what every distribution installs.
do_install () {
    ${S}/packaging/install ${B}/target/${CARGO_TARGET_SUBDIR} ${D} voltry voltry-simulated
}

PACKAGE_BEFORE_PN = "${PN}-board ${PN}-ctl ${PN}-evse ${PN}-meter ${PN}-ocpp ${PN}-power \
                     ${PN}-reader ${PN}-secc ${PN}-simulated ${PN}-station ${PN}-ui ${PN}-update"

FILES:${PN} += "${nonarch_libdir}/voltry ${nonarch_libdir}/sysusers.d ${nonarch_libdir}/tmpfiles.d \
                ${systemd_system_unitdir} ${datadir}/dbus-1"
FILES:${PN}-board += "${bindir}/voltry-board ${systemd_system_unitdir}/voltry-board.service*"
FILES:${PN}-ctl += "${bindir}/voltryctl"
FILES:${PN}-evse += "${bindir}/voltry-evse ${systemd_system_unitdir}/voltry-evse@.service*"
FILES:${PN}-meter += "${bindir}/voltry-meter ${systemd_system_unitdir}/voltry-meter@.service* \
                      ${nonarch_libdir}/voltry/meters"
FILES:${PN}-ocpp += "${bindir}/voltry-ocpp ${systemd_system_unitdir}/voltry-ocpp.service* \
                     ${systemd_system_unitdir}/voltry-reset.path"
FILES:${PN}-power += "${bindir}/voltry-power ${systemd_system_unitdir}/voltry-power.service*"
FILES:${PN}-reader += "${bindir}/voltry-reader ${systemd_system_unitdir}/voltry-reader.service*"
FILES:${PN}-secc += "${bindir}/voltry-secc ${systemd_system_unitdir}/voltry-secc@.service*"
FILES:${PN}-simulated += "${bindir}/voltry-sim ${systemd_system_unitdir}/voltry-sim.service* \
                          ${systemd_system_unitdir}/voltry.target.d ${nonarch_libdir}/sysusers.d/voltry-simulated.conf \
                          ${datadir}/dbus-1/system.d/org.voltry.Sim.conf ${nonarch_libdir}/voltry/50-simulated.toml"
FILES:${PN}-station += "${bindir}/voltry-station ${systemd_system_unitdir}/voltry-station.service*"
FILES:${PN}-ui += "${bindir}/voltry-ui ${systemd_system_unitdir}/voltry-ui.service*"
FILES:${PN}-update += "${bindir}/voltry-update ${systemd_system_unitdir}/voltry-update.service* \
                       ${systemd_system_unitdir}/voltry-restart.path"

RDEPENDS:${PN} = "dbus"
RDEPENDS:${PN}-board = "${PN}"
RDEPENDS:${PN}-ctl = "${PN}"
RDEPENDS:${PN}-evse = "${PN}"
RDEPENDS:${PN}-meter = "${PN}"
RDEPENDS:${PN}-ocpp = "${PN} ca-certificates"
RDEPENDS:${PN}-power = "${PN}"
RDEPENDS:${PN}-reader = "${PN}"
RDEPENDS:${PN}-secc = "${PN}"
RDEPENDS:${PN}-simulated = "${PN} iproute2"
RDEPENDS:${PN}-station = "${PN}"
RDEPENDS:${PN}-ui = "${PN}"
RDEPENDS:${PN}-update = "${PN}"
# Of meta-rauc, where the build has it: nothing else provides it.
RRECOMMENDS:${PN}-update = "${@bb.utils.filter('BBFILE_COLLECTIONS', 'rauc', d)}"

SYSTEMD_PACKAGES = "${PN} ${PN}-board ${PN}-evse ${PN}-meter ${PN}-ocpp ${PN}-power ${PN}-reader ${PN}-secc \
                    ${PN}-station ${PN}-ui ${PN}-update"
SYSTEMD_SERVICE:${PN} = "voltry.target"
SYSTEMD_SERVICE:${PN}-board = "voltry-board.service"
SYSTEMD_SERVICE:${PN}-evse = "${@instances('voltry-evse', 'VOLTRY_EVSES', d)}"
SYSTEMD_SERVICE:${PN}-meter = "${@instances('voltry-meter', 'VOLTRY_METER_LINES', d)}"
SYSTEMD_SERVICE:${PN}-ocpp = "voltry-ocpp.service"
SYSTEMD_SERVICE:${PN}-power = "voltry-power.service"
SYSTEMD_SERVICE:${PN}-reader = "voltry-reader.service"
SYSTEMD_SERVICE:${PN}-secc = "${@instances('voltry-secc', 'VOLTRY_EVSES', d)}"
SYSTEMD_SERVICE:${PN}-station = "voltry-station.service"
SYSTEMD_SERVICE:${PN}-ui = "voltry-ui.service"
SYSTEMD_SERVICE:${PN}-update = "voltry-update.service"

def instances(unit, variable, d):
    return " ".join(f"{unit}@{name}.service" for name in d.getVar(variable).split()) or f"{unit}@.service"

# As packaging/sysusers.d has them: they must be there before the image is written, for a root
# file system that nobody may write to.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system voltry; --system voltry-daemon"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-evse; \
                       --system --user-group --no-create-home --home-dir ${localstatedir}/lib/voltry/station --shell /sbin/nologin --groups voltry-daemon voltry-station; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-power; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-meter; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-board; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-reader; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-secc; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-ocpp; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-ui; \
                       --system --user-group --no-create-home --home-dir / --shell /sbin/nologin --groups voltry-daemon voltry-update"
