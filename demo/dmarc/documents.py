"""A DMARC report as the XML that its reporter would write, with that reporter's habits (reporters.DmarcStyle)."""

from __future__ import annotations

from datetime import UTC, datetime, time
from hashlib import sha256
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from demo.dmarc.reporters import DmarcStyle

if TYPE_CHECKING:
    from demo.dmarc.reports import DmarcReport
    from demo.dmarc.stories import Stream

_DAY = 86_400
_NAMESPACES = {
    DmarcStyle.MICROSOFT: {
        "xmlns:xsd": "http://www.w3.org/2001/XMLSchema",
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    },
    DmarcStyle.STALWART: {"xmlns": "urn:ietf:params:xml:ns:dmarc-2.0"},
}
_WITHOUT_VERSION = (DmarcStyle.GOOGLE, DmarcStyle.YAHOO)
_WITHOUT_ENVELOPE_FROM = _WITHOUT_VERSION


def begin(report: DmarcReport) -> int:
    """The start of the period, in seconds."""
    return int(datetime.combine(report.day, time(), UTC).timestamp())


def end(report: DmarcReport) -> int:
    """The end, as the reporter writes it: its last second, or the next midnight."""
    to_the_second = report.reporter.style in (DmarcStyle.GOOGLE, DmarcStyle.YAHOO)
    return begin(report) + _DAY - (1 if to_the_second else 0)


def report_id(report: DmarcReport) -> str:
    """The report_id, formed as the reporter forms it."""
    digest = sha256(f"{report.reporter.sender.domain} {report.domain.name} {report.day}".encode()).digest()
    match report.reporter.style:
        case DmarcStyle.GOOGLE:
            return str(int.from_bytes(digest[:8]))
        case DmarcStyle.MICROSOFT:
            return digest[:16].hex()
        case DmarcStyle.YAHOO:
            return f"{begin(report) + _DAY + digest[0]}.{int.from_bytes(digest[:2]):06}"
        case DmarcStyle.STALWART:
            return f"{begin(report)}_{report.domain.name}"


def xml(report: DmarcReport) -> bytes:
    """The report as XML."""
    style = report.reporter.style
    feedback = ElementTree.Element("feedback", _NAMESPACES.get(style, {}))
    if style not in _WITHOUT_VERSION:
        _add(feedback, version="1.0")
    _metadata(feedback, report)
    _policy(feedback, report)
    for stream, messages in report.records:
        _record(ElementTree.SubElement(feedback, "record"), stream, messages, report)
    ElementTree.indent(feedback)
    text = ElementTree.tostring(feedback, encoding="unicode")
    declaration = (
        '<?xml version="1.0"?>' if style is not DmarcStyle.GOOGLE else '<?xml version="1.0" encoding="UTF-8" ?>'
    )
    document = f"{declaration}\n{text}\n"
    return (document.replace("\n", "\t\n") if style is DmarcStyle.YAHOO else document).encode()


def _add(parent: ElementTree.Element, **texts: object) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)


def _metadata(feedback: ElementTree.Element, report: DmarcReport) -> None:
    metadata = ElementTree.SubElement(feedback, "report_metadata")
    reporter = report.reporter
    _add(metadata, org_name=reporter.organization, email=reporter.contact)
    if reporter.style is DmarcStyle.GOOGLE:
        _add(metadata, extra_contact_info=f"https://support.{reporter.sender.domain}/a/answer/2466580")
    _add(metadata, report_id=report_id(report))
    _add(ElementTree.SubElement(metadata, "date_range"), begin=begin(report), end=end(report))
    if reporter.style is DmarcStyle.STALWART:
        _add(metadata, generator="Stalwart (demo)")


def _policy(feedback: ElementTree.Element, report: DmarcReport) -> None:
    published = ElementTree.SubElement(feedback, "policy_published")
    style, p, sp = report.reporter.style, report.policy.p, report.policy.sp
    _add(published, domain=report.domain.name)
    if style is DmarcStyle.STALWART:
        _add(published, p=p, sp=sp, np=sp, testing="n", discovery_method="treewalk")
        return
    _add(published, adkim="r", aspf="r", p=p)
    if style is not DmarcStyle.YAHOO:
        _add(published, sp=sp)
    _add(published, pct=100)
    match style:
        case DmarcStyle.GOOGLE:
            _add(published, np=sp)
        case DmarcStyle.MICROSOFT:
            _add(published, fo=0)


def _record(record: ElementTree.Element, stream: Stream, messages: int, report: DmarcReport) -> None:
    style = report.reporter.style
    row = ElementTree.SubElement(record, "row")
    _add(row, source_ip=stream.source_ip, count=messages)
    policy = report.applied(stream)
    disposition = stream.disposition(policy)
    if style is DmarcStyle.STALWART and stream.passes and policy != "none":
        disposition = "pass"
    evaluated = ElementTree.SubElement(row, "policy_evaluated")
    verdicts = {True: "pass", False: "fail"}
    _add(evaluated, disposition=disposition, dkim=verdicts[stream.dkim_aligned], spf=verdicts[stream.spf_aligned])
    if stream.override:
        kind, comment = stream.override
        _add(ElementTree.SubElement(evaluated, "reason"), type=kind, comment=comment)
    identifiers = ElementTree.SubElement(record, "identifiers")
    if style is DmarcStyle.MICROSOFT:
        _add(identifiers, envelope_to=report.reporter.sender.domain)
    if style not in _WITHOUT_ENVELOPE_FROM:
        _add(identifiers, envelope_from=stream.envelope_from)
    _add(identifiers, header_from=stream.header_from)
    _results(ElementTree.SubElement(record, "auth_results"), stream, style)


def _results(results: ElementTree.Element, stream: Stream, style: DmarcStyle) -> None:
    for each in stream.dkim:
        dkim = ElementTree.SubElement(results, "dkim")
        _add(dkim, domain=each.domain, selector=each.selector, result=each.result)
        if each.human_result and style is DmarcStyle.STALWART:
            _add(dkim, human_result=each.human_result)
    spf = ElementTree.SubElement(results, "spf")
    _add(spf, domain=stream.envelope_from)
    if style in (DmarcStyle.MICROSOFT, DmarcStyle.STALWART):
        _add(spf, scope="mfrom")
    _add(spf, result=stream.spf)
