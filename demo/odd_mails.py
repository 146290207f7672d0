"""Mails that reach every address where reports are mailed to sooner or later: forged, damaged, and not meant for it.

They show quarantine, rejections and duplicates on the demo's first screen. Nothing of them is counted.
"""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from demo.keys import SigningKey
from demo.mail import DemoMail, Fate
from demo.senders import SENDERS
from demo.tls.mails import attachment_mail, report_mail, text_mail
from demo.tls.reports import FailureDetail, PolicyResult, Report, reports

_NORTHWIND = SENDERS[0]
_BANNER = b"CAUTION: this mail comes from outside of our organization.\r\n\r\n"
_DMARC_REPORT = b"""<?xml version="1.0" encoding="UTF-8"?>
<feedback>
  <report_metadata><org_name>Northwind Mail (demo)</org_name><email>dmarc@northwind.example</email>
    <report_id>4711</report_id><date_range><begin>0</begin><end>86399</end></date_range></report_metadata>
  <policy_published><domain>news.example</domain><p>reject</p></policy_published>
</feedback>
"""


def odd_mails(today: date, keys: dict[str, SigningKey]) -> Iterator[DemoMail]:
    """A handful of mails that must not count."""
    key = keys[_NORTHWIND.domain]
    yesterday = [report for report in reports(today) if report.day == today - timedelta(days=1)]
    genuine = next(report for report in yesterday if report.sender is _NORTHWIND and report.domain == "shop.example")

    forged = _forged(today - timedelta(days=1))
    yield _to("bank.example", report_mail(forged, None), Fate.QUARANTINED, "forged: nobody signed this alarming report")
    with_banner = report_mail(genuine, key).replace(b"This is an aggregate", _BANNER + b"This is an aggregate")
    yield _to("shop.example", with_banner, Fate.QUARANTINED, "a mail gateway put a banner into it: the signature broke")

    yield _to("shop.example", report_mail(genuine, key), Fate.DUPLICATE, "the same report again")

    truncated = gzip.compress(_DMARC_REPORT * 20, mtime=0)[:-60]
    yield _to(
        "news.example",
        attachment_mail(
            _NORTHWIND,
            "news.example",
            key,
            name="report.json.gz",
            media_type="application/tlsrpt+gzip",
            content=truncated,
        ),
        Fate.REJECTED,
        "damaged: the compressed report ends in the middle",
    )
    yield _to(
        "news.example",
        attachment_mail(
            _NORTHWIND, "news.example", key, name="report.xml", media_type="application/xml", content=_DMARC_REPORT
        ),
        Fate.REJECTED,
        "a DMARC report whose clock stands at 1970",
    )
    foreign = replace(
        genuine,
        domain="other.example",
        policies=tuple(replace(each, policy_domain="other.example") for each in genuine.policies),
    )
    yield _to("travel.example", report_mail(foreign, key), Fate.REJECTED, "about a domain that is not ours")
    yield _to("library.example", text_mail(_NORTHWIND, "library.example", "Spring sale!", key), Fate.REJECTED, "spam")


def _to(domain: str, content: bytes, fate: Fate, note: str) -> DemoMail:
    return DemoMail(mail_from=_NORTHWIND.contact, recipient=f"tlsrpt@{domain}", content=content, fate=fate, note=note)


def _forged(day: date) -> Report:
    failure = FailureDetail(
        result_type="certificate-expired",
        reason_code="",
        sessions=250_000,
        sending_ip="198.18.200.66",
        mx="mx1.bank.example",
        receiving_ip="203.0.113.17",
    )
    result = PolicyResult(policy_type="sts", policy_domain="bank.example", successful=0, failures=(failure,))
    return Report(sender=_NORTHWIND, domain="bank.example", day=day, policies=(result,))
