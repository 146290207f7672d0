"""Who reports: the organizational domain of whoever is proven to have sent the report.

What a report says about its author is free text, so `organization-name` is only a caption. A DKIM signature proves a
domain, and mail.example.com reports as example.com. Where nothing is proven, the domain of `contact-info` stands in
and is marked: it is never the same reporter as one that is proven.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mailposture.domain_names import normalize, organizational_domain

_ADDRESS = re.compile(r"@([A-Za-z0-9._-]+)")
_LONGEST_CONTACT = 1000  # characters that are looked at


class Reporter(NamedTuple):
    """A domain, or empty where nothing names one, and whether it is proven."""

    domain: str
    proven: bool


def reporter_of(*, signer: str, contact: str, organization: str) -> Reporter:
    """The reporter of a report: `signer` is the domain that DKIM, or SPF, proves to have sent it, or empty.

    `contact` and `organization` are contact-info and organization-name as the report has them.
    """
    if signer:
        return Reporter(organizational_domain(signer) or signer, proven=True)
    claimed = contact_domains(contact)
    name = claimed[0] if claimed else normalize(organization)
    if not name or "." not in name:
        return Reporter("", proven=False)
    return Reporter(organizational_domain(name) or name, proven=False)


def contact_domains(contact: str) -> list[str]:
    """The domains of the mail addresses in a text such as contact-info."""
    found = (normalize(domain) for domain in _ADDRESS.findall(contact[:_LONGEST_CONTACT]))
    return [domain for domain in found if domain]
