"""A running `voltry-sim station`, steered by lines."""

import asyncio
import contextlib
import os
import re

from conftest import program

# Real hardware does not wait for our processor: where root may say so, nor does the simulated one.
# A vehicle's program (Java, Python) must not take it from the hardware.
FIRST_IN_LINE, AFTERWARDS = (["chrt", "--rr", "30"], ["chrt", "--other", "0"]) if os.geteuid() == 0 else ([], [])


class Station:
    def __init__(self, process, state):
        self.process, self.state, self.lines = process, state, []
        self.seen, self.news, self.steering = 0, asyncio.Condition(), asyncio.Lock()
        self.over = False
        self.reading = asyncio.create_task(self.read())

    async def read(self):
        async for line in self.process.stdout:
            async with self.news:
                self.lines.append(line.decode())
                self.news.notify_all()
        async with self.news:
            self.over = True
            self.news.notify_all()

    async def until(self, pattern, start=None):
        """The first line that matches, from `start` on, or from where the last such search ended."""
        at = self.seen if start is None else start
        while True:
            for number in range(at, len(self.lines)):
                if match := re.search(pattern, self.lines[number]):
                    if start is None:
                        self.seen = number + 1
                    return match
            at = len(self.lines)
            assert not self.over, "the station ended: " + "".join(self.lines[-20:])
            async with self.news:
                await self.news.wait_for(lambda at=at: len(self.lines) > at or self.over)

    async def say(self, line):
        """The station's answer."""
        async with self.steering:
            start = len(self.lines)
            self.process.stdin.write(f"{line}\n".encode())
            return (await self.until(r"^(ok|error) .*", start))[0]

    async def swipe(self, token, evse=1):
        """Shows a card that lets its driver in, or ends his charge."""
        answer = await self.say(f"swipe {token} {evse}")
        assert answer.startswith("ok") and "refused" not in answer, answer

    async def status(self, evse=1):
        """What is true of an EVSE."""
        words = (await self.say(f"status {evse}")).split()[1:]
        return dict(word.split("=") for word in words)


@contextlib.asynccontextmanager
async def station_of(folder, topology, kind=Station):
    """A station of this topology (TOML, or the command line's options), its state and its log below `folder`; `kind` is
    the class of what is given."""
    file, state = folder / "topology.toml", folder / "state"
    if isinstance(topology, str):
        file.write_text(topology)
        topology = ["--topology", file]
    process = await asyncio.create_subprocess_exec(
        *FIRST_IN_LINE,
        program("voltry-sim"),
        "station",
        "--broker-first",
        *[*topology, "--state", state, "--verbose"],
        env={**os.environ, "NO_COLOR": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    station = kind(process, state)
    try:
        await station.until("^ready")
        yield station
    finally:
        # Its output is read to the end: a station that cannot write does not end.
        process.stdin.write(b"quit\n")
        await station.reading
        await process.wait()
        (folder / "station.log").write_text("".join(station.lines))
        # Shown by pytest where the test fails.
        print("--- the station said at last:", "".join(station.lines[-80:]), sep="\n")
