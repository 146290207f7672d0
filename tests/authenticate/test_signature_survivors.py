"""Whatever is changed on the way: while a report is believed, it is believed to say what was signed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from court import EVERYTHING, GOOGLE, VICTIM, WITHOUT_REPORT_FIELDS, Court, court_of, mail, report

from collector.ingest.judge import Accepted

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

MUTANTS = 1000
EVIL = report(organization="Evil", policies=json.loads(report())["policies"] * 2)
ADDED = (
    *(b"Content-Type: text/plain\r\n", b'CONTENT-TYPE: multipart/report; report-type=tlsrpt; boundary="X"\r\n'),
    *(
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Disposition: attachment; filename=a!b.example!1!2\r\n",
    ),
    *(b"TLS-Report-Domain: other.example\r\n", b"TLS-Report-Submitter: evil.example\r\n", b"List-Id: x\r\n"),
    *(b"Subject: Report Domain: other.example\r\n", b"From: a@evil.example\r\n", b"From x\r\n", EVIL + b"\r\n"),
    *(b"--b0\r\n", b"--b0--\r\n", b"--b0\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + EVIL + b"\r\n"),
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\r\n ", b"\0", b"=\r\n", b"=20", b"\xef\xbb\xbf"),
)


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key, VICTIM, "other.example")


@pytest.mark.parametrize("form", [b"relaxed", b"simple"])
@pytest.mark.parametrize(
    "fields",
    [EVERYTHING, GOOGLE, WITHOUT_REPORT_FIELDS],
    ids=["everything signed", "as Google signs", "no report fields signed"],
)
def test_what_survives_a_change_is_read_as_it_was(court: Court, fields: Any, form: bytes) -> None:
    content = report(None, organization="Reporter Inc. of Here").replace(b", ", b",\r\n")
    plain = mail("tls@reporter.example", b"").partition(b"\r\n\r\n")[0] + (
        b"\r\n\r\n--b0\r\nContent-Type: text/plain\r\n\r\nA report\r\n\r\n"
        b"--b0\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + content + b"\r\n--b0--\r\n"
    )
    signed = court.sign(plain, "reporter.example", fields, form=(b"relaxed", form))
    usual = _told(court(signed))
    chance, survivors = random.Random(1), 0
    for _ in range(MUTANTS):
        mutant = signed
        for _ in range(chance.choice((1, 1, 2))):
            mutant = _changed(mutant, chance)
        verdict = court(mutant)
        if isinstance(verdict, Accepted):
            survivors += 1
            assert _told(verdict) == usual, mutant
    assert survivors > MUTANTS / 50, "so few that this says nothing"


def _changed(mail: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(mail))
    if chance.random() < 0.7:
        place = mail.rfind(b"\n", 0, place) + 1
    if chance.random() < 0.8:
        return mail[:place] + chance.choice(ADDED) + mail[place:]
    end = mail.find(b"\n", place) + 1 or len(mail)
    line, rest = mail[place:end], mail[:place] + mail[end:]
    other = rest.rfind(b"\n", 0, chance.randrange(len(rest))) + 1
    return rest[:other] + line + rest[other:]


def _told(verdict: Any) -> Any:
    assert isinstance(verdict, Accepted), verdict
    return [
        (rows.report._replace(received_at=None, original=b"", warnings=()), rows.policies, rows.failures)
        for rows in verdict.reports
    ]
