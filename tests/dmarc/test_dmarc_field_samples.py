"""What real reporters send, a named sample each: who was seen with it, what is counted, and what is remarked on.

Totals are of records, messages, and messages that passed DMARC, SPF and DKIM, and that have no verdict.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from dmarc_samples import AUTH, IDENTIFIERS, METADATA, POLICY, decoded, evaluated, feedback, record, row

from collector.documents.message import open_message
from reports.dmarc.kind import DMARC
from reports.reading import read_reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.rows import Rows

BEGIN, END = 1772409600, 1772495999  # as in METADATA


class Totals(NamedTuple):
    records: int = 1
    messages: int = 3
    passed: int = 3
    spf: int = 0
    dkim: int = 3
    without_verdict: int = 0


class Sample(NamedTuple):
    content: bytes
    totals: Totals = Totals()
    remark: str = ""  # a pattern; empty: nothing is remarked on
    day: str = "2026-03-02"


def period(begin: object, end: object) -> str:
    return METADATA.replace(str(BEGIN), str(begin)).replace(str(END), str(end))


def verdicts(dkim: str, spf: str) -> bytes:
    return feedback(record(row(evaluated=evaluated(dkim=dkim, spf=spf))))


def results(*pairs: tuple[str, str], kind: str = "dkim") -> str:
    return "".join(f"<{kind}><domain>{name}</domain><result>{result}</result></{kind}>" for name, result in pairs)


def with_results(text: str) -> bytes:
    return feedback(record(auth=f"<auth_results>{text}</auth_results>"))


FAILS = Totals(passed=0, dkim=0)
NO_VERDICT = Totals(passed=0, dkim=0, without_verdict=3)
NO_ADDRESS = r"source_ip .* is not an IP address and was left out"
REPAIRED = "the XML was repaired"
BARE = f"<record>{row()}{IDENTIFIERS}</record>"
XSD = "http://www.w3.org/2001/XMLSchema"
ENVELOPE = "<identifiers><envelope_from>{}</envelope_from><header_from>{}</header_from></identifiers>"
SECOND = "</policy_published><policy_published><domain>other.example</domain><p>reject</p></policy_published>"

SAMPLES: dict[str, Sample] = {
    "Yahoo: no version, no envelope_from": Sample(feedback(BARE)),
    "Google: a version": Sample(feedback().replace(b"<report_metadata>", b"<version>1.0</version><report_metadata>")),
    "Mimecast: sp is empty": Sample(feedback(policy=POLICY.replace("<pct>", "<sp></sp><pct>"))),
    "Cisco ESA: no adkim, no aspf": Sample(feedback(policy=re.sub("<a(dkim|spf)>r</a(dkim|spf)>", "", POLICY))),
    "Google: several DKIM results, the first fails": Sample(
        with_results(results(("list.example", "fail"), ("example.com", "pass")))
    ),
    "gosecure.net: DKIM results without domain and result": Sample(with_results(results(("", ""), ("", "")))),
    "mox: several SPF results": Sample(with_results(results(("a.example", "fail"), ("b.example", "pass"), kind="spf"))),
    "globetax.com: verdict none": Sample(verdicts("none", "fail"), FAILS, "policy_evaluated.dkim 'none' is no pass"),
    "globetax.com: verdict softfail": Sample(verdicts("fail", "softfail"), FAILS, "'softfail' is no pass"),
    "DmarcAnalyzerApp: empty verdicts": Sample(verdicts("", ""), NO_VERDICT, "'' is no pass"),
    "uniqa.cz: verdict not.evaluated": Sample(verdicts("not.evaluated", "fail"), NO_VERDICT, "'not.evaluated' is no"),
    "AOL: verdict 15": Sample(verdicts("15", "15"), NO_VERDICT, "'15' is no pass"),
    "uniqa.cz: verdict Pass": Sample(verdicts("Pass", "fail")),
    "docomo: result hardfail": Sample(with_results(results(("example.com", "hardfail"), kind="spf"))),
    "inexio: result in free text": Sample(with_results(results(("example.com", "no key for signature")))),
    "AOL until 2017: no dkim and spf in policy_evaluated": Sample(
        feedback(record(row(evaluated="<policy_evaluated><disposition>none</disposition></policy_evaluated>"))),
        NO_VERDICT,
        "neither that they passed nor that they failed",
    ),
    "Stalwart: disposition pass without the namespace": Sample(
        feedback(record(row(evaluated=evaluated(disposition="pass"))))
    ),
    "KDDI: a reason of an empty type": Sample(
        feedback(record(row(evaluated=evaluated(reason="<reason><type></type><comment/></reason>"))))
    ),
    "KDDI: a reason of an unknown type": Sample(
        feedback(record(row(evaluated=evaluated(reason="<reason><type>arc</type></reason>"))))
    ),
    "Microsoft: the namespace of XMLSchema as prefixes": Sample(
        feedback(root=f'feedback xmlns:xsd="{XSD}" xmlns:xsi="{XSD}-instance"')
    ),
    "Microsoft: the namespace of XMLSchema by default": Sample(feedback(root=f'feedback xmlns="{XSD}"')),
    "GMX, web.de: the namespace of RFC 9990": Sample(
        feedback(root='feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"')
    ),
    "AOL: the namespace of dmarc.org with a prefix": Sample(
        re.sub(rb"<(/?)([a-z])", rb"<\1ns1:\2", feedback(root='feedback xmlns:ns1="http://dmarc.org/dmarc-xml/0.1"'))
    ),
    "CWRU, Sigmanet: no records": Sample(feedback(" "), Totals(0, 0, 0, 0, 0)),
    "wp.pl: a record with an empty row": Sample(
        feedback("<record><row></row></record>"), Totals(messages=0, passed=0, dkim=0), "count '' was read as 0"
    ),
    "OpenDMARC: no count": Sample(
        feedback(record(row().replace("<count>3</count>", ""))), Totals(messages=0, passed=0, dkim=0), "was read as 0"
    ),
    "OpenDMARC: count 7.0": Sample(
        feedback(record(row(count="7.0"))), Totals(messages=7, passed=7, dkim=7), "count '7.0' was read as 7"
    ),
    "OpenDMARC: a negative count": Sample(
        feedback(record(row(count="-5"))), Totals(messages=0, passed=0, dkim=0), "count '-5' was read as 0"
    ),
    "OpenDMARC: no address": Sample(feedback(record(row(source_ip="")))),
    "OpenDMARC: an address with a port": Sample(feedback(record(row(source_ip="192.0.2.1:25")))),
    "OpenDMARC: text for an address": Sample(feedback(record(row(source_ip="108r.static.example"))), remark=NO_ADDRESS),
    "163.com: .0 in the beginning of the period": Sample(feedback(metadata=period(f"{BEGIN}.0", END))),
    "126.com: .0 in the end of the period": Sample(feedback(metadata=period(BEGIN, f"{END}.0"))),
    "yeah.net: .0 in both": Sample(feedback(metadata=period(f"{BEGIN}.0", f"{END}.0"))),
    "zoho: a period of another time zone": Sample(feedback(metadata=period(BEGIN - 8 * 3600, END - 8 * 3600))),
    "GoDaddy: a period of 7 hours": Sample(feedback(metadata=period(BEGIN + 3600, BEGIN + 8 * 3600))),
    "KDDI: a period of an hour, late in the day": Sample(feedback(metadata=period(END - 3599, END))),
    "sealy.com.au: a period of 7 days": Sample(
        feedback(metadata=period(BEGIN - 3 * 86400, END + 3 * 86400)), remark=r"it is about 7\.0 days, all counted on"
    ),
    "Trustwave: a period of 201 days": Sample(
        feedback(metadata=period(BEGIN - 100 * 86400, END + 100 * 86400)), remark=r"it is about 201\.0 days"
    ),
    "many: envelope_from is empty": Sample(feedback(record(identifiers=ENVELOPE.format("", "example.com")))),
    "many: envelope_from is <>": Sample(feedback(record(identifiers=ENVELOPE.format("&lt;&gt;", "example.com")))),
    "many: header_from in capitals": Sample(feedback(record(identifiers=ENVELOPE.format("", "EXAMPLE.COM")))),
    "OpenDMARC: header_from is an address": Sample(
        feedback(record(identifiers=ENVELOPE.format("", "News &lt;news@example.com>")))
    ),
    "Microsoft 2015, .NET: a byte order mark": Sample(b"\xef\xbb\xbf" + feedback()),
    "Yahoo: BEL in a comment": Sample(
        feedback(record(row(evaluated=evaluated(reason="<reason><type>other</type><comment>\x07</comment></reason>")))),
        remark=REPAIRED,
    ),
    "Veeam: a bare ampersand": Sample(feedback(metadata=METADATA.replace("Receiver", "R & D")), remark=REPAIRED),
    "uwaterloo: an address in angle brackets": Sample(
        feedback(metadata=METADATA.replace("dmarc@receiver.example", "<dmarc@receiver.example>")), remark=REPAIRED
    ),
    "Mail::DMARC: Latin-1 in org_name": Sample(
        feedback(metadata=METADATA.replace("Receiver", "Empf\xe4nger"), declared=' encoding="UTF-8"')
        .decode()
        .encode("latin-1"),
        remark=REPAIRED,
    ),
    "sitnet: quotes within quotes in the declaration": Sample(
        feedback(declared=' encoding=""utf-8""'), remark=REPAIRED
    ),
    "IKEA: white space before the declaration": Sample(b"\r\n " + feedback(), remark=REPAIRED),
    "IKEA: a stray element of a schema": Sample(
        feedback().replace(b"<report_metadata>", b"<xs:schema a='b'><report_metadata>"), remark=REPAIRED
    ),
    "AOL: windows-1252": Sample(
        feedback(metadata=METADATA.replace("Receiver", "Empf\xe4nger \u20ac"), declared=' encoding="windows-1252"')
        .decode()
        .encode("cp1252")
    ),
    ".NET: UTF-16 declared over UTF-8": Sample(feedback(declared=' encoding="utf-16"'), remark=REPAIRED),
    "gateways: text after the end": Sample(feedback() + b"\r\n-- \r\nScanned", remark=REPAIRED),
    "gateways: NULs after the end": Sample(feedback() + bytes(64), remark=REPAIRED),
    "nobody yet: a long comment before the root": Sample(
        feedback().replace(b"<feedback>", b"<!--" + b" licence " * 2_000 + b"--><feedback>")
    ),
    "nobody yet: Record in capitals": Sample(
        feedback().replace(b"<record>", b"<Record>").replace(b"</record>", b"</Record>"),
        remark="read in spite of capitals: Record",
    ),
    "nobody yet: all in capitals": Sample(
        re.sub(rb"</?[a-z_]+>", lambda found: found[0].title(), feedback()), remark="read in spite of capitals: .*Row"
    ),
    "nobody yet: two policies": Sample(
        feedback(policy=POLICY.replace("</policy_published>", SECOND)),
        remark="only the first was read.*policy_published",
    ),
    "nobody yet: 101 DKIM results": Sample(
        with_results(results(("example.com", "fail")) * 101), remark="only the first 100 of dkim were read"
    ),
    "nobody yet: 101 SPF results": Sample(
        with_results(results(("example.com", "fail"), kind="spf") * 101), remark="only the first 100 of spf were read"
    ),
    "nobody yet: 21 reasons": Sample(
        feedback(record(row(evaluated=evaluated(reason="<reason><type>other</type></reason>" * 21)), auth=AUTH)),
        remark="only the first 20 of reason were read",
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_counted_and_what_is_odd_is_remarked_on(name: str, dmarc_rows: Callable[[bytes], Rows]) -> None:
    content, totals, remark, day = SAMPLES[name]
    rows = dmarc_rows(content)
    (records,) = rows.parts
    assert totals == Totals(
        records=len(records),
        messages=sum(each.messages for each in records),
        passed=sum(each.messages for each in records if each.passed),
        spf=sum(each.messages for each in records if each.spf_aligned),
        dkim=sum(each.messages for each in records if each.dkim_aligned),
        without_verdict=sum(each.messages for each in records if not each.evaluated),
    )
    report = rows.report
    assert (report.messages, report.passed_messages, report.day.isoformat()) == (totals.messages, totals.passed, day)
    assert {each.header_from for each in records} <= {"example.com", ""}
    warnings = decoded(content).warnings
    assert bool(warnings) is bool(remark), warnings
    assert re.search(remark, "\n".join(warnings))


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_known_as_a_report_and_is_one_report_with_itself(
    name: str, dmarc_rows: Callable[[bytes], Rows]
) -> None:
    content = SAMPLES[name].content
    ((kind, _),) = read_reports(open_message(content)).reports
    assert kind is DMARC
    assert DMARC.is_evident(content), "a mailbox would leave it where it is"
    assert dmarc_rows(content).report.report_key == dmarc_rows(content.replace(b"><", b">\n<")).report.report_key


def test_samples_are_different_reports_but_for_what_lies_around_them(dmarc_rows: Callable[[bytes], Rows]) -> None:
    """Of the same text in another encoding, or in other surroundings, there is one."""
    named: dict[int, list[str]] = {}
    for name, sample in SAMPLES.items():
        named.setdefault(dmarc_rows(sample.content).report.report_key, []).append(name)
    assert sorted(names for names in named.values() if len(names) > 1) == [
        [
            "Microsoft 2015, .NET: a byte order mark",
            "sitnet: quotes within quotes in the declaration",
            "IKEA: white space before the declaration",
            ".NET: UTF-16 declared over UTF-8",
            "gateways: text after the end",
            "gateways: NULs after the end",
            "nobody yet: a long comment before the root",
        ]
    ]
