"""What needs attention, one entry per domain and cause, with what to do about it there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reports.causes import CAUSES, About, Severity
from reports.digest.digest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reports.attention import Needed

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")
_LONGEST: Final = 330  # characters of what to do
_SEVERITIES: Final = list(Severity)  # the worst first


def problems_of(
    needed: Iterable[Needed], *, actions: Mapping[tuple[str, str], str] | None = None
) -> tuple[Problem, ...]:
    """Rows of the view `attention` by domain, cause, severity and acknowledgement, the worst first.

    `actions`: by domain and source of mail, what to do, where that is known better than of the cause alone.
    """
    together: dict[tuple[object, ...], list[Needed]] = {}
    for each in needed:
        key = (each.policy_domain, each.kind, each.cause, each.severity, each.acknowledged_until)
        together.setdefault(key, []).append(each)
    found = [_problem(rows, actions or {}) for rows in together.values()]
    return tuple(sorted(found, key=_urgency))


def _problem(rows: list[Needed], actions: Mapping[tuple[str, str], str]) -> Problem:
    worst = max(rows, key=lambda each: each.affected)
    special = actions.get((worst.policy_domain, worst.subject), "") if _about(worst) is About.SOURCE else ""
    return Problem(
        policy_domain=worst.policy_domain,
        kind=worst.kind,
        cause=worst.cause,
        severity=worst.severity,
        title=worst.title,
        subjects=tuple(each.subject for each in rows if each.subject),
        since=min((each.since for each in rows if each.since), default=None),
        affected=sum(each.affected for each in rows),
        # Of the whole domain, but for sources of mail, which have numbers of their own.
        of=sum(each.of for each in rows) if _about(worst) is About.SOURCE else worst.of,
        detail=worst.detail,
        action=_beginning(special or _action(worst)),
        acknowledged_until=worst.acknowledged_until,
        acknowledged_because=worst.acknowledged_because,
    )


def _about(needed: Needed) -> About | None:
    cause = CAUSES.get(needed.cause)
    return cause.about if cause else None


def _action(needed: Needed) -> str:
    """What to do about a cause, in commands that name the domain and the server.

    People paste commands into a shell, so the name of a server, which may be anybody's, is put in only if it is a plain
    host name. Enough of it to begin: a mail is no manual.
    """
    cause = CAUSES.get(needed.cause)
    if cause is None:
        return ""
    is_server = cause.about is About.SERVER and _HOST_NAME.fullmatch(needed.subject)
    in_place = {
        "mx1.example.com": needed.subject if is_server else f"mx1.{needed.policy_domain}",
        "example.com": needed.policy_domain,
    }
    return re.sub(r"mx1\.example\.com|example\.com", lambda found: in_place[found[0]], cause.action)


def _beginning(text: str) -> str:
    """Whole sentences, at least one; none that names what is in a command (`a. b`) is cut within it."""
    sentences = re.split(r"(?<=[.?])\s+(?=[A-Z])", text)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept) + len(sentence) >= _LONGEST:
            break
        kept = f"{kept} {sentence}"
    return kept


def _urgency(problem: Problem) -> tuple[int, bool, float, str, str]:
    share = problem.affected / problem.of if problem.of else 0.0
    refused = problem.cause in ("mail-refused", "dmarc-own-failing")
    return _SEVERITIES.index(problem.severity), not refused, -share, problem.policy_domain, problem.cause
