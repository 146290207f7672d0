"""A flood of the largest messages that are allowed leaves the collector below the memory that its container gets.

Real processes, each measured by the kernel (VmHWM: the most that was resident, shared libraries counted each time).
"""

from __future__ import annotations

import base64
import gzip
import http.client
import random
import smtplib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml
from eventually import eventually

from bench.stack import Stack, running
from collector.decode.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MIB = 2**20
DOMAIN = "bank.example"
TOKEN = "t" * 32
LARGEST = 50 * MIB - 1024
SUPERVISOR = 48 * MIB  # the collector command itself, which does nothing but wait for the two
HEAD = b"From: tls@sender.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/gzip\r\n"


def allowed() -> int:
    """What docker-compose.yml gives the collector, less an eighth for sockets and files under way."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    limit = services["collector"]["mem_limit"]
    assert limit.endswith("m")
    return int(limit.removesuffix("m")) * MIB * 7 // 8 - SUPERVISOR


def attached(content: bytes) -> bytes:
    """A mail of it."""
    return HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content).replace(b"\n", b"\r\n")


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def report(details: int, padding: bytes = b"") -> bytes:
    """A report of so many failure details."""
    detail = orjson.dumps(
        {
            "result-type": "certificate-expired",
            "sending-mta-ip": "192.0.2.1",
            "receiving-mx-hostname": "mx.bank.example",
            "failed-session-count": 1,
            "additional-information": "https://sender.example/why",
        }
    )
    return (
        b'{"organization-name": "Sender", "report-id": "1", "contact-info": "tls@sender.example", "date-range":'
        b'{"start-datetime": "2026-11-01T00:00:00Z", "end-datetime": "2026-11-01T23:59:59Z"}, "policies": [{"policy":'
        b'{"policy-type": "sts", "policy-domain": "bank.example"}, "summary": {"total-failure-session-count": 1},'
        b'"failure-details": [' + b",".join([detail] * details) + b"]}]" + padding + b"}"
    )


MAILS: dict[str, Callable[[], bytes]] = {
    "junk": lambda: attached(noise(LARGEST * 72 // 100)),
    "a line of dots each": lambda: HEAD + b"\r\n" + b"..........\r\n" * (LARGEST // 13),
    "a bomb": lambda: attached(gzip.compress(bytes(LIMITS.unpacked_bytes * 4)) + noise(LARGEST * 7 // 10)),
    "a report of as many details as are allowed": lambda: attached(gzip.compress(report(LIMITS.failure_details), 1)),
    "a report of as many bytes as are allowed": lambda: attached(
        gzip.compress(report(10, b', "x": "' + base64.b64encode(noise(11 * MIB)) + b'"'))
    ),
    "JSON of as many values as are allowed": lambda: attached(
        gzip.compress(report(10, b', "x": [' + b"{}," * (LIMITS.json_values - 1000) + b"{}]"), 1)
    ),
}


@pytest.fixture(scope="module")
def running_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(
        tmp_path_factory.mktemp("collector"), domain=DOMAIN, domains=[{"name": DOMAIN, "token": TOKEN}]
    ) as stack:
        yield stack


@pytest.fixture
def collector(running_collector: Stack) -> Stack:
    """With peaks that begin now."""
    for folder in processes(running_collector).values():
        (folder / "clear_refs").write_text("5")
    return running_collector


def processes(stack: Stack) -> dict[str, Path]:
    """The folders in /proc of receiver and ingest, which both still run since their start."""
    found = {child.name: child.process for child in stack.processes}
    assert all(process and process.poll() is None for process in found.values())
    return {name: Path(f"/proc/{process.pid}") for name, process in found.items() if process}


def peak(stack: Stack) -> int:
    """Bytes that receiver and ingest had at most, together."""
    most = {
        name: int((folder / "status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        for name, folder in processes(stack).items()
    }

    return sum(most.values())


def drain(stack: Stack) -> None:
    """Wait until ingest is done with everything."""
    empty = "\nmailposture_spool_messages 0.0\n"
    eventually("the spool is empty", lambda: empty in stack.page("/metrics"), within=300)


def mail(stack: Stack, body: bytes, *, keep: int = 1) -> list[int]:
    """Send it `keep` times in one connection, as it is: lines that begin with a dot have another already."""
    answers = []
    with smtplib.SMTP("127.0.0.1", stack.smtp_port, timeout=60) as client:
        client.ehlo()
        for _ in range(keep):
            client.mail("tls@sender.example", [f"SIZE={len(body)}"] if keep % 2 else [])
            client.rcpt(f"tlsrpt@{DOMAIN}")
            answer, _ = client.docmd("DATA")
            if answer == 354:
                client.sock.sendall(body)
                client.sock.sendall(b"\r\n.\r\n")
                answer, _ = client.getreply()
            answers.append(answer)
    return answers


def post(stack: Stack, body: bytes) -> int:
    """The answer to a post; 0 if the connection was cut while it was on its way."""
    client = http.client.HTTPConnection("127.0.0.1", stack.config.https.listen.port, timeout=60)
    try:
        client.request("POST", f"/v1/tls-reports/{TOKEN}", body)
        return client.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        return 0
    finally:
        client.close()


@pytest.mark.parametrize("kind", MAILS)
def test_a_flood_of_mail(collector: Stack, kind: str) -> None:
    body = MAILS[kind]()
    assert len(body) <= LARGEST
    with ThreadPoolExecutor(12) as senders:  # half of them say how much will come
        answers = Counter(chain.from_iterable(senders.map(lambda i: mail(collector, body, keep=1 + i % 2), range(12))))
    assert answers.keys() <= {250, 452}
    assert answers[250] >= 1  # some come through while the others are asked to come back
    assert mail(collector, b"Subject: small\r\n\r\nx") == [250]
    drain(collector)
    assert peak(collector) < allowed()


def test_a_flood_of_posts(collector: Stack) -> None:
    body = MAILS["junk"]()
    with ThreadPoolExecutor(30) as senders:
        answers = Counter(senders.map(lambda _: post(collector, body), range(30)))
    assert answers.keys() <= {201, 503, 0}
    assert answers[201] >= 1
    assert post(collector, b"{}") == 201
    drain(collector)
    assert peak(collector) < allowed()
