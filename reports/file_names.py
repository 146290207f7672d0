"""The names of report files: `sender!policy-domain!begin!end[!unique-id].json[.gz]` (RFC 8460, section 5.1)."""

from __future__ import annotations

from mailposture.domain_names import normalize


def policy_domain_of_file_name(name: str) -> str:
    """The policy domain in the name of a report file, or empty."""
    if "!" not in name:
        return ""
    fields = name.rpartition("/")[2].split("!")
    return (normalize(fields[1]) or "") if len(fields) >= 4 else ""
