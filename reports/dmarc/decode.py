"""A DMARC report (RFC 7489, appendix C; RFC 9990, section 3): XML of untrusted reporters read into a DmarcReport.

A receiver says, for one period and one policy domain, from which addresses mail came in our name, how many messages,
what the policy evaluation found, and what was done. One reader for both RFCs: they differ in what is optional, and
reporters in more. A report cannot do without who says so, the period and the policy domain; all else may be missing.

**Only `policy_evaluated` decides.** It says whether SPF or DKIM passed *and was aligned*, and only the word `pass` is a
pass. `auth_results` are raw, of other domains too: they explain, and are kept as lists.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mailposture.quoting import quoted
from mailposture.records.dmarc import ALL_MAIL, Policy, applied, share_of
from reports.dmarc.elements import Elements, MalformedError, Values, read_elements
from reports.dmarc.encoding import document_of
from reports.dmarc.limits import REASONS, RECORDS, REPAIRED_BYTES, RESULTS, RESULTS_IN_ALL
from reports.dmarc.names import Names, bare
from reports.dmarc.repair import repaired
from reports.limits import NAME_LENGTH, TERM_LENGTH, TEXT_LENGTH
from reports.rejection import Reason, RejectedError
from reports.text import clean
from reports.values import LONGEST_NAME, NO_ADDRESS, Remarks, domain_name, packed_address

if TYPE_CHECKING:
    from datetime import date

    from reports.document import Document

_FIRST_REPORTS: Final = datetime(2011, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)
_LONGEST_PERIOD: Final = timedelta(days=366)
_USUAL_PERIOD: Final = timedelta(hours=26)
_LARGEST_COUNT: Final = 10**12  # one absurd record must not bend every sum, nor overflow it
_NOTHING: Final[Values] = {}  # of an element that is missing
_POLICIES: Final = frozenset(policy.value for policy in Policy)
_DISPOSITIONS: Final = _POLICIES
_FAILURES: Final = frozenset(
    ("fail", "none", "neutral", "policy", "softfail", "hardfail", "temperror", "permerror")
)  # RFC 8601, and what some write instead: words by which something was evaluated and did not pass
_OVERRIDES: Final = frozenset(
    ("forwarded", "sampled_out", "trusted_forwarder", "mailing_list", "local_policy", "policy_test_mode", "other")
)


class Published(NamedTuple):
    """The policy as the reporter found it, in lower case; empty where the report does not say."""

    domain: str
    p: str
    sp: str  # of subdomains; what p says where it is missing
    np: str  # of subdomains that do not exist; what sp says where it is missing
    adkim: str  # r or s
    aspf: str
    pct: int  # 100 where it is missing, as in every report by RFC 9990
    fo: str
    testing: str  # y or n
    discovery_method: str  # psl or treewalk

    def applied(self, requested: str) -> str:
        """What receivers do with all mail that fails, where `p` or `sp` requests this."""
        return applied(Policy(requested), testing=self.testing == "y", share=self.pct).value

    def applied_to(self, header_from: str, disposition: str) -> str:
        """The policy for messages of an author domain; whether `pct` spared them shows in what was done with them."""
        requested = self.p if header_from in ("", self.domain) else self.sp
        if disposition == requested and self.testing != "y" and 0 < self.pct < ALL_MAIL:
            return requested
        return self.applied(requested)


class AuthResult(NamedTuple):
    """What SPF or a DKIM signature gave (RFC 8601), aligned or not. SPF has a scope where DKIM has a selector."""

    domain: str
    selector: str
    result: str
    human_result: str


class Record(NamedTuple):
    """Messages of one source that were evaluated alike."""

    source_ip: bytes  # 16 bytes, IPv4 mapped; NO_ADDRESS if it is unusable
    messages: int
    disposition: str  # none, quarantine or reject; `pass` (RFC 9990) is none
    dkim_aligned: bool
    spf_aligned: bool
    evaluated: bool  # whether the report says that the messages passed, or that they failed
    header_from: str
    envelope_from: str
    envelope_to: str
    reasons: tuple[tuple[str, str], ...]  # why the policy was not applied: type and comment
    dkim: tuple[AuthResult, ...]
    spf: tuple[AuthResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcReport:
    """A report that can be used."""

    organization: str
    contact: str
    extra_contact: str
    report_id: str
    generator: str
    error: str  # what the reporter says went wrong
    start: datetime
    end: datetime
    published: Published
    records: tuple[Record, ...]
    warnings: tuple[str, ...]
    original: bytes  # the XML as received
    file_domains: tuple[str, ...] = ()  # policy domains in the names of the files that it was in

    @property
    def day(self) -> date:
        """The UTC day that most of the period lies in: four reporters in ten have days of other zones."""
        return (self.start + (self.end - self.start) / 2).date()

    @property
    def entries(self) -> int:
        """Records, or what their results take as much memory as."""
        results = sum(len(record.dkim) + len(record.spf) + len(record.reasons) for record in self.records)
        return max(len(self.records), results * RECORDS // RESULTS_IN_ALL)

    @property
    def canonical(self) -> bytes:
        """The report without what may change on the way: white space (RFC 6376, section 3.4.4), its encoding, and what
        stands around it."""
        return document_of(self.original).translate(None, b" \t\r\n")


def read(document: Document) -> DmarcReport:
    """Read a report from XML. Raises RejectedError, which names the field or the fault."""
    remarks = Remarks()
    names = Names(remarks)
    records: list[Record] = []
    said, repeated, surplus, in_capitals = _elements(document.content, records, names, remarks)
    if repeated:
        remarks.add(f"only the first was read where there are several: {', '.join(sorted(repeated))}")
    for name in sorted(surplus):
        most = REASONS if name == "reason" else RESULTS
        remarks.add(f"only the first {most} of {name} were read where a record has more")
    if in_capitals:
        remarks.add(f"read in spite of capitals: {', '.join(sorted(in_capitals))}")
    metadata, policy = said.get("report_metadata", _NOTHING), said.get("policy_published", _NOTHING)
    organization, contact = _name(metadata.get("org_name")), _name(metadata.get("email"))
    if not (organization or contact):
        raise _missing("report_metadata.org_name", metadata.get("org_name"))
    start, end = _period(metadata.get("date_range", _NOTHING), remarks)
    return DmarcReport(
        organization=organization or contact,
        contact=contact,
        extra_contact=_text(metadata.get("extra_contact_info")),
        report_id=_name(metadata.get("report_id")),
        generator=_text(metadata.get("generator")),
        error=_text(metadata.get("error")),
        start=start,
        end=end,
        published=_published(policy, names, remarks),
        records=tuple(records),
        warnings=tuple(remarks),
        original=document.content,
        file_domains=document.domains,
    )


def _elements(content: bytes, records: list[Record], names: Names, remarks: Remarks) -> Elements:
    def keep(values: Values) -> None:
        records.append(_record(values, names, remarks))

    try:
        return read_elements(content, keep)
    except MalformedError as error:
        fault = str(error)
    text = repaired(content) if len(content) <= REPAIRED_BYTES else None
    if text is not None:
        records.clear()
        try:
            said = read_elements(text, keep, repaired=True)
        except MalformedError:
            pass
        else:
            remarks.add(f"the XML was repaired: {fault}")
            return said
    raise RejectedError(Reason.NOT_XML, f"not well-formed XML: {fault}")


def _record(values: Values, names: Names, remarks: Remarks) -> Record:
    row, identifiers = values.get("row", _NOTHING), values.get("identifiers", _NOTHING)
    evaluated, auth = row.get("policy_evaluated", _NOTHING), values.get("auth_results", _NOTHING)
    disposition = evaluated.get("disposition", "")
    dkim, spf = _verdict(evaluated.get("dkim", ""), "dkim", remarks), _verdict(evaluated.get("spf", ""), "spf", remarks)
    has_verdict = bool(dkim or spf) or (dkim is False and spf is False)
    if not has_verdict:
        remarks.add("messages of which it says neither that they passed nor that they failed count as neither")
    return Record(
        _address(row.get("source_ip", ""), remarks),
        _count(row.get("count", ""), remarks),
        disposition if disposition in _DISPOSITIONS else _disposition(disposition, remarks),
        bool(dkim),
        bool(spf),
        has_verdict,
        names.read(identifiers.get("header_from", ""), "header_from"),
        _domain(identifiers.get("envelope_from", "")),
        _domain(identifiers.get("envelope_to", "")),
        tuple([_reason(each) for each in evaluated["reason"]]) if "reason" in evaluated else (),
        tuple([_result(each, "selector") for each in auth["dkim"]]) if "dkim" in auth else (),
        tuple([_result(each, "scope") for each in auth["spf"]]) if "spf" in auth else (),
    )


@lru_cache(maxsize=16_384)
def _cleaned(text: str, length: int) -> str:
    return clean(text, length)


def _name(value: Any) -> str:
    return clean(value, NAME_LENGTH) if value else ""


def _text(value: Any) -> str:
    return clean(value, TEXT_LENGTH) if value else ""


def _term(value: str) -> str:
    """A term of the RFC in lower case; what the RFC does not know is kept. The same few fill all reports."""
    return _cleaned(value.lower(), TERM_LENGTH) if len(value) <= TERM_LENGTH else clean(value.lower(), TERM_LENGTH)


def _domain(value: str) -> str:
    """A domain, or that of an address; empty if it is neither. The same few fill all reports."""
    return _known_domain(value) if value and len(value) <= LONGEST_NAME else ""


@lru_cache(maxsize=16_384)
def _known_domain(value: str) -> str:
    return domain_name(bare(value)) or ""


def _address(value: str, remarks: Remarks) -> bytes:
    found = packed_address(value)
    if found is None:
        if value.strip():
            remarks.add(f"source_ip {quoted(value)} is not an IP address and was left out")
        return NO_ADDRESS
    return found


def _count(value: str, remarks: Remarks) -> int:
    """A number of messages."""
    if value.isascii() and value.isdigit() and len(value) <= 12:
        return int(value)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    read = min(max(int(number), 0), _LARGEST_COUNT) if math.isfinite(number) else 0
    if str(read) != value.strip():
        remarks.add(f"count {quoted(value)} was read as {read}")
    return read


def _disposition(value: str, remarks: Remarks) -> str:
    word = value.strip().lower()
    if word in _DISPOSITIONS:
        return word
    if word != "pass":  # RFC 9990, section 3.1.1.9: it passed under an enforcing policy
        remarks.add(f"disposition {quoted(value)} was read as none")
    return "none"


def _verdict(value: str, name: str, remarks: Remarks) -> bool | None:
    """Whether it passed, and was aligned; None if the report does not say."""
    word = value if value in ("pass", "fail") else value.strip().lower()
    if word == "pass":
        return True
    if word != "fail":
        remarks.add(f"policy_evaluated.{name} {quoted(value)} is no pass")
    return False if word in _FAILURES else None


def _reason(values: Values) -> tuple[str, str]:
    kind = _term(values.get("type", ""))
    return kind if kind in _OVERRIDES else "other", _text(values.get("comment"))


def _result(values: Values, selector: str) -> AuthResult:
    domain, about = values.get("domain", ""), values.get(selector, "")
    result, details = values.get("result", ""), values.get("human_result", "")
    if len(domain) + len(about) + len(result) + len(details) <= LONGEST_NAME:
        return _known_result(domain, about, result, details)
    return _read_result(domain, about, result, details)


def _read_result(domain: str, about: str, result: str, details: str) -> AuthResult:
    return AuthResult(_domain(domain), _term(about), _term(result), _text(details))


_known_result: Final = lru_cache(maxsize=16_384)(_read_result)  # of one sender's records all are the same


def _published(policy: Values, names: Names, remarks: Remarks) -> Published:
    domain = names.read(policy.get("domain", ""), "policy_published.domain")
    if not domain:
        raise _missing("policy_published.domain", policy.get("domain"))
    p = _policy(policy, "p", "none", remarks)
    sp = _policy(policy, "sp", p, remarks)
    return Published(
        domain=domain,
        p=p,
        sp=sp,
        np=_policy(policy, "np", sp, remarks),
        adkim="s" if policy.get("adkim", "").strip().lower() == "s" else "r",
        aspf="s" if policy.get("aspf", "").strip().lower() == "s" else "r",
        pct=share_of(policy.get("pct", "")),
        fo=_term(policy.get("fo", "")),
        testing=_term(policy.get("testing", "")),
        discovery_method=_term(policy.get("discovery_method", "")),
    )


def _policy(policy: Values, tag: str, default: str, remarks: Remarks) -> str:
    written = policy.get(tag, "")
    word = _term(written)
    if word in _POLICIES:
        return word
    if word:
        remarks.add(f"policy_published.{tag} {quoted(written)} was read as {default}")
    return default


def _period(said: Values, remarks: Remarks) -> tuple[datetime, datetime]:
    """Start and end of the reported period, by what is written: whether it is yet to come, a clock must say."""
    start, end = _time(said.get("begin", "")), _time(said.get("end", ""))
    if start is None:
        raise _missing("report_metadata.date_range.begin", said.get("begin"))
    if start < _FIRST_REPORTS:
        raise RejectedError(
            Reason.INVALID_FIELD, f"report_metadata.date_range.begin is {start:%Y-%m-%d}, before such reports existed"
        )
    if end is None or end < start or end - start > _LONGEST_PERIOD:
        remarks.add("date_range.end is missing or unusable; a period of one day was assumed")
        end = min(start, _LAST) + timedelta(days=1)
    elif end - start > _USUAL_PERIOD:
        days = (end - start) / timedelta(days=1)
        remarks.add(f"it is about {days:.1f} days, all counted on the one in the middle")
    return start, end


def _time(written: str) -> datetime | None:
    """Seconds since 1970, UTC. Some reporters write a fraction."""
    try:
        return datetime.fromtimestamp(int(float(written)), UTC) if len(written) <= 40 else None
    except (ValueError, OverflowError, OSError):
        return None


def _missing(field: str, written: Any) -> RejectedError:
    what = f"is {quoted(str(written))}" if written else "is missing"
    return RejectedError(Reason.INVALID_FIELD, f"{field} {what}")
