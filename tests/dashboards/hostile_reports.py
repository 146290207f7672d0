"""Reports of both kinds with names that are meant for SQL, shells, templates and browsers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

HOSTILE_NAMES = (
    "it's \\' OR 1=1 --",
    'back\\slash"',
    "${domain} $__all {{template}}",
    "<img src=x onerror=alert(1)>",
    "not named",
)


def hostile_reports(day: date) -> Iterator[bytes]:
    """A report about the day from each hostile name."""
    for number, name in enumerate(HOSTILE_NAMES):
        detail = {
            "result-type": name,
            "sending-mta-ip": "198.18.0.1",
            "receiving-mx-hostname": f"-oProxyCommand=x;{name}",
            "failure-reason-code": name,
            "additional-information": name,
            "failed-session-count": 100 + number,
        }
        starttls = detail | {"result-type": "starttls-not-supported"}
        report = {
            "organization-name": name,
            "contact-info": f"{name} tls@sender-{number}.example",
            "report-id": name,
            "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
            "policies": [
                {
                    "policy": {"policy-type": name, "policy-domain": "shop.example", "policy-string": [name]},
                    "summary": {"total-successful-session-count": 10, "total-failure-session-count": 200},
                    "failure-details": [detail, starttls],
                }
            ],
        }
        yield json.dumps(report).encode()


def hostile_dmarc_reports(day: date) -> Iterator[bytes]:
    """The same about mail from the domain, in every field that is free text."""
    begin = int(datetime.combine(day, time(), UTC).timestamp())
    for number, name in enumerate(HOSTILE_NAMES):
        text = escape(name)
        yield f"""<?xml version="1.0"?>
<feedback>
  <report_metadata><org_name>{text}</org_name><email>{text} dmarc@sender-{number}.example</email>
    <report_id>{text}</report_id><date_range><begin>{begin}</begin><end>{begin + 86_399}</end></date_range>
    <error>{text}</error></report_metadata>
  <policy_published><domain>shop.example</domain><p>none</p><fo>{text}</fo></policy_published>
  <record>
    <row><source_ip>192.0.2.{number}</source_ip><count>{100 + number}</count>
      <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf>
        <reason><type>{text}</type><comment>{text}</comment></reason></policy_evaluated></row>
    <identifiers><header_from>{text}.shop.example</header_from></identifiers>
    <auth_results>
      <dkim><domain>{text}.example</domain><selector>{text}</selector><result>{text}</result>
        <human_result>{text}</human_result></dkim>
      <spf><domain>{text}</domain><scope>{text}</scope><result>{text}</result></spf>
    </auth_results>
  </record>
</feedback>
""".encode()
