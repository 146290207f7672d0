"""Our verifier and dkimpy agree on generated mails, signed and then damaged in every way that occurs to us."""

from __future__ import annotations

import itertools
import random
import re
from typing import TYPE_CHECKING, Any

import dkim
import pytest

from collector.dkim.verifier import DkimVerifier, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = {
    "plain": b"From: a@example.net\r\nTo: b@example.com\r\nSubject: hello\r\n",
    "folded": b"From: A\r\n <a@example.net>\r\nTo:\r\n\tb@example.com\r\nSubject: Report  Domain:\r\n  example.com\r\n",
    "blanks": b"From:a@example.net \t\r\nSubject:  two   words\t\there  \r\nTo: b\r\n",
    "repeated": b"X-Seen: 1\r\nFrom: a@example.net\r\nX-Seen: 2\r\nTo: b\r\nx-seen: 3\r\n",
    "case": b"FROM: a@example.net\r\nsubject: S\r\nMIME-VERSION: 1.0\r\n",
    "eight-bit": "From: Jürgen <j@example.net>\r\nSubject: Grüße\r\n".encode(),
    "empty-values": b"From: a@example.net\r\nSubject:\r\nX-Seen: \r\n",
}
BODIES = {
    "none": b"",
    "one-line": b"text\r\n",
    "unfinished-line": b"text",
    "only-empty-lines": b"\r\n\r\n\r\n",
    "empty-lines-at-end": b"text\r\n\r\n\r\n",
    "blank-lines-at-end": b"text\r\n  \r\n\t\r\n",
    "blanks": b"two  words\tand\t\tmore \r\n  indented\r\ntrailing   \r\n",
    "only-blanks": b" \r\n",
    "bare-cr": b"one\rtwo\r\r\n\r\n",
    "binary": bytes(range(256)).replace(b"\n", b"") + b"\r\n",
    "dots": b".\r\n..\r\n",
}
FORMS = list(itertools.product([b"simple", b"relaxed"], repeat=2))
FIELDS = [b"from", b"to", b"subject", b"x-seen", b"x-seen", b"x-absent", b"mime-version"]


def _damages(signed: bytes) -> Iterator[tuple[str, bytes]]:
    yield "as signed", signed
    yield "with LF only", signed.replace(b"\r\n", b"\n")
    yield "field in front", b"X-New: 1\r\n" + signed
    yield "repeated field in front", b"X-Seen: 0\r\n" + signed
    yield "empty line at end", signed + b"\r\n"
    yield "text at end", signed + b"more\r\n"
    yield "blanks doubled", signed.replace(b" ", b"  ")
    yield "blank at line end", re.sub(rb"(?<=\S)\r\n", b" \r\n", signed)
    yield "subject changed", signed.replace(b"Subject:", b"Subject: Re:")
    header, empty, body = signed.partition(b"\r\n\r\n")
    yield "unfolded", header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t") + empty + body
    yield "lower case", signed.replace(b"From:", b"from:").replace(b"Subject:", b"SUBJECT:")
    yield "mbox line", b"From a@example.net Tue Nov 24 00:00:00 2026\r\n" + signed
    shuffled = random.Random(8460)
    for _ in range(3):
        at = shuffled.randrange(len(signed))
        yield f"byte {at} flipped", signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: b"/".join(form).decode())
@pytest.mark.parametrize("algorithm", ["rsa_key", "ed25519_key"])
def test_same_verdict_as_dkimpy(
    verifier: DkimVerifier,
    name_server: Any,
    request: pytest.FixtureRequest,
    form: tuple[bytes, bytes],
    algorithm: str,
) -> None:
    signer = request.getfixturevalue(algorithm)
    name_server.records["s1._domainkey.example.net"] = [signer.record]
    held = 0
    for (header_name, header), (body_name, body) in itertools.product(HEADERS.items(), BODIES.items()):
        signed = signer.sign(header + b"\r\n" + body, form=form, fields=FIELDS)
        for damage, mail in _damages(signed):
            theirs = _dkimpy(mail, signer.record)
            ours = verifier.verify(mail)
            assert (ours.outcome is Outcome.PASS) == theirs, (header_name, body_name, damage, ours.detail)
            held += theirs
    assert held > 2 * len(HEADERS) * len(BODIES)  # the corpus is not all damage


def _dkimpy(mail: bytes, record: bytes) -> bool:
    try:
        return bool(dkim.verify(mail, dnsfunc=lambda _name, timeout: record, tlsrpt=True))
    except Exception:
        return False  # dkimpy lets some faults in untrusted input escape
