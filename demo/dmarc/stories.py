"""Who sends mail in the name of the demo's domains, and what is wrong with it. Days are counted back from today, as in
demo/tls/stories.py, and no story depends on the weekday; only the amount of mail from the domains' own servers does.

shop.example    p=none. The newsletter goes out by Mailchimp every fourth day, 2,000 messages at Northwind alone and
                17,500 in all. Nobody has set the service up: it signs as mcsv.net, SPF passes for its own return path,
                so no message is aligned. With any policy but none the newsletter would be lost.
bank.example    p=reject. A phishing wave 6 and 5 days ago: 3,832 forged messages from four networks, all rejected.
                Statements go out by Amazon SES, which signs as the bank, and the bank's own servers pass: no incident.
news.example    p=quarantine. The DKIM key of selector news2025 was taken out of DNS 6 days ago, before the senders had
                changed to the new one. The own server still passes by SPF; the morning briefing by Amazon SES, with a
                return path of its own, does not any more: 4,225 messages in quarantine.
travel.example  p=none. A phishing wave since 2 days: 1,800 forged messages from two networks, all delivered.
univ.example    p=quarantine since 16 days. A mailing list changes Subject and body, so SPF and DKIM both fail;
                reporters see the list and let it through (1,346 messages). Mail of alumni is forwarded: SPF fails, DKIM
                survives (1,111). The department cs.univ.example sends under its own name by the same servers.
clinic.example  p=none. A forgotten server sends reminders of appointments, 2,371 in the month: it is not in the SPF
                record and does not sign. With any policy but none they would be lost.
library.example p=quarantine. All mail passes, that which is forwarded too: ready for p=reject.
oldbank.example parked, p=reject. Every day somebody forges mail in its name, all of which is rejected. Since 12 days
                its record says sp=none, and since 3 days mail from secure.oldbank.example is forged too, and
                delivered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from demo.domains import PARKED
from demo.story import Story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.domains import DemoDomain

DMARC_STORIES: Final[tuple[Story, ...]] = (
    Story("shop.example", "the newsletter by Mailchimp is not aligned: 2,000 messages every fourth day"),
    Story("bank.example", "a phishing wave, all of it rejected: no incident"),
    Story("news.example", "a DKIM key was taken out too early, and the morning briefing lands in quarantine"),
    Story("travel.example", "a phishing wave since two days, delivered since the policy is none"),
    Story("univ.example", "a mailing list and forwarded mail"),
    Story("clinic.example", "a forgotten server sends reminders without SPF and DKIM"),
    Story("library.example", "all mail passes for a month: ready for p=reject"),
    Story("oldbank.example", "a parked domain: forged mail is rejected, but below it delivered since sp=none"),
)


@dataclass(frozen=True, slots=True)
class DkimResult:
    """A signature of the messages, and what became of it."""

    domain: str
    selector: str
    result: str = "pass"
    human_result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Messages of one source that are evaluated alike, on one day."""

    header_from: str
    source_ip: str
    messages: int  # at Northwind
    envelope_from: str  # the domain that SPF was checked for
    spf: str  # its result
    dkim: tuple[DkimResult, ...] = ()
    override: tuple[str, str] | None = None  # why reporters do not apply the policy: type and comment
    own_rhythm: bool = False  # rises and falls with the domain's weekdays

    @property
    def spf_aligned(self) -> bool:
        return self.spf == "pass" and self._aligned(self.envelope_from)

    @property
    def dkim_aligned(self) -> bool:
        return any(each.result == "pass" and self._aligned(each.domain) for each in self.dkim)

    @property
    def passes(self) -> bool:
        """DMARC: either passes and is aligned."""
        return self.spf_aligned or self.dkim_aligned

    def disposition(self, policy: str) -> str:
        """What a reporter does under a policy: none, quarantine or reject."""
        return "none" if self.passes or self.override else policy

    def _aligned(self, domain: str) -> bool:
        """Relaxed alignment: of the same organizational domain, which in the demo is of two labels."""
        return domain.split(".")[-2:] == self.header_from.split(".")[-2:]


def streams(domain: DemoDomain, days_ago: int) -> Iterator[Stream]:
    """The mail in the name of a domain on a day, from every source."""
    yield from _own_servers(domain, days_ago)
    match domain.name:
        case "shop.example" if days_ago % 4 == 2:
            yield from _newsletter(domain)
        case "bank.example":
            yield _statements(domain)
            if days_ago in (5, 6):
                yield from _forged(domain, _PHISHING_NETWORKS, messages=800)
        case "news.example":
            yield _briefing(domain, days_ago)
        case "travel.example" if days_ago <= 2:
            yield from _forged(domain, _PHISHING_NETWORKS[:2], messages=600)
        case "univ.example":
            yield _department(domain)
            yield _mailing_list(domain)
            yield _forwarded(domain, "198.51.100.77", 24)
            yield _forwarded(domain, "2001:db8:77::25", 9)
        case "clinic.example":
            yield _forgotten_server(domain)
        case "library.example":
            yield _forwarded(domain, "198.51.100.91", 6)
    if domain in PARKED:
        yield from _abuse(domain, days_ago)


NAMED_SERVICES: Final = {
    "bank.example": ("statements", "Amazon SES"),
    "news.example": ("morning briefing", "Amazon SES"),
}
"""What the configuration names as a sender: a name, and the service. Nobody has thought of the shop's newsletter."""

_OWN_MESSAGES: Final = {
    "shop.example": 700,
    "bank.example": 500,
    "news.example": 140,
    "travel.example": 260,
    "univ.example": 420,
    "clinic.example": 180,
    "library.example": 60,
}
_SELECTORS: Final = {"news.example": "news2025"}
_KEY_REMOVED: Final = 6  # days ago
_NO_KEY: Final = "no key for signature"
_PHISHING_NETWORKS: Final = ("192.0.2.17", "192.0.2.66", "198.51.100.211", "2001:db8:bad::5")


def _own_servers(domain: DemoDomain, days_ago: int) -> Iterator[Stream]:
    """Mail goes out where it comes in: by the MX hosts, which the SPF record names."""
    for mx, share in domain.mx.items():
        if messages := round(_OWN_MESSAGES[domain.name] * share):
            yield Stream(
                header_from=domain.name,
                source_ip=domain.receiving_ip(mx),
                messages=messages,
                envelope_from=domain.name,
                spf="pass",
                dkim=(_own_signature(domain, days_ago),),
                own_rhythm=True,
            )


def _own_signature(domain: DemoDomain, days_ago: int) -> DkimResult:
    signature = DkimResult(domain.name, _SELECTORS.get(domain.name, "mail"))
    if domain.name == "news.example" and days_ago <= _KEY_REMOVED:
        return replace(signature, result="permerror", human_result=_NO_KEY)
    return signature


def _newsletter(domain: DemoDomain) -> Iterator[Stream]:
    for source_ip, messages in (("198.51.100.130", 1_300), ("198.51.100.131", 700)):
        yield Stream(
            header_from=domain.name,
            source_ip=source_ip,
            messages=messages,
            envelope_from="mail130.suw15.mcsv.net",
            spf="pass",
            dkim=(DkimResult("mcsv.net", "k2"),),
        )


def _statements(domain: DemoDomain) -> Stream:
    return Stream(
        header_from=domain.name,
        source_ip="198.51.100.20",
        messages=220,
        envelope_from=f"bounce.{domain.name}",
        spf="pass",
        dkim=(DkimResult("amazonses.com", "ses1"), DkimResult(domain.name, "statements")),
    )


def _briefing(domain: DemoDomain, days_ago: int) -> Stream:
    return Stream(
        header_from=domain.name,
        source_ip="198.51.100.21",
        messages=650,
        envelope_from="eu-west-1.amazonses.com",
        spf="pass",
        dkim=(DkimResult("amazonses.com", "ses1"), _own_signature(domain, days_ago)),
    )


def _abuse(domain: DemoDomain, days_ago: int) -> Iterator[Stream]:
    yield from _forged(domain, _PHISHING_NETWORKS[1:3], messages=40)
    if days_ago <= 3:
        yield from _forged(domain, _PHISHING_NETWORKS[:1], messages=150, below="secure.")


def _forged(domain: DemoDomain, sources: tuple[str, ...], *, messages: int, below: str = "") -> Iterator[Stream]:
    """`below`: the labels before the domain in From, which has no SPF record then."""
    for number, source_ip in enumerate(sources, start=1):
        yield Stream(
            header_from=f"{below}{domain.name}",
            source_ip=source_ip,
            messages=messages // number,
            envelope_from=f"{below}{domain.name}",
            spf="none" if below else "fail",
        )


def _department(domain: DemoDomain) -> Stream:
    mx = next(iter(domain.mx))
    return Stream(
        header_from=f"cs.{domain.name}",
        source_ip=domain.receiving_ip(mx),
        messages=80,
        envelope_from=f"cs.{domain.name}",
        spf="pass",
        dkim=(DkimResult(f"cs.{domain.name}", "mail"),),
    )


def _mailing_list(domain: DemoDomain) -> Stream:
    return Stream(
        header_from=domain.name,
        source_ip="198.51.100.25",
        messages=40,
        envelope_from="lists.openscience.example",
        spf="pass",
        dkim=(
            DkimResult(domain.name, "mail", "fail", "body hash did not verify"),
            DkimResult("lists.openscience.example", "list"),
        ),
        override=("mailing_list", ""),
    )


def _forwarded(domain: DemoDomain, source_ip: str, messages: int) -> Stream:
    return Stream(
        header_from=domain.name,
        source_ip=source_ip,
        messages=messages,
        envelope_from=domain.name,
        spf="fail",
        dkim=(_own_signature(domain, days_ago=0),),
    )


def _forgotten_server(domain: DemoDomain) -> Stream:
    return Stream(
        header_from=domain.name,
        source_ip="203.0.113.240",
        messages=70,
        envelope_from=domain.name,
        spf="softfail",
    )
