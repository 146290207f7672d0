"""What goes wrong in the demo's month, so that it can be found again. Days are counted back from today: 1 is yesterday.
No story depends on the weekday, so each is there whatever day today is; only the amount of mail does.

shop.example    The certificate of mx2 expired 9 days ago and was renewed on the next day at noon. All senders that
                honour MTA-STS report certificate-expired for that host; mx1 carried on.
bank.example    For 3 days Harbor Telecom has seen no STARTTLS from one of its two networks; from its other network
                everything works, as it does for everybody else. A suspected downgrade.
news.example    14 to 11 days ago a new web site hid the MTA-STS policy file: sts-policy-fetch-error, status 404.
                Mail was delivered, without a policy.
clinic.example  For 10 days mx2 has become slower and slower: time-outs in the handshake.
travel.example  mx-old had a certificate for another host until 18 days ago; the policy was in testing, so nothing
                was lost. With that fixed the policy went to enforce 7 days ago. Since 3 days Meridian Airlines sends
                without it, though it applies the policies of the other domains: somebody may keep it from this one.
univ.example    5 days ago mx1 got a new key without a new TLSA record, fixed on the next day: tlsa-invalid from
                senders that honour DANE; all others noticed nothing.
library.example Nothing. A small domain where everything works; its policy is in testing and ready for enforce.

Probes show the same (probes.py), and one thing more: the certificate of mx1.clinic.example expires in 11 days.

Beside the stories large senders lose a connection now and then, as everywhere (not at library.example).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from demo.domains import DemoDomain
from demo.senders import Sender, Style
from demo.story import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The sessions of one sender to one MX host on one day."""

    sender: Sender
    domain: DemoDomain
    mx: str
    days_ago: int
    policy_type: str  # what the sender applied: sts, tlsa or no-policy-found


@dataclass(frozen=True, slots=True)
class Trouble:
    """A share of the visit's sessions fails."""

    result_type: str
    share: float
    network: str = ""  # only from this network of the sender, if given
    reason_codes: tuple[tuple[Style, str], ...] = ()  # what senders of a style write; others write nothing

    def reason_code(self, style: Style) -> str:
        return dict(self.reason_codes).get(style, "")


STORIES: Final[tuple[Story, ...]] = (
    Story("shop.example", "the certificate of mx2 was expired for two days"),
    Story("bank.example", "one sender sees no STARTTLS since three days, all others do"),
    Story("news.example", "the MTA-STS policy file could not be fetched for four days"),
    Story("clinic.example", "mx2 is slow, and time-outs grow"),
    Story("travel.example", "a wrong certificate fixed in testing, then enforce, which one sender stopped applying"),
    Story("univ.example", "a new key without a new TLSA record"),
    Story("library.example", "all is well, and its policy is ready for enforce"),
)

_EXPIRED = (
    (Style.MICROSOFT, "4.7.5 Remote certificate failed MTA-STS validation. Reason: CertificateExpired"),
    (Style.REPORTER, "X509_V_ERR_CERT_HAS_EXPIRED"),
)
_OTHER_HOST = (
    (Style.MICROSOFT, "4.7.5 Remote certificate failed MTA-STS validation. Reason: SubjectMismatch"),
    (Style.REPORTER, "X509_V_ERR_HOSTNAME_MISMATCH"),
)
_TIMED_OUT = (
    (Style.GOOGLE, "Connection timed out"),
    (Style.MICROSOFT, "4.4.2 Connection timed out"),
    (Style.REPORTER, "timeout during TLS handshake"),
    (Style.MOX, "io-timeout-during-handshake"),
    (Style.STALWART, "Operation timed out"),
)
_CLOSED = (
    (Style.GOOGLE, "Connection closed by peer"),
    (Style.MICROSOFT, "4.4.2 Connection dropped"),
    (Style.REPORTER, "lost connection during TLS handshake"),
    (Style.MOX, "connection-closed-during-handshake"),
    (Style.STALWART, "Connection reset by peer"),
)
_NO_MATCH = (
    (Style.MICROSOFT, "No TLSA record matches the certificate"),
    (Style.REPORTER, "X509_V_ERR_DANE_NO_MATCH"),
    (Style.MOX, "tlsa-no-match"),
)

LOST_CONNECTION: Final = Trouble("validation-failure", 1.0, reason_codes=_CLOSED)
"""What large senders report now and then."""

POLICY_NOT_FOUND: Final = Trouble(
    "sts-policy-fetch-error",
    1.0,
    reason_codes=tuple((style, "bad https response code: 404") for style in (Style.GOOGLE, Style.REPORTER, Style.MOX)),
)


def policy_file_is_missing(domain: DemoDomain, days_ago: int) -> bool:
    """news.example: senders without a remembered policy find none."""
    return domain.name == "news.example" and 11 <= days_ago <= 14


def policy_is_kept_away(domain: DemoDomain, sender: Sender, days_ago: int) -> bool:
    """travel.example: one sender finds the MTA-STS policy no more."""
    return domain.name == "travel.example" and sender.domain == "meridian.example" and days_ago <= 3


def troubles(visit: Visit) -> Iterator[Trouble]:
    """What goes wrong in a visit."""
    match visit.domain.name, visit.mx:
        case "shop.example", "mx2.shop.example" if visit.policy_type == "sts" and visit.days_ago in (8, 9):
            yield Trouble("certificate-expired", 1.0 if visit.days_ago == 9 else 0.5, reason_codes=_EXPIRED)
        case "bank.example", _ if visit.sender.domain == "harbor.example" and visit.days_ago <= 3:
            yield Trouble("starttls-not-supported", 1.0, network=visit.sender.networks[1])
        case "clinic.example", "mx2.clinic.example" if visit.days_ago <= 10:
            yield Trouble("validation-failure", 0.05 + 0.04 * (10 - visit.days_ago), reason_codes=_TIMED_OUT)
        case "travel.example", "mx-old.travel.example" if visit.policy_type == "sts" and visit.days_ago >= 18:
            yield Trouble("certificate-host-mismatch", 1.0, reason_codes=_OTHER_HOST)
        case "univ.example", "mx1.univ.example" if visit.policy_type == "tlsa" and visit.days_ago in (4, 5):
            yield Trouble("tlsa-invalid", 0.6 if visit.days_ago == 5 else 0.7, reason_codes=_NO_MATCH)
