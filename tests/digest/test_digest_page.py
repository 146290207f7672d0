"""What a digest says, in text, HTML and as a mail; whoever has written the names in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from sample_digest import WEEK, digest, problem

from reports.causes import Severity
from reports.digest.digest import Changes, Digest, Reporter, Reporters
from reports.digest.html import as_html
from reports.digest.json import as_json
from reports.digest.mail import as_mail
from reports.digest.page import page
from reports.digest.text import as_text

if TYPE_CHECKING:
    from reports.digest.week import Week

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
HOSTILE = (
    '<script src="https://evil.example/x.js"></script>',
    "<img src=https://evil.example/pixel.gif>",
    "\"><a href='https://evil.example'>renew here</a>",
    "a\r\nBcc: victim@example.net\r\n\r\nhello",
    "\u202egnp.elpmaxe\u202c\u200b\x00\x1b[2J",
    "{{ 7 * 7 }}{% raw %}${7*7}`<b>code</b>`",
)


def text_of(content: Digest) -> str:
    return as_text(page(content))


def mail_of(content: Digest, *recipients: str, week: Week = WEEK, grafana_url: str = "") -> bytes:
    shown = page(content, grafana_url=grafana_url)
    mail = as_mail(shown, week, sender="mailposture@example.com", recipients=recipients, sent_at=NOW)
    return mail.as_bytes()


class Elements(HTMLParser):
    """The elements of a document and what they refer to."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags = set[str]()
        self.references = list[str]()
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "background", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


# ── Verdict ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_verdict_names_where_to_act() -> None:
    later = problem("news.example", Severity.WARNING)
    assert digest(problem(), later).verdict == (
        "Act now: mail is being lost or exposed at shop.example; 1 more domain can wait for this week."
    )
    assert digest(later).verdict == "Nothing is urgent; news.example needs a look this week."


def test_a_quiet_week_is_said_in_three_lines_that_name_the_domains() -> None:
    lines = text_of(digest(domains=2)).splitlines()
    assert lines == [
        "Mail security, 16 to 22 November 2026",
        "",
        "All is well at all 2 domains: nothing needs attention.",
        "Domains: d1.example and shop.example.",
        "1,000 sessions, 99.00 % with TLS.",
    ]


def test_a_week_without_reports_is_not_called_well() -> None:
    known = digest()
    silent = replace(known.totals, sessions=0, sessions_with_tls=0)
    assert not replace(known, totals=silent).quiet
    assert "no reports" in page(replace(known, totals=silent)).subject


def test_what_is_acknowledged_is_named_in_one_line_and_not_repeated() -> None:
    known = replace(problem(), acknowledged_until=date(2026, 12, 24), acknowledged_because="renewed\r\non Monday")
    words = " ".join(text_of(digest(acknowledged=(known,))).split())
    assert words.count("Certificate expired or invalid") == 1
    assert "(until 24 Dec: renewed on Monday)" in words


# ── Untrusted names ───────────────────────────────────────────────────────────────────────────────────────────────────


def hostile_digest(words: str) -> Digest:
    found = problem(subjects=(words,), detail=words, kind="outside", title="A title")
    reporters = Reporters(active=(Reporter(words, 5, WEEK.last_day),), stopped=(Reporter(words, 0, WEEK.start),))
    return digest(
        found,
        acknowledged=(replace(found, acknowledged_until=date(2026, 12, 24), acknowledged_because=words),),
        changes=Changes(new=(found,), ended=(found,)),
        scope=words,
        tls_reporters=reporters,
        dmarc_reporters=reporters,
    )


@pytest.mark.parametrize("words", HOSTILE)
def test_names_add_no_element_no_address_and_no_header(words: str) -> None:
    plain = hostile_digest("plain")
    mail = message_from_bytes(mail_of(hostile_digest(words), "boss@example.com"), policy=policy.default)
    as_usual = message_from_bytes(mail_of(plain, "boss@example.com"), policy=policy.default)
    assert mail.keys() == as_usual.keys()
    assert mail["To"] == "boss@example.com"
    document = mail.get_body(("html",)).get_content()
    elements, usual = Elements(document), Elements(as_usual.get_body(("html",)).get_content())
    assert elements.tags == usual.tags
    assert elements.references == usual.references
    assert "49" not in elements.text.replace("990", "")
    for body in (document, mail.get_body(("plain",)).get_content()):
        assert all(char.isprintable() or char in "\r\n" for char in body)


def test_names_stay_as_they_are_in_json() -> None:
    for words in HOSTILE:
        assert json.loads(as_json(hostile_digest(words)))["attention"][0]["subjects"] == [words]


# ── The mail ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_loaded_and_links_lead_to_the_week_of_the_domain() -> None:
    mail = message_from_bytes(
        mail_of(digest(problem()), grafana_url="https://grafana.example.com/g/"), policy=policy.default
    )
    document = mail.get_body(("html",)).get_content()
    elements = Elements(document)
    assert not elements.tags & {"img", "script", "link", "iframe", "object", "form"}
    assert "url(" not in document
    assert "@import" not in document
    week = "from=1795996800000&to=1796601600000".replace("1795996800000", str(WEEK.in_milliseconds[0]))
    week = re.sub(r"to=\d+", f"to={WEEK.in_milliseconds[1]}", week)
    assert set(elements.references) == {
        f"https://grafana.example.com/g/d/mailposture-overview?{week}",
        f"https://grafana.example.com/g/d/mailposture-domain?var-domain=shop.example&{week}",
        f"https://grafana.example.com/g/d/mailposture-dmarc-domain?var-domain=shop.example&{week}",
    }


def test_headers_say_that_nobody_wrote_it_and_which_digest_it_is() -> None:
    mail = message_from_bytes(mail_of(digest(problem()), "b@example.com", "a@example.com"), policy=policy.default)
    assert mail["From"] == "mailposture@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "Mail security, 16 to 22 November 2026: 1 domain needs attention"
    assert mail["Date"].datetime == NOW
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]

    def id_of(content: Digest, *recipients: str, week: Week = WEEK) -> str:
        return message_from_bytes(mail_of(content, *recipients, week=week), policy=policy.default)["Message-ID"]

    mine = mail["Message-ID"]
    assert id_of(digest(), "a@example.com", "b@example.com") == mine, "whatever it says by now"
    assert id_of(digest(), "a@example.com") != mine
    assert id_of(digest(scope="team web"), "a@example.com", "b@example.com") != mine
    assert id_of(digest(), "a@example.com", "b@example.com", week=WEEK.before) != mine


@pytest.mark.slow
def test_five_thousand_domains_that_all_fail_fit_into_a_mail_that_gmail_does_not_cut() -> None:
    long = f"{'x' * 60}.{'y' * 60}.{'z' * 60}.example"
    troubles = tuple(
        problem(f"{number}.{long}", subjects=tuple(f"mx{n}.{long}" for n in range(50)), action="Do this. " * 40)
        for number in range(5000)
    )
    content = digest(*troubles, domains=5000, changes=Changes(new=troubles, ended=troubles))
    shown = page(content, grafana_url="https://grafana.example.com")
    assert len(as_html(shown).encode()) < 100_000
    words = " ".join(as_text(shown).split())
    assert len(words) < 30_000
    assert "And 4,988 more that needs attention: `mailposture summary --days 7`." in words
    assert "And 4,985 more domains, all better than these: `mailposture summary --days 7`." in words
    assert len(json.loads(as_json(content))["domains"]) == 5000
