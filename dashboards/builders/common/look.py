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
NO_REPORTS: Final = "no-reports"
"""Beside the categories: a domain that nobody reports about any more."""
PROBES: Final = "probes"
"""Beside the categories: our own probes find a fault, whether anybody reports it or not."""

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
    {category.value: look for category, look in CATEGORIES.items()}
    | {NO_REPORTS: ("No reports", "#9FA7B3"), PROBES: ("Our own probes", "#E55400"), "": ("-", UNKNOWN)}
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

SUCCESS_RATE: Final = steps((None, "red"), (0.95, "orange"), (0.99, "green"))
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
        cell=COLORED_TEXT,
        color={"mode": "thresholds"},
        thresholds=SUCCESS_RATE,
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
