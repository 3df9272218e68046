"""OpenMetrics of voltry-ui, as the parser of Prometheus's own client reads it, beside a whole simulated station."""

import asyncio
import contextlib
import subprocess
import urllib.error
import urllib.request

import pytest
from conftest import free_port, play, program
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from station import station_of

# A car that charges for some seconds, and one EVSE that stays free.
TOPOLOGY = """
evses = 2
[[evse]]
monitor_pace = 10
vehicle = { capacity_wh = 150.0, soc = 20.0, target_soc = 80.0 }
"""


@contextlib.contextmanager
def metrics_of(station, folder):
    """A function that reads voltry-ui's page: its samples by name, each with its labels and its value."""
    port = free_port()
    config = folder / "ui"
    config.mkdir()
    (config / "voltry.toml").write_text(
        f'[ui]\nkiosk = "127.0.0.1:{free_port()}"\n[ui.metrics]\naddress = "127.0.0.1:{port}"\n'
    )
    arguments = ["--config", config, "--bus", f"unix:path={station.state}/bus"]
    with subprocess.Popen([program("voltry-ui"), *arguments]) as process:

        def read(host=None):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
            if host:
                request.add_header("Host", host)
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
                text = answer.read().decode()
            families = list(text_string_to_metric_families(text))
            assert all(family.documentation for family in families)
            return Samples(sample for family in families for sample in family.samples)

        try:
            yield read
        finally:
            process.terminate()
            process.wait(10)


class Samples(list):
    def __call__(self, name, **labels):
        """The values of this name whose labels are, among others, these."""
        return [
            sample.value
            for sample in self
            if sample.name == name and labels.items() <= sample.labels.items()
        ]


async def until(read, holds):
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(urllib.error.URLError):
                samples = await asyncio.to_thread(read)
                if holds(samples):
                    return samples
            await asyncio.sleep(0.1)


def test_a_charge_a_fault_and_the_time_between_are_counted_as_a_foreign_parser_reads_them(tmp_path):
    async def scenario():
        async with station_of(tmp_path, TOPOLOGY) as station:
            with metrics_of(station, tmp_path) as read:
                await until(read, lambda samples: samples("voltry_station_up") == [1])
                before = float((await station.status())["register"])
                await station.say("plug 1")
                samples = await until(read, lambda samples: samples("voltry_transactions_total", evse="1", delivered="yes") == [1])
                # What an EVSE tells of its energy is told twice a second, the end with the transaction.
                counted = float((await station.status())["register"]) - before
                energy = lambda samples: samples("voltry_energy_delivered_joules_total", evse="1")[0] / 3600
                samples = await until(read, lambda samples: abs(energy(samples) - counted) <= 1)
                assert samples("voltry_session_setup_seconds_count") == [1]
                assert sum(samples("voltry_evse_time_seconds_total", evse="1", condition="in-use")) > 0
                assert sum(samples("voltry_evse_time_seconds_total", evse="2", condition="free", uplink="none")) > 0
                assert sum(samples("voltry_connector_state", evse="2")) == 1
                assert samples("voltry_bus_answer_seconds_count", interface="org.voltry.Station1")[0] > 0

                await station.say("fault emergency-stop 2")
                code = {"evse": "2", "code": "MREC8EmergencyStop"}
                await until(read, lambda samples: samples("voltry_faults_total", **code) == [1])
                down = {"evse": "2", "condition": "down", "cause": "emergency-stop"}
                await until(read, lambda samples: sum(samples("voltry_evse_time_seconds_total", **down)) > 0)

                with pytest.raises(urllib.error.HTTPError) as refused:
                    await asyncio.to_thread(read, "station.example")
                assert refused.value.code == 403

    play(scenario(), 120)
