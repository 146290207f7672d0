"""A name is never an identity: whatever a report calls its author, who reports is who signed it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from court import VICTIM, Court, court_of, mail, report

from reports.envelope import Source, Trust

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

NAMES = {
    "as Google writes it": "Google Inc.",
    "as Microsoft writes it": "Microsoft Corporation",
    "a sender that no list knows": "Comcast",
    "a domain": "google.com",
    "Cyrillic o": "G\u043eogle Inc.",
    "Greek omicron": "Go\u03bfgle Inc.",
    "fullwidth": "\uff27oogle Inc.",
    "soft hyphen": "Goo\u00adgle Inc.",
    "zero width space": "Goo\u200bgle Inc.",
    "joined": "GoogleInc.",
    "ideographic full stop": "google\u3002com",
    "URL": "https://google.com/",
    "as captions are written": "Google Inc. (google.com)",
    "so long that what follows is out of sight": f"Google Inc. (google.com){' ' * 200}",
    "nothing": "",
}


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("contact", ["tls@evil.example", "smtp-tls-reporting@google.com"])
def test_a_report_under_another_name_is_of_who_signed_it(court: Court, name: str, contact: str) -> None:
    content = report(organization=name, contact=contact)
    row = court.accepted(court.sign(mail("tls@mail.evil.example", content), "mail.evil.example"))
    assert (row.reporter, row.reporter_proven) == ("evil.example", True)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_post_in_another_name_is_marked_as_unproven(court: Court, name: str) -> None:
    """Its path is in the public record."""
    content = report(organization=name, contact="smtp-tls-reporting@google.com")
    row = court.accepted(content, source=Source.HTTPS, token_domain=VICTIM, recipients=())
    assert (row.trust, row.reporter, row.reporter_proven) == (Trust.TOKEN, "google.com", False)


@pytest.mark.parametrize("contact", [None, "", "call us", 7, ["smtp-tls-reporting@google.com"], {"google.com": 1}])
def test_a_contact_that_names_nobody_makes_nobody_of_it(court: Court, contact: object) -> None:
    content = json.dumps({**json.loads(report(organization="Google Inc.")), "contact-info": contact}).encode()
    row = court.accepted(content, source=Source.HTTPS, token_domain=VICTIM, recipients=())
    assert not row.reporter_proven
