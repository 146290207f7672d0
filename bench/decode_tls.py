"""Decoding against parsedmarc's own `parse_report_email`: the same mails, in the same run, in turns.

    python bench/decode_tls.py
    python bench/decode_tls.py --parsedmarc-python /path/to/venv/bin/python

Ours goes from what a signature proves of a mail to validated rows (MIME, gunzip, JSON, validation, our domains,
classification); parsedmarc's from its bytes to its dictionary, offline. Neither checks DKIM (bench/signatures.py does)
nor stores anything. Each runs in an interpreter of its
own, because their dependencies differ; they take turns, and the medians of processor time a mail are compared. Without
a path, parsedmarc is installed into an environment beside this file at the first run.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.dkim.verifier import Proof

PARSEDMARC = "parsedmarc==11.1.0"
DOMAIN = "example.com"
RESULTS = ("certificate-expired", "starttls-not-supported", "certificate-host-mismatch", "validation-failure")
REASONS = ("", "X509_V_ERR_CERT_HAS_EXPIRED", "io-timeout-during-handshake", "tls-remote-alert-40-handshake_failure")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parsedmarc-python", type=Path, help="interpreter of an environment that has parsedmarc")
    parser.add_argument("--at-most", type=float, default=1 / 3, help="fail if ours takes more of parsedmarc's time")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(WORKERS[arguments.worker]())
    mails = make_mails(arguments.mails)
    size = statistics.mean(map(len, mails))
    print(f"{len(mails)} mails of {size / 1024:.1f} KB on average, {arguments.rounds} rounds in turns")
    ours, theirs = compare(mails, arguments.rounds, arguments.parsedmarc_python or parsedmarc_python())
    print(f"parsedmarc  {theirs * 1e6:7.0f} µs a mail")
    print(f"mailposture {ours * 1e6:7.0f} µs a mail")
    print(f"ratio       {ours / theirs:7.3f} of parsedmarc's time: {theirs / ours:.1f} times as fast")
    return 0 if ours / theirs <= arguments.at_most else 1


def parsedmarc_python() -> Path:
    home = Path(__file__).parent / f".{PARSEDMARC}"
    python = home / "bin" / "python"
    if not python.exists():
        print(f"installing {PARSEDMARC} into {home}")
        venv.create(home, with_pip=True)
        (home / ".gitignore").write_text("*\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", PARSEDMARC], check=True)
    return python


def compare(mails: list[bytes], rounds: int, other_python: Path, script: Path = Path(__file__)) -> tuple[float, float]:
    """Median processor seconds a mail: ours, parsedmarc's."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mails"
        file.write_bytes(pickle.dumps(mails))
        pythons = {"mailposture": Path(sys.executable), "parsedmarc": other_python}
        workers = [start(name, python, file, script) for name, python in pythons.items()]
        try:
            times = [[one_round(worker) for worker in workers] for _ in range(rounds + 1)][1:]  # the first warms up
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    ours, theirs = zip(*times, strict=True)
    return statistics.median(ours) / len(mails), statistics.median(theirs) / len(mails)


def start(name: str, python: Path, mails: Path, script: Path = Path(__file__)) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-P", script, "--worker", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "MAILS": str(mails)},
    )


def one_round(worker: subprocess.Popen[str]) -> float:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def work(worker: Worker) -> int:
    """Decode all mails each time a line comes in, and answer with the processor time it took."""
    import os  # noqa: PLC0415

    mails = [worker.prepare(mail) for mail in pickle.loads(Path(os.environ["MAILS"]).read_bytes())]
    for _ in sys.stdin:
        begin = time.process_time()
        for mail in mails:
            worker.decode(mail)
        print(time.process_time() - begin, flush=True)
    return 0


class Worker(NamedTuple):
    """A decoder: what it is given of a mail, and what it does with that."""

    prepare: Callable[[bytes], Any]
    decode: Callable[[Any], object]


def mailposture_decoder() -> Worker:
    from collector.dkim import canonical, signature  # noqa: PLC0415
    from collector.dkim.verifier import proof_of  # noqa: PLC0415
    from collector.documents.message import open_proven  # noqa: PLC0415
    from collector.garbage import look_for_garbage_rarely  # noqa: PLC0415
    from mailposture.config.model import Config  # noqa: PLC0415
    from mailposture.ownership import Ownership  # noqa: PLC0415
    from reports.envelope import Envelope, Source, Trust  # noqa: PLC0415
    from reports.kind import Provenance  # noqa: PLC0415
    from reports.reading import read_reports  # noqa: PLC0415

    ownership = Ownership(Config.model_validate({"domains": [{"name": DOMAIN, "mx": [f"mx1.{DOMAIN}"]}]}))
    envelope = Envelope(source=Source.SMTP, received_at=datetime.now(UTC))

    look_for_garbage_rarely()  # as ingest does

    def prove(mail: bytes) -> Proof:
        read = canonical.read(mail)
        signed = signature.read(read.fields[b"dkim-signature"][0])
        return proof_of(signed, read, signature.signed_header(signed, read))

    def decode(proof: Proof) -> object:
        opened = open_proven(proof)
        provenance = Provenance(
            opened=opened,
            envelope=envelope,
            arrived_at=envelope.accepted_at,
            trust=Trust.DKIM,
            signer=proof.domain,
        )
        return [
            kind.rows([(report, kind.attribute(report, opened, envelope, ownership))], provenance)
            for kind, report in read_reports(opened).reports
        ]

    return Worker(prove, decode)


def parsedmarc_decoder() -> Worker:
    import parsedmarc  # noqa: PLC0415

    return Worker(lambda mail: mail, lambda mail: parsedmarc.parse_report_email(mail, offline=True))


WORKERS: dict[str, Callable[[], Worker]] = {
    "mailposture": mailposture_decoder,
    "parsedmarc": parsedmarc_decoder,
}


def make_mails(number: int) -> list[bytes]:
    """Mails like those of the widest senders: multipart/report, gzip, 1 to 3 policies, 0 to 10 failure details."""
    chance = random.Random(8460)
    return [make_mail(chance, serial) for serial in range(number)]


def make_mail(chance: random.Random, serial: int) -> bytes:
    sender = f"sender{serial % 12}.example"
    report: dict[str, Any] = {
        "organization-name": f"Sender {serial % 12} Inc.",
        "date-range": {"start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "2026-03-01T23:59:59Z"},
        "contact-info": f"smtp-tls-reporting@{sender}",
        "report-id": f"2026-03-01T00:00:00Z_{serial}_{DOMAIN}",
        "policies": [make_policy(chance) for _ in range(chance.randint(1, 3))],
    }
    for _ in range(chance.randrange(11)):
        chance.choice(report["policies"])["failure-details"].append(make_failure(chance))
    attachment = base64.encodebytes(gzip.compress(json.dumps(report).encode(), mtime=0)).decode()
    signature = "\n        ".join(base64.b64encode(chance.randbytes(48)).decode() for _ in range(6))
    name = f"{sender}!{DOMAIN}!1772323200!1772409599!{serial}.json.gz"
    return "\r\n".join(
        f"""Received: from mail-out.{sender} (mail-out.{sender} [192.0.2.{serial % 250 + 1}])
        by mx1.{DOMAIN} (Postfix) with ESMTPS id {serial:08X}
        for <tlsrpt@{DOMAIN}>; Mon, 02 Mar 2026 10:00:00 +0000 (UTC)
Received: from worker-{serial}.{sender} by mail-out.{sender} with ESMTPSA id {chance.randbytes(12).hex()}
        for <tlsrpt@{DOMAIN}>; Mon, 02 Mar 2026 09:59:58 +0000
Authentication-Results: mx1.{DOMAIN}; spf=pass smtp.mailfrom={sender}; dmarc=pass header.from={sender}
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={sender}; s=20260101; t=1772445600;
        h=to:from:subject:date:message-id:mime-version:tls-report-domain:tls-report-submitter;
        bh={base64.b64encode(chance.randbytes(32)).decode()};
        b={signature}
MIME-Version: 1.0
Date: {format_datetime(datetime(2026, 3, 2, 10, tzinfo=UTC))}
Message-ID: <{serial}@{sender}>
Subject: Report Domain: {DOMAIN} Submitter: {sender} Report-ID: <{serial}@{sender}>
From: TLS reporting <smtp-tls-reporting@{sender}>
To: tlsrpt@{DOMAIN}
TLS-Report-Domain: {DOMAIN}
TLS-Report-Submitter: {sender}
Content-Type: multipart/report; boundary="=_{serial}"; report-type=tlsrpt

--=_{serial}
Content-Type: text/plain; charset="us-ascii"

This is an aggregate TLS report from {sender} about {DOMAIN}.

--=_{serial}
Content-Type: application/tlsrpt+gzip; name="{name}"
Content-Disposition: attachment; filename="{name}"
Content-Transfer-Encoding: base64

{attachment}
--=_{serial}--
""".splitlines()
    ).encode()


def make_policy(chance: random.Random) -> dict[str, Any]:
    return {
        "policy": {
            "policy-type": "sts",
            "policy-string": ["version: STSv1", "mode: enforce", f"mx: mx1.{DOMAIN}", "max_age: 604800"],
            "policy-domain": DOMAIN,
            "mx-host": [f"mx1.{DOMAIN}"],
        },
        "summary": {
            "total-successful-session-count": chance.randrange(5000),
            "total-failure-session-count": chance.randrange(50),
        },
        "failure-details": [],
    }


def make_failure(chance: random.Random) -> dict[str, Any]:
    return {
        "result-type": chance.choice(RESULTS),
        "sending-mta-ip": str(IPv6Address(chance.randbytes(16))),
        "receiving-mx-hostname": f"mx{chance.randrange(1, 5)}.{DOMAIN}",
        "receiving-ip": str(IPv4Address(chance.randbytes(4))),
        "failed-session-count": chance.randrange(1, 9),
        "additional-information": f"https://reports.example/{chance.randbytes(24).hex()}",
        "failure-reason-code": chance.choice(REASONS),
    }


if __name__ == "__main__":
    sys.exit(main())
