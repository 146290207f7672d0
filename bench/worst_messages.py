"""What the worst messages of each kind cost: processor time per message, from its bytes to its rows.

    python bench/worst_messages.py
    python bench/worst_messages.py --only name

Anybody can send these. Each lies just within the limits of collector/documents/limits.py, and aims at something that
could be slow per entry. Ingest judges one message after another, so the worst one decides how long true reports wait
behind it. tests/decode/test_bounded_work.py holds the same messages to a number of steps per byte, without a clock.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import time
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from collector.dkim.keys import KeyCache, KeyLookup, NoKey
from collector.ingest.judge import Judge
from collector.trust import DkimVerifier
from mailposture.config.model import Config
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from collector.ingest.judge import Judgement

DOMAIN = "victim.example"
NOW = datetime(2026, 11, 3, tzinfo=UTC)
HEAD = b"From: a@evil.example\r\nTo: tlsrpt@victim.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
MULTIPART = b"Content-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n"
SIGNATURES = b"".join(
    b"DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=s%d; h=from; bh=AAAA; b=AAAA\r\n" % number
    for number in range(5)
)


def report(details: list[dict[str, Any]] | None = None, policies: list[dict[str, Any]] | None = None) -> bytes:
    """A report with these failure details, or with these policies."""
    own = {"policy": {"policy-type": "sts", "policy-domain": DOMAIN}, "failure-details": details or []}
    content = {
        "organization-name": "x",
        "contact-info": "a@evil.example",
        "report-id": "1",
        "date-range": {"start-datetime": "2026-11-01T00:00:00Z", "end-datetime": "2026-11-01T23:59:59Z"},
        "policies": policies or [own],
    }
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def mail(*documents: bytes) -> bytes:
    """Documents in a zip in a mail."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as files:
        for number, document in enumerate(documents):
            files.writestr(f"{number}.json", document)
    packed = base64.encodebytes(archive.getvalue())
    return HEAD + b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + packed


def details(detail: Callable[[int], dict[str, Any]]) -> Callable[[int], bytes]:
    """A report with so many KiB of such failure details."""

    def make(kib: int) -> bytes:
        size = len(json.dumps(detail(1000), ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return mail(report([detail(number) for number in range(min(kib * 1024 // size, 49_000))]))

    return make


def policies(policy: Callable[[int], dict[str, Any]]) -> Callable[[int], bytes]:
    """As many reports in a zip as hold so many KiB of such policies, up to a hundred."""

    def make(kib: int) -> bytes:
        size = len(json.dumps({"policy": policy(1000)}).encode())
        count = max(1, min(kib * 1024 // size, 49_000))
        each = -(-count // min(100, -(-count // 500)))
        whole = [{"policy": policy(number)} for number in range(count)]
        return mail(*(report(policies=whole[start : start + each]) for start in range(0, count, each)))

    return make


def multipart(body: bytes, *, header: bytes = b"", content_type: bytes = MULTIPART) -> bytes:
    return (
        HEAD
        + header
        + content_type
        + b"\r\n"
        + body
        + b"\r\n--b\r\nContent-Type: application/tlsrpt+json\r\n\r\n"
        + (report() + b"\r\n--b--\r\n")
    )


def signed_by(author: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A mail with five signatures, whose From field has so many KiB, up to what a header may have."""

    def make(kib: int) -> bytes:
        field = author(min(kib, 190) * 1024)
        return SIGNATURES + multipart(b"").replace(b"a@evil.example", field, 1)

    return make


def damaged(depth: int) -> Callable[[int], bytes]:
    """Parts in parts, and base64 in which something else stands: the forgiving parser has to read it."""

    def make(kib: int) -> bytes:
        nested = b"".join(
            b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level, level + 1)
            for level in range(depth)
        )
        part = b"--b%d\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\n=*=*\r\n" % depth
        lines = b"-\r\n" * min(kib * 1024 // 3, 99_000)
        return HEAD + b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n" + nested + part + lines

    return make


def with_field(name: bytes, value: bytes, per_kib: int) -> Callable[[int], bytes]:
    """A mail with a header field of so many KiB."""
    return lambda kib: multipart(b"", header=name + b": " + value * (min(kib, 190) * per_kib) + b"\r\n")


def many_fields(field: bytes) -> Callable[[int], bytes]:
    """A mail with so many KiB of a header field."""
    return lambda kib: multipart(b"", header=field * (min(kib, 200) * 1024 // len(field)))


def signed_fields(kib: int) -> bytes:
    """Signatures that name very many fields."""
    return SIGNATURES.replace(b"h=from", b"h=from" + b":from" * (min(kib, 190) * 40)) + multipart(b"")


def parameters(kib: int) -> bytes:
    """A Content-Type with very many parameters."""
    return multipart(b"", content_type=MULTIPART[:-2] + b"; a=b" * (min(kib, 190) * 200) + b"\r\n")


def blanks(kib: int) -> bytes:
    """A signed body of blanks, which canonicalization leaves out."""
    return SIGNATURES + multipart((b" " * 30 + b"\t") * (kib * 33))


def reason(number: int) -> dict[str, Any]:
    return {"result-type": "validation-failure", "failure-reason-code": "cert mx tls-" * 15 + f"{number:x}"}


def addresses(number: int) -> dict[str, Any]:
    return {"sending-mta-ip": f"[IPv6:zz{number:x}%eth0]", "receiving-ip": f"1.2.{number}"}


# What makes a message of about so many KiB, unpacked.
def in_a_row(piece: bytes) -> Callable[[int], bytes]:
    """A mail with one attachment, of pieces that look like documents one after the other."""
    head = b"From: a@x.example\r\nContent-Type: application/json\r\n\r\n"
    return lambda kib: head + piece * (kib * 1024 // len(piece))


MESSAGES: dict[str, Callable[[int], bytes]] = {
    "failures without anything": details(lambda _: {}),
    "host names": details(lambda n: {"receiving-mx-hostname": "a." * 100 + f"{n:x}"}),
    "host names in U-labels": details(lambda n: {"receiving-mx-hostname": "é." * 100 + f"{n:x}"}),
    "texts that are no host name": details(lambda n: {"receiving-mx-hostname": "a-." * 70 + f"{n:x}"}),
    "texts that are no address": details(addresses),
    "texts that are no number": details(lambda n: {"failed-session-count": f"{n}e5"}),
    "answers to EHLO": details(lambda n: {"receiving-mx-helo": f"{n:x}\u200b x\n" * 20}),
    "unprintable texts": details(lambda n: {"additional-information": "\u200b\x01" * 100 + f"{n:x}"}),
    "result types": details(lambda n: {"result-type": f"{n:x} - " * 15}),
    "reasons": details(reason),
    "policies of others": policies(lambda n: {"policy-type": "sts", "policy-domain": f"x{n}.example"}),
    "policies by host": policies(lambda n: {"policy-type": "tlsa", "policy-domain": f"x{n}.mx.{DOMAIN}"}),
    "mx patterns": policies(lambda n: {"policy-domain": DOMAIN, "mx-host": [f"*.{n}.{m}.example" for m in range(50)]}),
    "policy lines": policies(lambda n: {"policy-domain": DOMAIN, "policy-string": ["mode" + " " * 40 + str(n)] * 50}),
    "authors": signed_by(lambda size: b",\r\n ".join(b"a@x%d.example" % n for n in range(size // 22))),
    "comments in an author": signed_by(lambda size: b"(" * size),
    "groups in an author": signed_by(lambda size: b"a:<@," * (size // 5)),
    "signed fields": signed_fields,
    "encoded words": with_field(b"Subject", b"=?utf-8?q?a?= ", 70),
    "header fields": many_fields(b"a:\r\n"),
    "header fields Received": many_fields(b"Received: x; Mon, 02 Mar 2026 10:00:00 +0000\r\n"),
    "parameters": parameters,
    "damaged parts": damaged(10),
    "damaged parts, nested": damaged(300),
    "blanks": blanks,
    "documents in a row": in_a_row(b"{}"),
    "documents in a row, cut off": in_a_row(b'{"a":\n'),
    "documents in a row, with lists": in_a_row(b'{"a":[{},\n'),
    "documents in a row, in lists": in_a_row(b"[{"),
}


class NoKeys(KeyCache):
    """No name has a key."""

    def look_up(self, names: Collection[str], *, patience: float) -> dict[str, KeyLookup]:
        return dict.fromkeys(names, NoKey("has no key"))


def judge(clock: Callable[[], float] = time.monotonic) -> Judge:
    """Judges as ingest does."""
    domains = [{"name": DOMAIN, "mx": [f"*.mx.{DOMAIN}"]}]
    return Judge(Config.model_validate({"domains": domains}), verifier=DkimVerifier(keys=NoKeys()), clock=clock)


def judged(by: Judge, body: bytes, *, by_operator: bool) -> Judgement:
    """The verdict on a message; its rows are only made if an operator accepts it."""
    return by.judge([(Envelope(source=Source.SMTP, received_at=NOW, by_operator=by_operator), body)], now=NOW)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that hold this text")
    parser.add_argument("--at-most", type=float, default=3.0, help="fail if a message takes more seconds")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    by, worst = judge(), 0.0
    for name, make in MESSAGES.items():
        if arguments.only in name:
            body = make(15_000)
            times = []
            for by_operator in (False, True):
                begin = time.process_time()
                judged(by, body, by_operator=by_operator)
                times.append(time.process_time() - begin)
            worst = max(worst, *times)
            print(
                f"{name:28} {len(body) / 1024:8,.0f} KiB {times[0]:6.2f} s unauthenticated {times[1]:6.2f} s with rows"
            )
    return int(worst > arguments.at_most)


if __name__ == "__main__":
    sys.exit(main())
