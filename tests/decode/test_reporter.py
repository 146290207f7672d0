"""Who reports is a proven domain; what a report says about its author is a caption."""

from __future__ import annotations

import pytest

from reports.reporter import Reporter, reporter_of


@pytest.mark.parametrize(
    ("signer", "reporter"),
    [
        ("google.com", "google.com"),
        ("tlsrpt.eu.mail.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),  # a public suffix belongs to no organization: it stands for itself
    ],
)
def test_the_reporter_is_the_organization_that_signed(signer: str, reporter: str) -> None:
    found = reporter_of(signer=signer, contact="tls@elsewhere.example", organization="Google Inc.")
    assert found == Reporter(reporter, proven=True)


@pytest.mark.parametrize(
    ("contact", "organization", "reporter"),
    [
        ("smtp-tls-reporting@mail.google.com", "Google Inc.", "google.com"),
        ("mailto:tls@mail.example.net", "", "example.net"),
        ("", "mail.example.net", "example.net"),
        ("call us", "Example Mail Ltd.", ""),
        ("", "localhost", ""),
    ],
)
def test_without_proof_the_contact_is_named_and_marked(contact: str, organization: str, reporter: str) -> None:
    found = reporter_of(signer="", contact=contact, organization=organization)
    assert found == Reporter(reporter, proven=False)


def test_the_rows_of_a_report_carry_its_reporter(rows) -> None:
    _, report, (policies, failures) = rows("only_failures.json")
    assert (report.reporter, report.reporter_proven) == ("sender.example", True)
    assert {(row.reporter, row.reporter_proven) for row in (*policies, *failures)} == {("sender.example", True)}
