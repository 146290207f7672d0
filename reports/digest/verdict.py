"""The verdict in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reports.causes import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reports.digest.digest import Problem

_MOST: Final = 3  # domains that are named


def verdict(problems: Iterable[Problem], *, domains: Sequence[str], known: bool) -> str:
    """Whether to act, and where; `problems` are those that nobody has acknowledged, the worst first.

    `known`: reports came, or none are expected.
    """
    waiting = tuple(problems)
    urgent = _domains(waiting, Severity.CRITICAL)
    rest = [name for name in _domains(waiting, Severity.WARNING) if name not in urgent]
    if urgent:
        more = f"; {_number(len(rest), 'more domain')} can wait for this week" if rest else ""
        return f"Act now: mail is being lost or exposed at {named(urgent)}{more}."
    if rest:
        needs = "needs" if len(rest) == 1 else "need"
        return f"Nothing is urgent; {named(rest)} {needs} a look this week."
    if not known:
        return f"Nothing is known: no report about {named(domains)} covers this week."
    where = f" at all {len(domains):,} domains" if len(domains) > 1 else ""
    return f"All is well{where}: nothing needs attention."


def named(names: Sequence[str], most: int = _MOST) -> str:
    """The first few, and how many more."""
    shown, left = list(names[:most]), len(names) - most
    if left > 0:
        shown.append(f"{left:,} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _domains(problems: Iterable[Problem], severity: Severity) -> list[str]:
    return list(dict.fromkeys(each.policy_domain for each in problems if each.severity is severity))
