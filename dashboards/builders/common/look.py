"""What things look like on every dashboard: one colour and one wording for each category, severity and mode."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common.grafana import Json, fixed, steps, words
from dashboards.builders.common.panels import UNKNOWN, Column
from reports.causes import Severity
from reports.tls.failures import Category

GOOD: Final = "green"
BAD: Final = "red"
SUCCESSFUL: Final = "#56A64B"
FAILED: Final = "#E0464F"

CATEGORIES: Final[dict[Category, tuple[str, str]]] = {
    Category.CERTIFICATE: ("Certificate", "#F2495C"),
    Category.STARTTLS_NOT_SUPPORTED: ("No STARTTLS", "#FF9830"),
    Category.MTA_STS_POLICY: ("MTA-STS policy", "#B877D9"),
    Category.DNS: ("DNS", "#5794F2"),
    Category.TIMEOUT: ("Time-out", "#FADE2A"),
    Category.SUSPECTED_DOWNGRADE: ("Suspected downgrade", "#FF4FA3"),
    Category.MTA_STS_NOT_APPLIED: ("MTA-STS not applied", "#E0A8D0"),
    Category.DANE: ("DANE", "#2BB8C4"),
    Category.OTHER: ("Other", "#9FA7B3"),
}
_FROM_REPORTS: Final = {
    "failure-ratio": ("Several causes", "#9FA7B3"),
    "mail-refused": ("Mail refused", "#E0464F"),
    "server-newly-failing": ("Server began to fail", "#FF9830"),
    "no-reports": ("No reports", "#9FA7B3"),
    "never-reported": ("No report that counts", "#9FA7B3"),
    "reports-late": ("Reports late", "#9FA7B3"),
}
_FROM_DMARC_REPORTS: Final = {
    "dmarc-own-failing": ("Own mail fails DMARC", "#E0464F"),
    "dmarc-forged-delivered": ("Forged mail delivered", "#FF9830"),
    "dmarc-forgery-surge": ("Forgery surge", "#FF9830"),
    "parked-forged-delivered": ("Parked: forged mail delivered", "#FF9830"),
    "parked-mail-authenticates": ("Parked: mail authenticates", "#E0464F"),
    "dmarc-policy-weakened": ("DMARC policy weaker", "#E55400"),
    "dmarc-no-reports": ("No DMARC reports", "#9FA7B3"),
    "dmarc-new-source": ("New source", "#5794F2"),
    "dmarc-unknown-source": ("Unknown source", "#9FA7B3"),
    "dmarc-policy-none-long": ("DMARC none for long", "#9FA7B3"),
}
_FROM_PROBES: Final = {
    "mx-not-covered": "MX not in policy",
    "mx-certificate-invalid": "MX certificate invalid",
    "mx-certificate-expiring": "MX certificate due",
    "mx-without-starttls": "MX without STARTTLS",
    "mx-unreachable": "MX unreachable",
    "mx-tlsa-mismatch": "TLSA mismatch",
    "mx-failing": "MX failing",
    "policy-unfetchable": "Policy unfetchable",
    "policy-not-as-configured": "Policy differs",
    "policy-max-age-small": "max_age small",
    "policy-testing-long": "Testing for long",
    "mx-null": "Null MX",
    "record-wrong": "DNS record wrong",
    "parked-unprotected": "Parked: record weak",
    "parked-not-marked": "Not marked as parked",
    "dns-unanswered": "DNS unanswered",
}
CAUSES: Final = _FROM_REPORTS | _FROM_DMARC_REPORTS | {cause: (name, "#E55400") for cause, name in _FROM_PROBES.items()}
"""Beside the categories: what only comparing reports, or our own probes find."""

CATEGORY_COLORS: Final = dict(CATEGORIES.values())
# Shades of the category that each belongs to.
RESULT_COLORS: Final = {
    "certificate-expired": "#F2495C",
    "certificate-host-mismatch": "#FF8A98",
    "certificate-not-trusted": "#B32D3E",
    "starttls-not-supported": "#FF9830",
    "sts-policy-fetch-error": "#B877D9",
    "sts-policy-invalid": "#D3A8EA",
    "sts-webpki-invalid": "#8A4FB0",
    "dnssec-invalid": "#5794F2",
    "tlsa-invalid": "#2BB8C4",
    "dane-required": "#7FD6DE",
    "validation-failure": "#FADE2A",
}

CATEGORY_WORDS: Final = words(
    {category.value: look for category, look in CATEGORIES.items()} | CAUSES | {"": ("-", UNKNOWN)}
)
SEVERITY_WORDS: Final = words(
    {
        Severity.CRITICAL.value: ("Critical", "red"),
        Severity.WARNING.value: ("Warning", "orange"),
        Severity.INFO.value: ("Info", "blue"),
    }
)
MODES: Final = {"enforce": "#56A64B", "testing": "#FF9830", "none": "#9FA7B3"}
MODE_WORDS: Final = words({mode: (mode, color) for mode, color in MODES.items()})
MODE_NUMBER: Final = "transform(sts_mode, ['none', 'testing', 'enforce'], [1, 2, 3], 0)"
"""SQL: a mode as a number, since text would be a label in a graph."""
MODE_NUMBER_WORDS: Final = words(
    {
        "3": ("enforce", MODES["enforce"]),
        "2": ("testing", MODES["testing"]),
        "1": ("none", MODES["none"]),
        "0": ("without", "#A8579B"),
    }
)
POLICY_TYPES: Final = {"MTA-STS": "#5794F2", "DANE": "#2BB8C4", "No policy": "#9FA7B3", "Other": "#B877D9"}
POLICY_TYPE_NAME: Final = (
    "transform(policy_type, ['sts', 'tlsa', 'no-policy-found'], ['MTA-STS', 'DANE', 'No policy'], 'Other')"
)

CATEGORY_NAME: Final = "transform({{}}, [{}], [{}], 'Other')".format(
    ", ".join(f"'{category.value}'" for category in CATEGORIES),
    ", ".join(f"'{name}'" for name, _ in CATEGORIES.values()),
)
"""SQL with a place for the column: how a category is called in a legend."""

PILES: Final = {
    "Authenticated": "#56A64B",
    "Forwarded": "#5794F2",
    "Ours, failing": "#E0464F",
    "Unknown, delivered": "#FF9830",
    "Unknown, blocked": "#9FA7B3",
}
"""Of mail in our name; what is unknown by what became of it, since forgeries that are blocked are no incident."""
DISPOSITIONS: Final = {
    "Ours, delivered": "#FFA6B0",
    "Ours, quarantined": "#E0464F",
    "Ours, rejected": "#9E1F2E",
    "Unknown, delivered": "#FF9830",
    "Unknown, quarantined": "#C8CDD4",
    "Unknown, rejected": "#8A919C",
}
"""Of messages that fail DMARC: shades of the pile that they are in."""
PILE_WORDS: Final = words(
    {
        "aligned": ("Authenticated", "#3F8A46"),
        "forwarded": ("Forwarded", "#3A6FBF"),
        "ours-failing": ("Ours, failing", "#C4343F"),
        "possibly-ours": ("Possibly ours", "#B47A1E"),
        "keeps-coming": ("Keeps coming", "#8A5A9E"),
        "unknown": ("Unknown", "#6E7582"),
    }
)
PILE_VERDICTS: Final = words(
    {
        "aligned": ("All good: authenticated", "#3F8A46"),
        "forwarded": ("Forwarded", "#3A6FBF"),
        "ours-failing": ("Ours, failing", "#C4343F"),
        "possibly-ours": ("Possibly ours", "#B47A1E"),
        "unknown": ("Unknown, perhaps forged", "#B47A1E"),
    }
)
DMARC_POLICIES: Final = {"reject": "#56A64B", "quarantine": "#5794F2", "none": "#FF9830"}
DMARC_POLICY_WORDS: Final = words({policy: (policy, color) for policy, color in DMARC_POLICIES.items()})
DMARC_POLICY_NUMBER: Final = "transform(toString(p), ['none', 'quarantine', 'reject'], [1, 2, 3], 0)"
"""SQL: a policy as a number, since text would be a label in a graph."""
DMARC_POLICY_NUMBER_WORDS: Final = words(
    {
        str(number): (policy, DMARC_POLICIES[policy])
        for policy, number in (("reject", 3), ("quarantine", 2), ("none", 1))
    }
)

NO_JUDGEMENT: Final = steps((None, "text"))
"""Of a rate: what is too low is for the domain's own threshold to say, so only what needs attention has colours."""
COLORED_TEXT: Final[Json] = {"type": "color-text"}
COLORED_CELL: Final[Json] = {"type": "color-background", "mode": "basic", "applyToRow": False}
BAR: Final[Json] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}


def day(name: str) -> Column:
    return Column(name=name, unit="time:YYYY-MM-DD", width=max(105, 8 * len(name) + 8))


def rate(name: str, *, width: int = 100) -> Column:
    """A success rate."""
    return Column(
        name=name,
        unit="percentunit",
        decimals=2,
        width=width,
    )


def failed(name: str = "Failed", *, width: int | None = 130) -> Column:
    """Failed sessions, as bars that compare the rows."""
    return Column(name=name, unit="locale", width=width, room=130, cell=BAR, color=fixed(FAILED), minimum=0)


def count(name: str, *, width: int = 95) -> Column:
    return Column(name=name, unit="locale", width=width)


def category(name: str = "Cause", *, width: int = 165, links: tuple[Json, ...] = ()) -> Column:
    return Column(name=name, width=width, cell=COLORED_TEXT, mappings=(CATEGORY_WORDS,), links=links)


def severity(name: str = "Severity") -> Column:
    return Column(name=name, width=85, cell=COLORED_CELL, mappings=(SEVERITY_WORDS,))


def hidden(name: str) -> Column:
    """Only for links."""
    return Column(name=name, hidden=True)
