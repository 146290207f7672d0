"""From SMTP to queryable, against what parsedmarc's parser alone does on one core: the same mails, in the same run.

    python -m bench.end_to_end                       20 kept connections
    python -m bench.end_to_end --one-mail            one mail per connection
    python -m bench.end_to_end --rate 200            that many a second, for the time from acceptance to queryable

Real processes: the embedded engine, receiver and ingest as `mailposture run` starts them. Each mail is another report,
signed by one of twelve senders; it is acknowledged when durable, its DKIM signature is verified, and it counts when a
query finds it. The load comes from this machine too, so its processor time is taken from the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import logging
import os
import pickle
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa

from bench import decode_tls
from bench.stack import Stack, running
from demo.dkim_signature import signature_field
from demo.keys import SigningKey
from demo.nameserver import Nameserver
from mailposture import logs

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

SIGNED = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "tls-report-domain",
    "tls-report-submitter",
)
QUERYABLE_WITHIN = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--one-mail", action="store_true", help="one mail per connection")
    parser.add_argument("--rate", type=float, default=0, help="mails per second; 0 is as fast as they are accepted")
    parser.add_argument("--parsedmarc-python", type=Path, help="interpreter of an environment that has parsedmarc")
    arguments = parser.parse_args()
    logs.set_up("bench", least=logging.WARNING)
    plain = decode_tls.make_mails(arguments.mails)
    keys = {f"sender{number}.example": _key(f"sender{number}.example") for number in range(12)}
    mails = [_signed(mail, keys) for mail in plain]
    theirs = _parsedmarc_rate(plain[:300], arguments.parsedmarc_python or decode_tls.parsedmarc_python())
    kept = "one mail each" if arguments.one_mail else "kept"
    size = statistics.mean(map(len, mails)) / 1024
    print(f"{len(mails):,} mails of {size:.1f} KB, {arguments.connections} connections, {kept}")
    print(f"parsedmarc's parser, one core   {theirs:8,.0f} reports/s")
    with (
        tempfile.TemporaryDirectory(prefix="mailposture-bench-") as folder,
        Nameserver({key.record_name: key.record for key in keys.values()}) as nameserver,
        running(Path(folder), domain=decode_tls.DOMAIN, authentication={"nameservers": [nameserver.address]}) as stack,
    ):
        client = stack.client(stack.config.clickhouse.analyst_user)
        used = _processor_seconds(stack)
        started = time.monotonic()
        load = _load(stack.smtp_port, mails, arguments.connections, kept=not arguments.one_mail, rate=arguments.rate)
        uvloop.run(load)
        accepted = time.monotonic() - started
        _wait_until_queryable(client, len(mails))
        elapsed = time.monotonic() - started
        trust = dict(client.query("SELECT trust, count() FROM tls_report_log GROUP BY trust").result_rows)
        client.close_connections()
        print(f"accepted (durable)              {len(mails) / accepted:8,.0f} reports/s")
        print(f"queryable, {trust}    {len(mails) / elapsed:8,.0f} reports/s")
        print(f"ratio, queryable to parsedmarc  {len(mails) / elapsed / theirs:8.2f}")
        _print_delay(stack)
        _print_processes(stack, used, len(mails))
    return 0


def _key(domain: str) -> SigningKey:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return SigningKey(domain=domain, selector="bench", services="tlsrpt", private=private)


def _signed(mail: bytes, keys: dict[str, SigningKey]) -> bytes:
    """The mail with a DKIM signature that holds, in place of the random one."""
    message = email.message_from_bytes(mail)
    key = keys[str(message["TLS-Report-Submitter"])]
    head, _, body = mail.partition(b"\r\n\r\n")
    value = signature_field(key, [(name, str(text)) for name, text in message.items()], body, SIGNED)
    before, _, rest = head.partition(b"DKIM-Signature:")
    after = rest[rest.index(b"\r\nMIME-Version:") :]
    return before + b"DKIM-Signature: " + value.encode() + after + b"\r\n\r\n" + body


def _parsedmarc_rate(mails: list[bytes], python: Path) -> float:
    """Reports per second that parsedmarc's parser does on one core."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(mails))
        file.flush()
        worker = decode_tls.start("parsedmarc", python, Path(file.name))
        try:
            times = [decode_tls.one_round(worker) for _ in range(6)][1:]
        finally:
            worker.kill()
            worker.wait()
    return len(mails) / statistics.median(times)


async def _load(port: int, mails: list[bytes], connections: int, *, kept: bool, rate: float) -> None:
    waiting = iter(mails)
    started, sent = time.monotonic(), 0

    async def client() -> None:
        nonlocal sent
        reader = writer = None
        for mail in waiting:
            if rate:
                await asyncio.sleep(max(0.0, started + sent / rate - time.monotonic()))
                sent += 1
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await reader.readline()
                writer.write(b"EHLO client.example\r\n")
                while (await reader.readline())[3:4] == b"-":
                    pass
            for words in (
                b"MAIL FROM:<noreply@sender.example>\r\n",
                f"RCPT TO:<tlsrpt@{decode_tls.DOMAIN}>\r\n".encode(),
                b"DATA\r\n",
                mail + b"\r\n.\r\n",
            ):
                writer.write(words)
                answer = await reader.readline()
                if answer[:1] not in b"23":
                    raise RuntimeError(f"the listener answered {answer!r}")
            if not kept:
                writer.write(b"QUIT\r\n")
                await reader.readline()
                writer.close()
                writer = None

    await asyncio.gather(*(client() for _ in range(connections)))


def _wait_until_queryable(client: Client, number: int) -> None:
    until = time.monotonic() + QUERYABLE_WITHIN
    while int(client.command("SELECT count() FROM tls_report_log")) < number:
        if time.monotonic() > until:
            raise TimeoutError("not all reports became queryable")
        time.sleep(0.05)


def _print_delay(stack: Stack) -> None:
    """The shares of reports that were queryable within so many seconds after acceptance."""
    lines = stack.page("/metrics").splitlines()
    buckets = [line for line in lines if line.startswith("mailposture_queryable_seconds_bucket")]
    counts = {line.split('le="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in buckets}
    total = counts["+Inf"]
    shares = ", ".join(f"{count / total:.1%} in {limit} s" for limit, count in counts.items() if float(limit) <= 10)
    print(f"from acceptance to queryable: {shares}")
    batches = next(line for line in lines if line.startswith('mailposture_insert_batches_total{outcome="stored"}'))
    print(f"{total / float(batches.rsplit(' ', 1)[1]):.0f} mails a batch")


def _processes(stack: Stack) -> dict[str, psutil.Process]:
    pids = {child.name: child.process.pid for child in stack.processes if child.process is not None}
    return {
        name: psutil.Process(pid) for name, pid in {"engine": stack.engine.pid, **pids, "load": os.getpid()}.items()
    }


def _processor_seconds(stack: Stack) -> dict[str, float]:
    return {name: sum(process.cpu_times()[:2]) for name, process in _processes(stack).items()}


def _print_processes(stack: Stack, used: dict[str, float], mails: int) -> None:
    for name, process in _processes(stack).items():
        spent = sum(process.cpu_times()[:2]) - used[name]
        memory = process.memory_info().rss / 2**20
        print(f"{name:10} {spent / mails * 1e6:6.0f} µs of processor a mail, {memory:6.0f} MB resident")


if __name__ == "__main__":
    sys.exit(main())
