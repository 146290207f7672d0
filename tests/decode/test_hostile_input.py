"""Bombs of every kind end in bounded memory and time, and nothing but a rejection or a report ever comes out."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tls_rows import tls_rows

from collector.documents.message import open_message
from reports.envelope import Envelope, Source
from reports.reading import read_reports
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from reports.rows import Rows

# Each, under what becomes of it, makes `body`, in a process of its own so that its memory can be measured.
BOMBS = {
    Reason.TOO_LARGE: {
        "gzip of zeros": "body = gzip.compress(bytes(300 * MIB))",
        "gzip of a hundred times the same report": "body = gzip.compress(b'{\"a\":\"' + b'x' * 40 * MIB)",
        "zip of zeros": "body = zipped(bytes(300 * MIB))",
        "mail with a gzip of zeros": "body = HEAD + base64.encodebytes(gzip.compress(bytes(300 * MIB)))",
        "100 MB of JSON": "body = b'{\"policies\":[' + b'1,' * (50 * MIB) + b'1]}'",
        "30 MB of JSON": "body = b'{\"policies\":[' + b'1,' * (15 * MIB) + b'1]}'",
        "a mail of header fields": "body = b'a:b\\n' * (12 * MIB)",
        "a part of header fields": "body = MULTI + b'--b\\n' + b'a:b\\n' * (12 * MIB)",
        "one folded header field": "body = b'Subject: x\\n' + b' x\\n' * (16 * MIB) + b'\\n{}'",
        "encoded words": "body = b'Subject: ' + b'=?utf-8?q?a?= ' * (3 * MIB) + b'\\n\\n{}'",
        "parameters": "body = b'Content-Type: multipart/mixed' + b'; a=b' * (9 * MIB) + b'\\n\\n{}'",
    },
    Reason.TOO_MANY: {
        "ten million parts": "body = MULTI + b'--b\\n\\n' * (10 * MIB)",
        "a million policies": "body = b'{\"policies\":[' + b'{},' * 1_000_000 + b'{}]}'",
        "a hundred thousand policies": "body = b'{\"policies\":[' + b'{},' * 100_000 + b'{}],\"date-range\":{}}'",
        "a gzip of a million members": "body = gzip.compress(b'') * 1_000_000",
        "a zip of a million members": "body = b'PK\\x05\\x06' + b'PK\\x01\\x02' * 1_000_000",
        "a million details": "body = report(b'[]', b'1', b'{},' * 450_000 + b'{}')",
        "details in many reports": "day = gzip.compress(report(b'[]', b'1', b'{},' * 49_000 + b'{}'));"
        " body = MULTI + (b'--b\\n' + HEAD + base64.encodebytes(day)) * 200",
        "gzip of commas": "body = gzip.compress(b'{\"policies\":[' + b'[],' * 5_000_000 + b'[]]}', 1)",
    },
    Reason.TOO_NESTED: {
        "ten million brackets": "body = b'{\"policies\":' + b'[' * (10 * MIB)",
        "a mail in a large mail": "body = HEAD.replace(b'application/gzip', b'message/rfc822')"
        " + base64.encodebytes(MULTI + b'--b\\n\\n' * MIB)",
    },
    "accepted": {
        "three million lines in a policy-string": "body = report(b'\"' + b'ab\\\\n' * 3_000_000 + b'\"', b'1')",
        "ten million characters in a policy-string": "body = report(b'[\"' + b'\\xc3\\xbc' * 5_000_000 + b'\"]', b'1')",
        "a count of fifteen million digits": "body = report(b'[]', b'9' * 15_000_000)",
        "fifty thousand details": "body = report(b'[]', b'1', b','.join([b'{\"result-type\": \"x\"}'] * 50_000))",
    },
    Reason.NO_REPORT: {
        "50 MB of noise": "body = random.Random(1).randbytes(50 * MIB)",
        "50 MB of base64": "body = HEAD + base64.encodebytes(bytes(36 * MIB))",
        "60 MB of line ends": "body = b'a: b\\n' + b'\\n' * (60 * MIB)",
    },
    Reason.BAD_ENCODING: {
        "30 MB of broken base64": "body = HEAD + b'=*' * (15 * MIB)",
    },
}

MEASURED = """
import base64, gzip, io, random, resource, sys, zipfile
from collector.documents.message import open_message
from reports.reading import read_reports
from reports.rejection import RejectedError

MIB = 2**20
HEAD = b"Content-Type: application/gzip\\nContent-Transfer-Encoding: base64\\n\\n"
MULTI = b"Content-Type: multipart/mixed; boundary=b\\n\\n"

def report(strings, count, details=b""):
    return (
        b'{"organization-name": "x", "date-range": {"start-datetime": "2026-03-01T00:00:00Z"}, "policies": [{"policy":'
        b'{"policy-domain": "example.com", "policy-string": ' + strings + b'}, "summary":'
        b'{"total-successful-session-count": ' + count + b'}, "failure-details": [' + details + b"]}]}"
    )

def zipped(content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("report.json", content)
    return archive.getvalue()

{bomb}
# What making the bomb took must not hide what opening it takes: pages given back do not lower ru_maxrss.
with open("/proc/self/clear_refs", "w") as clear:
    clear.write("5")
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024
before = peak()
try:
    read_reports(open_message(body))
    print("accepted", peak() - before)
except RejectedError as error:
    print(error.fault.reason.value, peak() - before, error.fault.detail)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outcome", "bomb"),
    [pytest.param(outcome, bomb, id=name) for outcome, bombs in BOMBS.items() for name, bomb in bombs.items()],
)
def test_bombs_take_bounded_memory(outcome, bomb):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.replace("{bomb}", bomb)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found, megabytes, *_ = done.stdout.split()
    assert (found, done.stderr) == (outcome, "")
    assert int(megabytes) < 300


def decoded(body: bytes, ownership) -> list[Rows]:
    message = open_message(body)
    envelope = Envelope(source=Source.SMTP, received_at=datetime(2026, 3, 2, tzinfo=UTC))
    return [
        tls_rows(report, ownership, opened=message, envelope=envelope) for _, report in read_reports(message).reports
    ]


SPICES = (
    *(
        b"\x00",
        b"\xff",
        b"\xf0\x9f\x92\xa9",
        b"\n",
        b"\r\n",
        b"\n\n",
        b":",
        b";",
        b'"',
        b"\\",
        b"=",
        b"--",
        b"\x1f\x8b",
    ),
    *(b"null", b"-1", b"1e400", b"NaN", b"[]", b"{}", b"[[", b"}}", b"\\ud800", b"\\u0000", b"9" * 400, b"T", b"Z"),
    *(
        b"=?utf-8?b?=?=",
        b"boundary=",
        b"Content-Type: message/rfc822\n",
        b"Content-Transfer-Encoding: x\n",
        b"PK\x03\x04",
    ),
)


def mutated(body: bytes, dice: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, and spiced with what parsers stumble over."""
    changed = bytearray(body)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                del changed[at : at + dice.choice((1, 2, 10, 200))]
            case 2:
                changed[at:at] = changed[at : at + dice.choice((1, 10, 100))]
            case 3:
                del changed[max(at, 1) :]
            case _:
                changed[at:at] = dice.choice(SPICES)
    return bytes(changed)


@pytest.mark.parametrize(
    "sample_file", sorted((Path(__file__).parent / "samples").iterdir()), ids=lambda path: path.name
)
def test_nothing_but_a_rejection_comes_out_of_damaged_samples(sample_file, ownership):
    dice = random.Random(sample_file.name)
    body = sample_file.read_bytes()
    inner = open_message(body).documents[0].content
    for _ in range(150):
        for damaged in (mutated(body, dice), mutated(inner, dice)):
            try:
                found = decoded(damaged, ownership)
            except RejectedError as error:
                assert error.fault.detail.isprintable()  # noqa: PT017
                assert len(error.fault.detail) < 400  # noqa: PT017
            else:
                assert found
