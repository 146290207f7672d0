"""The DMARC policy record (RFC 9989, section 4.7), and the record that lets reports leave its organization (RFC 9990).

A receiver reads one record out of DNS and applies it to mail whose author is in the domain. What it does not know in
it, it ignores; what a tag does not say, another one or a default does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mailposture.domain_names import organizational_domain
from mailposture.quoting import quoted
from mailposture.records.report_uris import encoded, mail_host, uri_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(;|$)")
_KNOWN = ("p", "sp", "np", "rua", "ruf", "adkim", "aspf", "fo", "psd", "t")
_GONE = ("pct", "rf", "ri")  # of RFC 7489; older receivers obey them
_INSTEAD = {"p": ("p",), "sp": ("sp", "p"), "np": ("np", "sp", "p")}  # tags that say it, the first decides
_SCHEMES = ("mailto",)
ALL_MAIL = 100  # percent
_DIGITS = 3
_LONGEST_WALK = 8  # queries of a DNS tree walk at most (RFC 9989, section 4.10)


class Policy(StrEnum):
    """What receivers are asked to do with mail that fails DMARC, from the weakest."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def one_step_down(self) -> Policy:
        """The policy below."""
        return Policy.QUARANTINE if self is Policy.REJECT else Policy.NONE


def applied(requested: Policy, *, testing: bool, share: int) -> Policy:
    """What receivers do with all mail that fails, where a record requests a policy.

    In a test (`t=y`) that is one step less (RFC 9989, section 4.7); where `pct` leaves out a `share` of the mail, that
    mail gets one step less from receivers that still obey it (RFC 7489, section 6.6.4).
    """
    return requested.one_step_down if testing or share < ALL_MAIL else requested


def share_of(written: str) -> int:
    """The share of mail that `pct` has the policy applied to, in percent; what is no such number is ignored."""
    text = written.strip()
    return min(int(text), ALL_MAIL) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else ALL_MAIL


@dataclass(frozen=True, kw_only=True)
class DmarcRecord:
    """One record as receivers read it."""

    text: str
    tags: Mapping[str, str]  # names in lower case, the first of duplicates, in order, without `v`
    rua: tuple[str, ...]  # the `mailto:` URIs that reports can be sent to
    faults: tuple[str, ...]  # what receivers cannot use, so it does not do what somebody meant
    remarks: tuple[str, ...]  # what they ignore, or read as something else

    def requested(self, tag: str) -> Policy | None:
        """The policy that `p`, `sp` or `np` asks for; None where receivers apply no DMARC at all.

        Without a policy that can be read, a record that asks for reports means none (RFC 9989, section 4.7).
        """
        value = next((self.tags[each] for each in _INSTEAD[tag] if each in self.tags), "").lower()
        if value in set(Policy):
            return Policy(value)
        return Policy.NONE if self.rua else None

    def applied(self, tag: str) -> Policy | None:
        """The policy that receivers apply to all mail."""
        requested = self.requested(tag)
        return None if requested is None else applied(requested, testing=self.testing, share=self.share)

    @property
    def testing(self) -> bool:
        """Whether the policy is being tested."""
        return self.tags.get("t", "").lower() == "y"

    @property
    def share(self) -> int:
        """The percentage of mail that older receivers apply the policy to (`pct` of RFC 7489)."""
        return share_of(self.tags.get("pct", ""))

    @property
    def reservation(self) -> str:
        """The tag for which receivers apply less than is requested; empty if there is none."""
        return "t=y" if self.testing else f"pct={self.share}" if self.share < ALL_MAIL else ""

    @property
    def psd(self) -> str:
        """`y` at a public suffix, `n` at an organizational domain, else empty."""
        return self.tags.get("psd", "").lower()


def record_name(domain: str) -> str:
    """Where the TXT record lives."""
    return f"_dmarc.{domain}"


def places(domain: str) -> Iterator[str]:
    """Where receivers look for the record, in order: the domain, then those above it (RFC 9989, section 4.10)."""
    labels = domain.split(".")
    yield domain
    for number in range(min(len(labels), _LONGEST_WALK) - 1, 0, -1):
        yield ".".join(labels[-number:])


def records_among(texts: Iterable[bytes]) -> list[DmarcRecord]:
    """The DMARC records among the TXT records at a name; where there are several, receivers use none."""
    return [_read(text) for text in texts if _VERSION.match(text)]


def _read(found: bytes) -> DmarcRecord:
    text = found.decode("ascii", "replace")
    tags: dict[str, str] = {}
    faults: list[str] = []
    remarks: list[str] = []
    for part in text.split(";")[1:]:
        name, equals, value = part.partition("=")
        tag = name.strip().lower()
        if not part.strip():
            continue
        if not equals or not tag:
            faults.append(f"{quoted(part.strip())} is no `tag=value`")
        elif tag in tags:
            remarks.append(f"`{tag}` stands there more than once")
        else:
            tags[tag] = value.strip()
            remarks += _remarks_on(tag)
    rua, rua_faults = _addresses(tags)
    faults += rua_faults
    faults += [
        f"{tag}={quoted(tags[tag])} is neither none, quarantine nor reject"
        for tag in ("p", "sp", "np")
        if tag in tags and tags[tag].lower() not in set(Policy)
    ]
    if "p" not in tags:
        if rua:
            remarks.append("without `p` it counts as p=none")
        else:
            faults.append("it has neither `p` nor a `rua`, so receivers ignore it")
    return DmarcRecord(text=text, tags=tags, rua=rua, faults=tuple(faults), remarks=tuple(remarks))


def _remarks_on(tag: str) -> Iterator[str]:
    if tag in _GONE:
        yield f"`{tag}` is gone (RFC 9989), and only older receivers obey it"
    elif tag not in _KNOWN:
        yield f"receivers do not know the tag {quoted(tag)}"


def _addresses(tags: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
    """The URIs of `rua` without the size limit that RFC 7489 had (`!10m`), and why others cannot be used."""
    if "rua" not in tags:
        return (), []
    uris = [uri.strip().partition("!")[0] for uri in tags["rua"].split(",")]
    faults = [fault for uri in uris if (fault := uri_fault(uri, schemes=_SCHEMES)) is not None]
    return tuple(uri for uri in uris if uri_fault(uri, schemes=_SCHEMES) is None), faults


def render_record(*, policy: Policy = Policy.NONE, destinations: Sequence[str] = ()) -> str:
    """The text of a record that asks for reports to `mailto:` URIs."""
    rua = f"; rua={','.join(map(encoded, destinations))}" if destinations else ""
    return f"v=DMARC1; p={policy}{rua}"


def render_parked_record(destinations: Sequence[str]) -> str:
    """The text of the record of a domain that sends no mail. `sp` only shows that those below it do not either."""
    tags = {"p": Policy.REJECT.value, "sp": Policy.REJECT.value}
    return _text(tags | ({"rua": ",".join(map(encoded, destinations))} if destinations else {}))


def with_destinations(record: DmarcRecord, destinations: Sequence[str]) -> str:
    """The text of a published record, kept as it is but for further addresses that reports go to.

    A record of which `p` cannot be read asks for none: what was meant is not known, and none refuses no mail. Of the
    tags that RFC 9989 dropped, a `pct` that spares some mail stays: without it that mail would be refused.
    """
    addresses = dict.fromkeys((*destinations, *record.rua))
    rua = {"rua": ",".join(map(encoded, addresses))} if addresses else {}
    gone = set(_GONE) - ({"pct"} if record.share < ALL_MAIL else set())
    kept = {tag: value for tag, value in record.tags.items() if tag not in ("p", "rua", *gone)}
    return _text({"p": record.requested("p") or Policy.NONE, **kept, **rua})


def next_step(record: DmarcRecord) -> tuple[Policy, str] | None:
    """The policy that is next, and the record that asks for it: first as a test (`t=y`), then in earnest.

    What is published in a test, or for a part of the mail (`pct`), is next in earnest and for all mail.
    None where nothing is stricter, or the record cannot be read.
    """
    now = record.requested("p")
    if now is None or record.faults:
        return None
    tags = {tag: value for tag, value in record.tags.items() if tag not in ("t", *_GONE)}
    if record.reservation and now is not Policy.NONE:
        return now, _text(tags)
    if now is Policy.REJECT:
        return None
    step = Policy.QUARANTINE if now is Policy.NONE else Policy.REJECT
    return step, _text({**tags, "p": step, "t": "y"})


def _text(tags: Mapping[str, str]) -> str:
    return "; ".join(("v=DMARC1", *(f"{tag}={value}" for tag, value in tags.items())))


def needs_authorization(domain: str, uri: str) -> bool:
    """Whether senders of reports ask the domain of an address first: it is of another organization than the policy's.

    RFC 9990, section 4. The Public Suffix List says what an organization is, as most receivers still do.
    """
    host = mail_host(uri)
    return host is not None and _organization(host) != _organization(domain)


def authorization_name(domain: str, uri: str) -> str:
    """Where the domain of an address says that it takes reports about another domain (RFC 9990, section 4)."""
    return f"{domain}._report._dmarc.{mail_host(uri)}"


def _organization(domain: str) -> str:
    return organizational_domain(domain) or domain
