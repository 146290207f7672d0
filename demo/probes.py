"""What probes would have seen in the demo's month: the stories once more, from our own side of the wire.

Nobody can probe servers that do not exist: these are rows of table probe_results as the exporter writes them, made up,
with "(demo)" in the words of each. They agree with stories.py: a certificate that senders reject is expired here on the
same days, and where one sender finds no STARTTLS our probes found it all the time. One thing only probes can see: the
certificate of mx1.clinic.example expires in 11 days and nobody has renewed it yet.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from demo.dmarc.policies import policy as dmarc_policy
from demo.domains import DOMAINS, PARKED, DemoDomain
from demo.month import DAYS
from demo.tls.stories import policy_file_is_missing
from mailposture.config.domains import MtaStsPolicy
from mailposture.records.mta_sts import Policy, policy_id, render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver import Client

_EVERY: Final = timedelta(hours=2)  # a real exporter probes more often
_PATIENCE: Final = 20.0  # seconds, as in the configuration's default
_LIFETIME: Final = timedelta(days=90)
_RENEWED_AFTER: Final = timedelta(days=60)
_HOSTS: Final = tuple(mx for domain in DOMAINS for mx in domain.mx)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """A row of table probe_results; fields that a probe knows nothing about keep their defaults."""

    day: date
    policy_domain: str
    probe: str
    probed_at: datetime
    record: str = ""
    subject: str = ""
    receiving_mx: str = ""
    receiving_ip: str = "::"
    success: bool = True
    reason: str = ""
    detail: str
    published: str = ""
    policies: tuple[str, ...] = ()
    duration_seconds: float
    reachable: bool | None = None
    starttls_offered: bool | None = None
    tls_version: str = ""
    certificate_valid: bool | None = None
    certificate_not_after: datetime | None = None
    certificate_names: tuple[str, ...] = ()
    tlsa: str = ""
    sts_mode: str = ""
    sts_max_age: int = 0
    sts_mx_hosts: tuple[str, ...] = ()
    sts_record_id: str = ""
    policy_agrees: bool | None = None
    record_agrees: bool | None = None
    mx_covered: bool | None = None


@dataclass(frozen=True, slots=True)
class _Certificate:
    not_after: datetime
    names: tuple[str, ...]


def write_probes(client: Client, now: datetime, *, database: str) -> int:
    """Write the month into table probe_results of a database; returns the number of rows.

    Writing it again on the same day changes nothing. The SQL user needs INSERT on the table: the exporter's has it.
    """
    rows = [astuple(row) for row in probe_rows(now)]
    columns = [field.name for field in fields(ProbeRow)]
    client.insert("probe_results", rows, column_names=columns, database=database)
    return len(rows)


def probe_rows(now: datetime) -> Iterator[ProbeRow]:
    """The month before `now` (in UTC), and today until now; the same for the same day."""
    midnight = datetime.combine(now.date(), time(), UTC)
    slot = midnight - timedelta(days=DAYS)
    while slot <= now:
        for domain in (*DOMAINS, *PARKED):
            chance = Random(f"{domain.name} {slot:%F %H}")  # noqa: S311  made-up history, no secret
            probed_at = slot + timedelta(milliseconds=chance.randrange(20 * 60_000))
            if probed_at <= now:
                yield from _probes(_Round(domain, probed_at, (now.date() - probed_at.date()).days, midnight, chance))
        slot += _EVERY


@dataclass(frozen=True, slots=True)
class _Round:
    """All probes of one domain at one time."""

    domain: DemoDomain
    at: datetime
    days_ago: int
    midnight: datetime  # of today
    chance: Random

    def row(self, probe: str, detail: str) -> ProbeRow:
        return ProbeRow(
            day=self.at.date(),
            policy_domain=self.domain.name,
            probe=probe,
            probed_at=self.at,
            detail=f"{detail} (demo)",
            duration_seconds=round(self.chance.uniform(0.08, 0.5), 3),
        )


def _probes(each: _Round) -> Iterator[ProbeRow]:
    if each.domain in PARKED:
        yield from _parked_records(each)
        return
    policy = _policy(each)
    yield from _records(each, policy)
    if policy is not None:
        yield _fetch(each, policy)
    for mx in each.domain.mx:
        yield _visit(each, mx)


def _policy(each: _Round) -> Policy | None:
    mode = each.domain.sts_mode(each.days_ago)
    return None if mode is None else Policy(mode=mode, mx=tuple(each.domain.mx), max_age=MtaStsPolicy().max_age)


def _records(each: _Round, policy: Policy | None) -> Iterator[ProbeRow]:
    name = each.domain.name
    dmarc = dmarc_policy(each.domain, each.days_ago)
    records = {
        "mx": ", ".join(each.domain.mx),
        "tls-rpt": f"reports go to mailto:tlsrpt@{name}",
        "spf": '"v=spf1 mx -all"',
        "dmarc": f"p={dmarc.p} of _dmarc.{name}",
    }
    if policy is not None:
        records["mta-sts"] = f"id {policy_id(render(policy))}"
    for record, detail in records.items():
        policies = dmarc.applied if record == "dmarc" else ()
        yield replace(each.row("dns", detail), record=record, policies=policies)


def _parked_records(each: _Round) -> Iterator[ProbeRow]:
    name, policy = each.domain.name, dmarc_policy(each.domain, each.days_ago)
    key = f"*._domainkey.{name}"
    records = {
        "mx": ("takes no mail (null MX, RFC 7505)", "0 ."),
        "subdomains": ("take no mail: no wildcard leads any to a server", ""),
        "spf": ('"v=spf1 -all"', "v=spf1 -all"),
        "dmarc-authorization": (f"takes reports about {name}", "v=DMARC1"),
        "dkim": ("no signature is valid", "v=DKIM1; p="),
    }
    for record, (detail, published) in records.items():
        subject = key if record == "dkim" else ""
        yield replace(each.row("dns", detail), record=record, subject=subject, published=published)
    published = f"v=DMARC1; p={policy.p}; sp={policy.sp}; rua=mailto:dmarc@{DOMAINS[0].name}"
    if policy.sp == policy.p:
        good = each.row("dns", f"p={policy.p} of _dmarc.{name}")
        yield replace(good, record="dmarc", published=published, policies=policy.applied)
        return
    weak = f"sends no mail, but sp={policy.sp} applies to names below it: forged mail of those is delivered"
    yield replace(
        each.row("dns", weak),
        record="dmarc",
        published=published,
        policies=policy.applied,
        success=False,
        reason="parked-but-not-rejected",
    )


def _fetch(each: _Round, policy: Policy) -> ProbeRow:
    announced = policy_id(render(policy))
    if policy_file_is_missing(each.domain, each.days_ago):
        missing = each.row("mta-sts", "answers with status 404")
        return replace(missing, success=False, reason="policy-status", sts_record_id=announced, record_agrees=True)
    return replace(
        each.row("mta-sts", f"mode {policy.mode}, max_age {policy.max_age}, mx {', '.join(policy.mx)}"),
        sts_mode=str(policy.mode),
        sts_max_age=policy.max_age,
        sts_mx_hosts=policy.mx,
        sts_record_id=announced,
        policy_agrees=True,
        record_agrees=True,
        mx_covered=True,
    )


def _visit(each: _Round, mx: str) -> ProbeRow:
    """One server: STARTTLS is always offered, and then the stories begin."""
    version = "TLSv1.2" if each.domain.name == "clinic.example" else "TLSv1.3"
    certificate = _certificate(each, mx)
    tlsa = _tlsa(each, mx)
    met = replace(
        each.row("mx", f"STARTTLS with {version}, certificate until {certificate.not_after:%F}"),
        receiving_mx=mx,
        receiving_ip=f"::ffff:{each.domain.receiving_ip(mx)}",
        reachable=True,
        starttls_offered=True,
        tls_version=version,
        certificate_valid=True,
        certificate_not_after=certificate.not_after,
        certificate_names=certificate.names,
        tlsa=tlsa,
    )
    if mx == "mx2.clinic.example" and (slow := _slowness(each)):
        return _slow(each, met, slow)
    if each.at >= certificate.not_after:
        words = "the certificate is refused: certificate has expired (demo)"
        return replace(met, success=False, reason="certificate-expired", detail=words, certificate_valid=False)
    if mx not in certificate.names:
        words = f"the certificate is refused: it is not valid for {mx} (demo)"
        return replace(met, success=False, reason="certificate-host-mismatch", detail=words, certificate_valid=False)
    if tlsa == "mismatch":
        words = "no TLSA record names the certificate (demo)"
        return replace(met, success=False, reason="tlsa-mismatch", detail=words)
    return met


def _slowness(each: _Round) -> float:
    """clinic.example: the share of handshakes that take too long, which grows as senders report it."""
    return 0.05 + 0.04 * (10 - each.days_ago) if each.days_ago <= 10 else 0.0


def _slow(each: _Round, met: ProbeRow, slowness: float) -> ProbeRow:
    if each.chance.random() >= slowness:
        return replace(met, duration_seconds=round(1 + 30 * slowness * each.chance.uniform(0.5, 1), 3))
    return replace(
        met,
        success=False,
        reason="timeout",
        detail=f"no answer within {_PATIENCE:g} s after it connected (demo)",
        duration_seconds=_PATIENCE,
        tls_version="",
        certificate_valid=None,
        certificate_not_after=None,
        certificate_names=(),
    )


def _tlsa(each: _Round, mx: str) -> str:
    if not each.domain.dane:
        return "absent"
    renewed = each.midnight - timedelta(days=5) + timedelta(hours=10)
    published = each.midnight - timedelta(days=4) + timedelta(hours=17)
    return "mismatch" if mx == "mx1.univ.example" and renewed <= each.at < published else "match"


def _certificate(each: _Round, mx: str) -> _Certificate:
    """What the server shows; most are renewed by a program every 60 days."""
    today = each.midnight
    match mx:
        case "mx2.shop.example":
            renewed = today - timedelta(days=8) + timedelta(hours=12)
            return _Certificate(renewed + _LIFETIME if each.at >= renewed else today - timedelta(days=9), (mx,))
        case "mx-old.travel.example" if each.days_ago >= 18:
            return _Certificate(today + timedelta(days=130), ("mx.old-provider.example",))
        case "mx-old.travel.example":
            return _Certificate(today + timedelta(days=365 - 17), (mx,))
        case "mx1.univ.example":
            renewed = today - timedelta(days=5) + timedelta(hours=10)
            return _Certificate(renewed + (_LIFETIME if each.at >= renewed else timedelta(days=25)), (mx,))
        case "mx1.clinic.example":
            return _Certificate(today + timedelta(days=11, hours=12), (mx,))
    newest = today - timedelta(days=_HOSTS.index(mx) * 5 + 3) + timedelta(hours=3)
    renewed = newest if each.at >= newest else newest - _RENEWED_AFTER
    return _Certificate(renewed + _LIFETIME, (mx,))
