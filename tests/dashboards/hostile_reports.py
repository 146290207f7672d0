"""Reports with names that are meant for SQL, shells, templates and browsers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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
