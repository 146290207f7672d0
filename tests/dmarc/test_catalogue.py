"""The catalogue of services that send for others, and words about sources, as `mailposture explain` shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from test_dmarc_sources import failing, piles

from cli.explain import command as explain
from mailposture.domain_names import normalize
from reports.dmarc import words
from reports.dmarc.catalogue import services

if TYPE_CHECKING:
    from engine import Storage


def test_catalogue_names_each_domain_once_and_says_what_to_do() -> None:
    assert len(services()) >= 60
    domains = [domain for service in services() for domain in service.domains]
    assert len(domains) == len(set(domains))
    assert all(normalize(domain) == domain for domain in domains)
    assert len({service.name.casefold() for service in services()}) == len(services())
    for service in services():
        assert set(service.tenants) <= set(service.domains), service.name
        assert service.dkim in ("", "CNAME", "TXT"), service.name
        assert bool(service.settings) == bool(service.dkim or service.return_path), service.name
        assert service.action.startswith(("In ", service.name)), service.name


def test_domains_of_the_catalogue_are_registered_names_by_which_the_view_finds_them(storage: Storage) -> None:
    found = storage.ask(
        "SELECT domain FROM mailposture_tables.sending_services WHERE cutToFirstSignificantSubdomain(domain) != domain"
    )
    assert found == []
    storage.put("dmarc_records", failing(0, spf="u1.wl.sendgrid.net"), failing(1, spf="a.b.yahoo.co.uk", messages=1))
    assert [source for source, *_ in piles(storage)] == ["Twilio SendGrid", "Yahoo Mail"]


def test_each_pile_and_reason_is_explained_and_the_view_has_no_other(storage: Storage) -> None:
    rows = storage.ask("SELECT term, kind, title, explanation, action FROM dmarc_meanings")
    assert sorted(rows) == sorted((*meaning,) for meaning in words.ALL)
    (view,) = Path(words.__file__).parent.glob("schema/views/*_dmarc_source_piles.sql")
    days = view.with_name("15_dmarc_source_days.sql").read_text()
    piles = set(
        re.findall(r"'([a-z-]+)'", view.read_text().split(") AS which")[0].rsplit("\n        multiIf(\n", 1)[1])
    )
    reasons = set(re.findall(r"'((?:dkim|spf|not?)-[a-z-]+)'", days)) | {"changed-on-the-way"}
    assert piles == {meaning.term for meaning in words.ALL if meaning.kind is words.Kind.PILE}
    assert reasons == {meaning.term for meaning in words.ALL if meaning.kind is words.Kind.REASON}


@pytest.mark.parametrize("term", [*words.MEANINGS, "Amazon SES", "amazon ses"])
def test_explain_knows_piles_reasons_and_services(term: str) -> None:
    result = CliRunner().invoke(explain, [term])
    assert result.exit_code == 0
    assert "What to do" in result.output or "To align its mail" in result.output


def test_explain_lists_senders_and_suggests_what_is_near() -> None:
    listed = CliRunner().invoke(explain, ["senders"]).output
    assert len(listed.splitlines()) == len(services())
    assert "Twilio SendGrid" in listed
    result = CliRunner().invoke(explain, ["our-failing"])
    assert result.exit_code == 2
    assert "did you mean ours-failing?" in result.output
    assert "changed-on-the-way" in CliRunner().invoke(explain, []).output
