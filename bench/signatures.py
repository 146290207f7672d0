"""A DKIM check against dkimpy's: the same mails, in the same run, in turns; keys at hand, so no DNS on either side.

    python -m bench.signatures
    python -m bench.signatures --rounds 20

Mails have the size that reports have (3.8 KB), signed relaxed/relaxed by RSA-2048 or Ed25519. "stock" is dkimpy as it
comes; "with cryptography" is dkimpy with its RSA, which is pure Python, replaced by the `cryptography` package's.
The medians of processor time a mail are compared, on one core. Exits with 1 if ours is not at least three times as fast
for RSA; of an Ed25519 check most is the curve, on both sides.
"""

import argparse
import base64
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from unittest.mock import patch

import dkim
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from collector.alignment import aligned_with_author
from collector.dkim.keys import KeyCache, KeyLookup, parse_record
from collector.dkim.verifier import Arrived, DkimVerifier, Outcome

MAILS = 100
SMALLEST_RATIO = 3.0
PKCS1 = padding.PKCS1v15()
SHA256 = Prehashed(hashes.SHA256())


class KnownKey(KeyCache):
    """A cache that has every key already."""

    def __init__(self, record: bytes) -> None:
        self._key = parse_record(record)

    def look_up(self, names: Collection[str], *, patience: float) -> dict[str, KeyLookup]:
        return dict.fromkeys(names, self._key)


def main() -> None:
    """Print microseconds a mail, and how many times faster ours is."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=10)
    rounds = arguments.parse_args().rounds
    ratio = _compare("RSA-2048", *_rsa(), rounds=rounds)
    _compare("Ed25519", *_ed25519(), rounds=rounds)
    if ratio < SMALLEST_RATIO:
        sys.exit(f"ours is not {SMALLEST_RATIO:g} times as fast as dkimpy")


def _compare(name: str, private: bytes, record: bytes, algorithm: bytes, *, rounds: int) -> float:
    mails = [_signed(_mail(number), private, algorithm) for number in range(MAILS)]
    verifier = DkimVerifier(keys=KnownKey(record))

    def ours() -> None:
        now = datetime.now(UTC)
        arrived = [Arrived(message=mail, accepted_at=now) for mail in mails]
        results = verifier.verify_all(arrived, policy=aligned_with_author, now=now)
        assert all(result.outcome is Outcome.PASS for result in results)

    def stock() -> None:
        assert all(dkim.verify(mail, dnsfunc=lambda _name, timeout: record, tlsrpt=True) for mail in mails)

    def with_cryptography() -> None:
        with (
            patch("dkim.parse_public_key", _parsed_by_cryptography),
            patch("dkim.RSASSA_PKCS1_v1_5_verify", _verified_by_cryptography),
        ):
            stock()

    contestants = {"ours": ours, "dkimpy, stock": stock, "dkimpy with cryptography": with_cryptography}
    taken: dict[str, list[float]] = {each: [] for each in contestants}
    for _ in range(rounds):
        for each, check in contestants.items():
            taken[each].append(_microseconds(check))
    medians = {each: statistics.median(times) for each, times in taken.items()}
    sizes = statistics.mean(map(len, mails))
    print(f"{name}, {MAILS} mails of {sizes:,.0f} bytes, median of {rounds} rounds")
    for each, median in medians.items():
        print(f"  {each:26} {median:7.1f} µs a mail   {median / medians['ours']:5.2f} times ours")
    return medians["dkimpy, stock"] / medians["ours"]


def _microseconds(check: Callable[[], None]) -> float:
    started = time.process_time()
    check()
    return (time.process_time() - started) / MAILS * 1e6


def _parsed_by_cryptography(octets: bytes) -> dict[str, object]:
    key = load_der_public_key(octets)
    assert isinstance(key, rsa.RSAPublicKey)
    return {"modulus": key.public_numbers().n, "key": key}


def _verified_by_cryptography(hashed: dkim.HashThrough, signature: bytes, key: dict[str, rsa.RSAPublicKey]) -> bool:
    try:
        key["key"].verify(signature, hashed.digest(), PKCS1, SHA256)
    except InvalidSignature:
        return False
    return True


def _signed(mail: bytes, private: bytes, algorithm: bytes) -> bytes:
    field = dkim.sign(
        mail,
        b"s1",
        b"example.net",
        private,
        canonicalize=(b"relaxed", b"relaxed"),
        signature_algorithm=algorithm,
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"],
    )
    return bytes(field) + mail


def _mail(number: int) -> bytes:
    report = base64.encodebytes(random.Random(number).randbytes(1700)).replace(b"\n", b"\r\n")
    received = b"".join(
        b"Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n\tby mx.example.com with ESMTPS id %d;\r\n"
        b"\tTue, 24 Nov 2026 04:00:0%d +0000\r\n" % (hop, hop, hop, number, hop)
        for hop in range(3)
    )
    return (
        received + b"From: TLS reports <tls-reports@example.net>\r\nTo: tlsrpt@example.com\r\n"
        b"Date: Tue, 24 Nov 2026 04:00:00 +0000\r\nMessage-ID: <%d@example.net>\r\n"
        b"Subject: Report Domain: example.com Submitter: example.net\r\n\tReport-ID: <%d@example.net>\r\n"
        b"TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: example.net\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type="tlsrpt"; boundary="=-boundary"\r\n\r\n'
        b"--=-boundary\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        b"This is an aggregate TLS report from example.net.  \r\n\r\n--=-boundary\r\n"
        b"Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="example.net!example.com!1795392000!1795478399.json.gz"\r\n\r\n'
        b"%b--=-boundary--\r\n" % (number, number, report)
    )


def _rsa() -> tuple[bytes, bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return private, b"v=DKIM1; k=rsa; s=tlsrpt; p=" + base64.b64encode(public), b"rsa-sha256"


def _ed25519() -> tuple[bytes, bytes, bytes]:
    seed = os.urandom(32)
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    return base64.b64encode(seed), record, b"ed25519-sha256"


if __name__ == "__main__":
    main()
