"""A flood of the largest messages that are allowed leaves the collector below the memory that its container gets.

Real processes, each measured by the kernel (VmHWM: the most that was resident, shared libraries counted each time).
"""

from __future__ import annotations

import base64
import gzip
import http.client
import random
import smtplib
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

import orjson
import pytest
from dmarc_samples import POLICY, feedback
from dmarc_samples import record as dmarc_record
from dmarc_samples import row as dmarc_row
from eventually import eventually
from memory import MIB, allowed, forget_peak, peak

from bench.stack import Stack, running
from collector.documents.limits import LIMITS
from reports.dmarc.limits import RECORDS
from reports.tls.limits import FAILURE_DETAILS, JSON_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

DOMAIN = "bank.example"
TOKEN = "t" * 32
LARGEST = 50 * MIB - 1024
SUPERVISOR = 48 * MIB  # the collector command itself, which does nothing but wait for the two
HEAD = b"From: tls@sender.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/gzip\r\n"


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
    "a report of as many details as are allowed": lambda: attached(gzip.compress(report(FAILURE_DETAILS), 1)),
    "a report of as many bytes as are allowed": lambda: attached(
        gzip.compress(report(10, b', "x": "' + base64.b64encode(noise(11 * MIB)) + b'"'))
    ),
    "JSON of as many values as are allowed": lambda: attached(
        gzip.compress(report(10, b', "x": [' + b"{}," * (JSON_VALUES - 1000) + b"{}]"), 1)
    ),
    "a DMARC report of as many bytes as are allowed": lambda: attached(gzip.compress(dmarc_report(), 1)),
}


def dmarc_report() -> bytes:
    """A DMARC report of nearly 64 MiB, in 150,000 records."""
    records = (dmarc_record(dmarc_row(count=str(number))) for number in range(RECORDS * 3 // 4))
    return feedback(*records, policy=POLICY.replace("example.com", DOMAIN))


@pytest.fixture(scope="module")
def running_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(
        tmp_path_factory.mktemp("collector"), domain=DOMAIN, domains=[{"name": DOMAIN, "token": TOKEN}]
    ) as stack:
        yield stack


@pytest.fixture
def collector(running_collector: Stack) -> Stack:
    """With peaks that begin now."""
    for pid in processes(running_collector):
        forget_peak(pid)
    return running_collector


def processes(stack: Stack) -> list[int]:
    """Receiver and ingest, which both still run since their start."""
    found = [child.process for child in stack.processes]
    assert all(process and process.poll() is None for process in found)
    return [process.pid for process in found if process]


def stays_within_its_limit(stack: Stack) -> bool:
    return sum(map(peak, processes(stack))) + SUPERVISOR < allowed("collector")


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
    with ThreadPoolExecutor(6) as senders:  # half of them say how much will come
        answers = Counter(chain.from_iterable(senders.map(lambda i: mail(collector, body, keep=1 + i % 2), range(6))))
    assert answers.keys() <= {250, 452}
    assert answers[250] >= 1  # some come through while the others are asked to come back
    assert mail(collector, b"Subject: small\r\n\r\nx") == [250]
    drain(collector)
    assert stays_within_its_limit(collector)


@pytest.mark.parametrize(("kind", "posts"), [("junk", 12), ("a report of as many details as are allowed", 40)])
def test_a_flood_of_posts(collector: Stack, kind: str, posts: int) -> None:
    """Reports by post have rows to be stored, too."""
    body = MAILS[kind]()
    with ThreadPoolExecutor(posts) as senders:
        answers = Counter(senders.map(lambda _: post(collector, body), range(posts)))
    assert answers.keys() <= {201, 503, 0}
    assert answers[201] >= 1
    assert post(collector, b"{}") == 201
    drain(collector)
    assert stays_within_its_limit(collector)


@pytest.mark.parametrize(
    "begin", [b"POST /", b"POST / HTTP/1.1\r\nHost: x\r\nA: "], ids=["request line", "header field"]
)
def test_a_flood_of_what_is_no_http(collector: Stack, begin: bytes) -> None:
    listen = collector.config.https.listen
    assert listen is not None

    def send(_: int) -> None:
        with suppress(OSError), socket.create_connection((listen.host, listen.port), timeout=5) as client:
            client.sendall(begin)
            for _ in range(64):
                client.sendall(b"x" * MIB)  # until it hangs up

    with ThreadPoolExecutor(50) as senders:
        list(senders.map(send, range(50)))
    assert post(collector, b"{}") == 201
    drain(collector)
    assert stays_within_its_limit(collector)
