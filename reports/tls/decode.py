"""A TLS report (RFC 8460, section 4): untrusted JSON read into a TlsReport.

A sending server reports, for one period, which policies it found for a domain (MTA-STS, DANE or none), how many
sessions succeeded and failed under each, and what the failures were. A report cannot do without who says so, the period
and its policies; everything else may be missing, null or odd. The models below are the table of what is read from
where; how odd values are read is in fields.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from mailposture.quoting import quoted
from reports.rejection import Reason, RejectedError
from reports.tls import fields
from reports.tls.limits import FAILURE_DETAILS, JSON_DEPTH, JSON_VALUES, POLICIES
from reports.values import NO_ADDRESS, Remarks

if TYPE_CHECKING:
    from datetime import date

    from reports.document import Document

_FIRST_REPORTS: Final = datetime(2016, 1, 1, tzinfo=UTC)  # as the example in RFC 8460 is
_LAST_START: Final = datetime(9999, 12, 30, tzinfo=UTC)
_LONGEST_PERIOD: Final = timedelta(days=366)

_Text = Annotated[str, PlainValidator(fields.text)]
_Name = Annotated[str, PlainValidator(fields.name)]
_Term = Annotated[str, PlainValidator(fields.term)]
_Count = Annotated[int, PlainValidator(fields.count)]
_Host = Annotated[str, PlainValidator(fields.host)]
_Address = Annotated[bytes, PlainValidator(fields.address)]
_Time = Annotated[datetime | None, PlainValidator(fields.time)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FailureDetail(_Part):
    """A kind of failure that the sender saw, and how often (RFC 8460, section 4.4). Addresses are 16 bytes."""

    result_type: _Term = Field("", alias="result-type")
    sending_mta_ip: _Address = Field(NO_ADDRESS, alias="sending-mta-ip")
    receiving_mx: _Host = Field("", alias="receiving-mx-hostname")
    receiving_mx_helo: Annotated[str, PlainValidator(fields.first_token)] = Field("", alias="receiving-mx-helo")
    receiving_ip: _Address = Field(NO_ADDRESS, alias="receiving-ip")
    failed_sessions: _Count = Field(0, validation_alias=AliasChoices("failed-session-count", "session-count"))
    additional_information: _Text = Field("", alias="additional-information")
    reason_code: _Text = Field("", validation_alias=AliasChoices("failure-reason-code", "failure-error-code"))


class Policy(_Part):
    """A policy that the sender applied, with its session counts (RFC 8460, section 4.4)."""

    policy_type: Annotated[str, PlainValidator(fields.policy_type)] = Field(
        "", validation_alias=AliasPath("policy", "policy-type")
    )
    strings: Annotated[tuple[str, ...], PlainValidator(fields.strings)] = Field(
        (), validation_alias=AliasPath("policy", "policy-string")
    )
    # Normalized; empty if missing; None if it is something else than a domain name.
    domain: Annotated[str | None, PlainValidator(fields.policy_domain)] = Field(
        "", validation_alias=AliasPath("policy", "policy-domain")
    )
    mx_hosts: Annotated[tuple[str, ...], PlainValidator(fields.mx_patterns)] = Field(
        (), validation_alias=AliasPath("policy", "mx-host")
    )
    successful_sessions: _Count = Field(
        0,
        validation_alias=AliasChoices(
            AliasPath("summary", "total-successful-session-count"), AliasPath("summary", "success-aggregate")
        ),
    )
    failed_sessions: _Count = Field(
        0,
        validation_alias=AliasChoices(
            AliasPath("summary", "total-failure-session-count"), AliasPath("summary", "failure-aggregate")
        ),
    )
    failures: Annotated[
        tuple[FailureDetail, ...], BeforeValidator(fields.objects(FAILURE_DETAILS, "failure details"))
    ] = Field((), alias="failure-details")


class _Content(_Part):
    organization: _Name = Field("", alias="organization-name")
    contact: _Name = Field("", alias="contact-info")
    report_id: _Name = Field("", alias="report-id")
    start: _Time = Field(None, validation_alias=AliasPath("date-range", "start-datetime"))
    end: _Time = Field(None, validation_alias=AliasPath("date-range", "end-datetime"))
    policies: Annotated[tuple[Policy, ...], BeforeValidator(fields.objects(POLICIES, "policies"))] = Field(
        (), alias="policies"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsReport:
    """A report that can be used: somebody says something about a period."""

    organization: str
    contact: str
    report_id: str
    start: datetime
    end: datetime
    policies: tuple[Policy, ...]
    warnings: tuple[str, ...]
    original: bytes  # the JSON as received
    canonical: bytes  # the same content in canonical form, to find out whether two reports are one
    file_domains: tuple[str, ...] = ()  # policy domains in the names of the files that it was in

    @property
    def day(self) -> date:
        """The UTC day on which its period begins."""
        return self.start.date()

    @property
    def entries(self) -> int:
        """Policies and failure details: what its size in memory comes from."""
        return len(self.policies) + sum(len(policy.failures) for policy in self.policies)


def read(document: Document) -> TlsReport:
    """Read a report from JSON. Raises RejectedError, which names the field or the fault."""
    remarks = Remarks()
    loaded, original = _load(document.content, remarks)
    if not isinstance(loaded, dict) or not loaded.keys() & {"policies", "date-range"}:
        raise RejectedError(
            Reason.OTHER_DOCUMENT, "JSON without `policies` and `date-range`, so not a report by RFC 8460"
        )
    _check_number_of_details(loaded.get("policies"))
    canonical = _canonical(loaded)
    content = _Content.model_validate(loaded, context=remarks)
    if not (content.organization or content.contact):
        raise _missing("organization-name", loaded.get("organization-name"))
    if not isinstance(loaded.get("policies"), list | dict):
        raise _missing("policies", loaded.get("policies"))
    start, end = _period(content, loaded, remarks)
    return TlsReport(
        organization=content.organization or content.contact,
        contact=content.contact,
        report_id=content.report_id,
        start=start,
        end=end,
        policies=content.policies,
        warnings=tuple(remarks),
        original=original,
        canonical=canonical,
        file_domains=document.domains,
    )


def _check_number_of_details(policies: Any) -> None:
    """Before they are read: reading one takes a hundred times longer, and a thousand times its bytes."""
    entries = policies if isinstance(policies, list) else [policies]
    lists = [entry.get("failure-details") for entry in entries if isinstance(entry, dict)]
    details = sum(len(found) for found in lists if isinstance(found, list))
    if details > FAILURE_DETAILS:
        raise RejectedError(Reason.TOO_MANY, f"report has {details} failure details; {FAILURE_DETAILS} are allowed")


def _missing(field: str, value: object) -> RejectedError:
    return RejectedError(Reason.INVALID_FIELD, f"{field} is {'missing' if value is None else quoted(str(value))}")


def _period(content: _Content, loaded: dict[str, Any], remarks: Remarks) -> tuple[datetime, datetime]:
    """Start and end of the reported period, by what is written: whether it is yet to come, a clock must say."""
    start, end = content.start, content.end
    if start is None:
        written = loaded.get("date-range")
        raise _missing(
            "date-range.start-datetime", written.get("start-datetime") if isinstance(written, dict) else written
        )
    if start < _FIRST_REPORTS:
        raise RejectedError(
            Reason.INVALID_FIELD, f"date-range.start-datetime is {start:%Y-%m-%d}, before such reports existed"
        )
    if end is None or end < start or end - start > _LONGEST_PERIOD:
        remarks.add("end-datetime is missing or unusable; a period of one day was assumed")
        end = min(start, _LAST_START) + timedelta(days=1)
    return start, end


def _load(document: bytes, remarks: Remarks) -> tuple[Any, bytes]:
    """Parse JSON; return it with the bytes that it took. Raises RejectedError for no JSON, or too much of it."""
    values = document.count(b",")
    if values > JSON_VALUES:
        raise RejectedError(Reason.TOO_MANY, f"JSON has more than {values} values; {JSON_VALUES} are allowed")
    try:
        return orjson.loads(document), document
    except orjson.JSONDecodeError:
        return _load_leniently(document, remarks)


def _load_leniently(document: bytes, remarks: Remarks) -> tuple[Any, bytes]:
    """Parse JSON that is followed by something else, or has NaN or huge numbers in it."""
    try:
        written = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RejectedError(Reason.BAD_ENCODING, f"JSON is not UTF-8 at byte {error.start}") from error
    start = len(written) - len(written.lstrip())
    try:
        loaded, end = _LENIENT.raw_decode(written, start)
    except json.JSONDecodeError as error:
        raise RejectedError(
            Reason.NOT_JSON, f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise RejectedError(Reason.TOO_NESTED, "JSON nests too deep") from error
    if written[end:].strip():
        remarks.add("what follows the JSON was ignored")
    return loaded, written[start:end].encode("utf-8")


def _whole_number(written: str) -> int | float:
    """Python refuses to read integers of thousands of digits."""
    return int(written) if len(written) <= 20 else float(written)


_LENIENT: Final = json.JSONDecoder(parse_constant=lambda _: None, parse_int=_whole_number)


def _canonical(loaded: Any) -> bytes:
    """Content written in one way. orjson writes neither deep nesting nor odd numbers and text; json writes those.

    Runs of blanks within strings (there are none between tokens) become one: relaxed canonicalization lets everybody
    on the way change those, while the signature still holds (RFC 6376, section 3.4.4).
    """
    written = _sorted(loaded)
    while b"  " in written:
        written = written.replace(b"  ", b" ")
    return written


def _sorted(loaded: Any) -> bytes:
    try:
        return orjson.dumps(loaded, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        if _nests_too_deep(loaded):
            raise RejectedError(Reason.TOO_NESTED, f"JSON nests more than {JSON_DEPTH} deep") from None
        return json.dumps(loaded, sort_keys=True, separators=(",", ":")).encode()


def _nests_too_deep(loaded: Any) -> bool:
    level = [loaded]
    for _ in range(JSON_DEPTH):
        lists = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level = [node for nodes in lists for node in nodes]
    return bool(level)
