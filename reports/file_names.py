"""The names of report files: `sender!policy-domain!begin!end[!unique-id].json[.gz]` (RFC 8460, section 5.1).

Those of DMARC reports are the same (RFC 7489, section 7.2.1.1); there the sender is called the receiver.
"""

from __future__ import annotations

from mailposture.domain_names import normalize


def policy_domain_of_file_name(name: str) -> str:
    """The policy domain in the name of a report file, or empty."""
    return _field(name, 1)


def sender_of_file_name(name: str) -> str:
    """Who reports, by the name of a report file, or empty."""
    return _field(name, 0)


def _field(name: str, number: int) -> str:
    if "!" not in name:
        return ""
    fields = name.rpartition("/")[2].split("!")
    return (normalize(fields[number]) or "") if len(fields) >= 4 else ""
