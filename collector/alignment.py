"""Whose signature can prove a report: one of the organization that its author says it is from.

RFC 8460, section 3: a report by mail must carry a valid DKIM signature of the reporting domain. The reporting domain is
who speaks in the mail: the author (From, which every signature must cover), and TLS-Report-Submitter, if it was signed.
What the report itself says about its author is free text: it claims nothing, and decides nothing.

Aligned means of the same organizational domain (as DMARC's relaxed alignment, RFC 7489, section 3.1.1: mail.example.com
for example.com, by the Public Suffix List). A signature that is not aligned can prove nothing, so it is not even
verified: who floods us with signatures makes us look up keys of his own domain only.
"""

from __future__ import annotations

from email.utils import getaddresses
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from collector.dkim import canonical
from collector.dkim.canonical import UnreadableError
from mailposture.domain_names import normalize, organizational_domain

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from collector.dkim.canonical import Mail
    from collector.dkim.signature import Signature

# The standard library reads addresses character by character, comments in comments by recursion.
_LONGEST_AUTHOR: Final = 4096  # bytes
_MOST_COMMENTS: Final = 50
_USUAL_AUTHOR: Final = 300  # bytes


def aligned_with_author(signature: Signature, mail: Mail) -> bool:
    """The verifier's policy: whether a signature is of the organization of every author."""
    authors = author_domains(mail.values(b"from"))
    return bool(authors) and all(same_organization(signature.domain, author) for author in authors)


def is_by(domains: Collection[str], message: bytes) -> bool:
    """Whether a mail says that it is from one of these domains, or from below it; nothing proves that."""
    try:
        authors = author_domains(canonical.read(message).values(b"from"))
    except UnreadableError:
        return False
    return bool(authors) and all(
        any(author == domain or author.endswith(f".{domain}") for domain in domains) for author in authors
    )


def author_domains(fields: Sequence[bytes]) -> tuple[str, ...]:
    """The domains of all addresses in From fields; empty if any is no domain name, or if it is no usual From field.

    What has no `@` names nobody: an unquoted comma makes two addresses of `Reporter, Inc. <tls@reporter.example>`.
    """
    if sum(map(len, fields)) > _LONGEST_AUTHOR or sum(value.count(b"(") for value in fields) > _MOST_COMMENTS:
        return ()
    read = _known_authors if sum(map(len, fields)) <= _USUAL_AUTHOR else _read_authors
    return read(tuple(fields))


def _read_authors(fields: tuple[bytes, ...]) -> tuple[str, ...]:
    unfolded = [b" ".join(value.split()).decode("utf-8", "replace") for value in fields]
    addresses = [address for _, address in getaddresses(unfolded)]
    domains = tuple(normalize(address.rpartition("@")[2]) or "" for address in addresses if "@" in address)
    # An empty address is one that the standard library could not read; which those are, depends on its version.
    return domains if all(addresses) and all(domains) else ()


# The same reporters come day by day. Long fields stay out, where untrusted senders could fill memory with them.
_known_authors: Final = lru_cache(maxsize=4096)(_read_authors)


def same_organization(domain: str, other: str) -> bool:
    """Whether two normalized names are of one organizational domain."""
    return domain == other or (organizational_domain(domain) or domain) == organizational_domain(other)
