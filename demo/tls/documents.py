"""A report as the JSON that its sender would write (RFC 8460, section 4), with that kind of sender's habits.

The habits are those of facts seen in the wild: Microsoft's times have no zone and its TLSA policy is a JSON array in a
string; Postfix names no policy domain where there was no policy, and copies the whole EHLO answer; Stalwart writes null
for what it does not know and ends the day at the next midnight; mox writes empty strings.
"""

import json
from datetime import timedelta

from demo.senders import Style
from demo.tls.reports import FailureDetail, PolicyResult, Report


def report_id(report: Report) -> str:
    """The report-id, formed as the sender forms it."""
    day, domain = report.day, report.domain
    match report.sender.style:
        case Style.GOOGLE:
            return f"{day}T00:00:00Z_{domain}"
        case Style.MICROSOFT:
            return f"{day.toordinal() * 4099}+{domain}"
        case Style.REPORTER:  # the same from every sender that runs it
            return f"{day}T00:00:00Z_idx1_{domain}"
        case Style.MOX:
            return f"{day:%Y%m%d}.{domain}@{report.sender.domain}"
        case Style.STALWART:
            return f"{day.toordinal() * 86_400}_{domain}"


def document(report: Report) -> bytes:
    """The report as JSON."""
    style = report.sender.style
    start, end = f"{report.day}T00:00:00Z", f"{report.day}T23:59:59Z"
    if style is Style.MICROSOFT:
        start, end = start.rstrip("Z"), end.rstrip("Z")
    if style is Style.STALWART:
        end = f"{report.day + timedelta(days=1)}T00:00:00Z"
    content: dict[str, object] = {
        "organization-name": report.sender.organization,
        "date-range": {"start-datetime": start, "end-datetime": end},
        "contact-info": report.sender.contact,
        "report-id": report_id(report),
        "policies": [_policy_result(result, style) for result in report.policies],
    }
    if style is Style.REPORTER:
        content["report-id"] = content.pop("report-id")
    return json.dumps(content, indent=2 if style is Style.REPORTER else None).encode()


def _policy_result(result: PolicyResult, style: Style) -> dict[str, object]:
    policy: dict[str, object] = {"policy-type": result.policy_type}
    if result.policy_strings:
        strings = list(result.policy_strings)
        as_array = style is Style.MICROSOFT and result.policy_type == "tlsa"
        policy["policy-string"] = [json.dumps(strings)] if as_array else strings
    if not (style is Style.REPORTER and result.policy_type == "no-policy-found"):
        policy["policy-domain"] = result.policy_domain
    if style is not Style.MICROSOFT and result.mx_hosts:
        policy["mx-host"] = list(result.mx_hosts)
    content: dict[str, object] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": result.successful,
            "total-failure-session-count": result.failed,
        },
    }
    if result.failures:
        content["failure-details"] = [_failure_detail(failure, style) for failure in result.failures]
    elif style is Style.STALWART:
        content["failure-details"] = None
    return content


def _failure_detail(failure: FailureDetail, style: Style) -> dict[str, object]:
    detail: dict[str, object] = {
        "result-type": failure.result_type,
        "sending-mta-ip": failure.sending_ip,
        "receiving-mx-hostname": failure.mx,
        "receiving-ip": failure.receiving_ip,
        "failed-session-count": failure.sessions,
        "failure-reason-code": failure.reason_code,
    }
    if style is Style.REPORTER and failure.mx:
        detail["receiving-mx-helo"] = f"{failure.mx}\nPIPELINING\nSIZE 52428800\nSTARTTLS\n8BITMIME"
    if style is Style.MOX:
        return detail
    if style is Style.STALWART:
        return {key: value or None for key, value in detail.items()}
    return {key: value for key, value in detail.items() if value != ""}
