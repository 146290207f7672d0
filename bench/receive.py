"""Mails per second that the receiver makes durable, and the cost of one, beside plain aiosmtpd that stores nothing.

    python -m bench.receive [--seconds 5] [--connections 20] [--profile]

Server and clients are processes of their own on the same machine, so compare rows of one run only. The reference is
aiosmtpd as it comes, on the same event loop, with a handler that drops every mail: what durability and limits cost is
visible in what our receiver, which does more, takes less or more than it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import pstats
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from aiosmtpd.smtp import SMTP

from collector.sources.memory import BodyMemory
from collector.sources.smtp.server import serve_smtp
from collector.spool import Spool
from mailposture import logs
from mailposture.config.model import Smtp
from reports.envelope import Source

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MAIL = b"Subject: Report Domain: example.com\r\n" + (b"QUJD" * 18 + b"\r\n") * 50  # 3.8 KB, as a report by Google


class _Drop:
    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        return "250 OK"


async def _serve_reference(_folder: Path) -> tuple[int, Any]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(_Drop(), hostname="mx", loop=loop), "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1], server


async def _serve_ours(folder: Path) -> tuple[int, Any]:
    config = Smtp.model_validate({"listen": "127.0.0.1:0", "limits": {"commands": 10**9}})
    spool = Spool(folder / "spool", keep_free=0)
    server = await serve_smtp(
        config, recipients=["tlsrpt@example.com"], spool=spool, memory=BodyMemory(largest=config.limits.message_size)
    )
    return server.addresses[Source.SMTP][1], server


SERVERS = {"aiosmtpd, nothing stored": _serve_reference, "mailposture, durable": _serve_ours}


def serve(name: str, folder: Path, pipe: Connection, profile: bool) -> None:
    """Run one server until stopped; then report its CPU seconds and its memory."""

    async def run() -> None:
        port, _server = await SERVERS[name](folder)
        pipe.send(port)
        while await asyncio.to_thread(pipe.recv) == "usage":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))

    logs.set_up("bench")
    profiler = cProfile.Profile() if profile else None
    if profiler:
        profiler.enable()
    uvloop.run(run())
    if profiler:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


async def _send(port: int, until: float, *, kept: bool) -> int:
    """One client in lockstep, as most senders are; returns how many mails were acknowledged."""
    sent = 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b"EHLO client.example\r\n")
        while (await reader.readline())[3:4] == b"-":
            pass
        while time.monotonic() < until:
            for words in (
                b"MAIL FROM:<noreply@sender.example>\r\n",
                b"RCPT TO:<tlsrpt@example.com>\r\n",
                b"DATA\r\n",
                MAIL + b".\r\n",
            ):
                writer.write(words)
                answer = await reader.readline()
                if answer[:1] not in b"23":
                    raise RuntimeError(f"the server answered {answer!r}")
            sent += 1
            if not kept:
                break
        writer.write(b"QUIT\r\n")
        await reader.readline()
        writer.close()
    return sent


@dataclass(frozen=True)
class Measurement:
    rate: float
    cpu_microseconds: float
    memory: float


def measure(name: str, *, kept: bool, connections: int, seconds: float, profile: bool = False) -> Measurement:
    """Load one server with that many clients."""
    folder = Path(tempfile.mkdtemp(prefix="bench-receive-"))
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(name, folder, theirs, profile))
    process.start()
    try:
        port = pipe.recv()

        async def load(duration: float) -> int:
            until = time.monotonic() + duration
            return sum(await asyncio.gather(*(_send(port, until, kept=kept) for _ in range(connections))))

        uvloop.run(load(0.5))  # warm
        pipe.send("usage")
        before, _ = pipe.recv()
        started = time.monotonic()
        sent = uvloop.run(load(seconds))
        elapsed = time.monotonic() - started
        pipe.send("usage")
        after, memory = pipe.recv()
        pipe.send("stop")
        process.join(30)
        return Measurement(sent / elapsed, (after - before) / sent * 1e6, memory)
    finally:
        process.kill()
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="print where our receiver spends its time (and slow it)")
    arguments = parser.parse_args()
    print(f"{'':28}{'connections':>22}{'mails/s':>10}{'CPU µs/mail':>13}{'MiB':>6}")
    for kept in (True, False):
        kind = f"{arguments.connections} kept" if kept else f"{arguments.connections}, one mail each"
        for name, server in SERVERS.items():
            if arguments.profile and server is _serve_reference:
                continue
            found = measure(
                name,
                kept=kept,
                connections=arguments.connections,
                seconds=arguments.seconds,
                profile=arguments.profile,
            )
            print(f"{name:28}{kind:>22}{found.rate:10.0f}{found.cpu_microseconds:13.0f}{found.memory:6.0f}", flush=True)


if __name__ == "__main__":
    main()
