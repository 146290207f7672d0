"""DMARC reports written for tests: a usual one, of which parts can be replaced."""

from __future__ import annotations

from reports.dmarc.decode import DmarcReport, read
from reports.document import Document

METADATA = (
    "<report_metadata><org_name>Receiver Example</org_name><email>dmarc@receiver.example</email>"
    "<report_id>id-1</report_id><date_range><begin>1772409600</begin><end>1772495999</end></date_range></report_metadata>"
)  # 2 March 2026
POLICY = (
    "<policy_published><domain>example.com</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><pct>100</pct>"
    "</policy_published>"
)
EVALUATED = "<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>"
ROW = f"<row><source_ip>192.0.2.1</source_ip><count>3</count>{EVALUATED}</row>"
IDENTIFIERS = "<identifiers><header_from>example.com</header_from></identifiers>"
AUTH = (
    "<auth_results><dkim><domain>example.com</domain><selector>s1</selector><result>pass</result></dkim>"
    "<spf><domain>bounce.example.net</domain><result>pass</result></spf></auth_results>"
)


def record(row: str = ROW, identifiers: str = IDENTIFIERS, auth: str = AUTH) -> str:
    return f"<record>{row}{identifiers}{auth}</record>"


def row(*, evaluated: str = EVALUATED, source_ip: str = "192.0.2.1", count: str = "3") -> str:
    return f"<row><source_ip>{source_ip}</source_ip><count>{count}</count>{evaluated}</row>"


def evaluated(*, dkim: str = "pass", spf: str = "fail", disposition: str = "none", reason: str = "") -> str:
    return (
        f"<policy_evaluated><disposition>{disposition}</disposition><dkim>{dkim}</dkim><spf>{spf}</spf>{reason}"
        "</policy_evaluated>"
    )


def feedback(
    *records: str, metadata: str = METADATA, policy: str = POLICY, root: str = "feedback", declared: str = ""
) -> bytes:
    """A report; without records it has the usual one."""
    text = f'<?xml version="1.0"{declared}?>\n<{root}>{metadata}{policy}{"".join(records) or record()}'
    return (text + f"</{root.partition(' ')[0]}>").encode()


def decoded(content: bytes) -> DmarcReport:
    return read(Document(kind="dmarc", content=content))
