"""A digest in words, cut to what a mail may hold: text and HTML say the same, and only look different.

Everything here is text; what others have written in it (names of organizations, servers and sources) is one
line of printable characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.causes import Severity
from reports.digest.difference import difference
from reports.digest.links import Links
from reports.digest.verdict import named
from reports.kinds import counted
from reports.rates import percent
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from reports.digest.digest import Changes, Day, Digest, DomainWeek, Problem, Reporters

# A mail beyond 102 kB is cut off by Gmail.
_MOST_PROBLEMS: Final = 12
_MOST_NOTES: Final = 6
_MOST_CHANGES: Final = 8  # of each kind
_MOST_DOMAINS: Final = 15
_MOST_NAMES: Final = 4
_LONGEST: Final = 80  # characters of a name
_LONGEST_TEXT: Final = 700
_FAIR: Final = 0.995  # share from which a day is good
_PASSED: Final = {"tls": "too many sessions failed TLS", "dmarc": "too much own mail failed DMARC"}
_WHEN: Final = {Severity.CRITICAL: "Act now", Severity.WARNING: "This week", Severity.INFO: "When there is time"}


class Entry(NamedTuple):
    """Something that needs attention."""

    severity: Severity
    when: str
    domain: str
    title: str
    facts: str
    action: str
    link: str


class Line(NamedTuple):
    """A domain's week in figures."""

    domain: str
    severity: Severity | None  # of the worst that needs attention
    tls: str
    tls_trend: str
    tls_days: tuple[str, ...]
    own: str
    own_trend: str
    own_days: tuple[str, ...]
    blocked: str
    delivered: str  # forgeries; empty if none
    policy: str
    tls_link: str
    mail_link: str


class Group(NamedTuple):
    """Changes of one kind."""

    title: str
    lines: tuple[str, ...]
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is read, from top to bottom."""

    title: str
    subject: str
    week: str
    verdict: str
    tone: Severity | None  # None: all is well
    quiet: tuple[str, ...]  # all there is to say of a quiet week, beside the verdict; empty of any other
    problems: tuple[Entry, ...]
    more_problems: str
    notes: tuple[Entry, ...]
    more_notes: str
    acknowledged: str
    changes: tuple[Group, ...]
    nothing_changed: str
    lines: tuple[Line, ...]
    more_lines: str
    reporting: tuple[str, ...]
    link: str


def page(digest: Digest, *, grafana_url: str = "") -> Page:
    """`grafana_url`: where the dashboards are; without it there are no links."""
    links = Links(grafana_url, digest.week)
    tone = min((each.severity for each in digest.problems), key=list(Severity).index, default=None)
    waiting = len({each.policy_domain for each in digest.problems})
    state = f"{_count(waiting, 'domain')} {'needs' if waiting == 1 else 'need'} attention" if waiting else "all is well"
    about = f"{clean(digest.scope, _LONGEST)}: " if digest.scope else ""
    return Page(
        title=f"Mail security{f' of {clean(digest.scope, _LONGEST)}' if digest.scope else ''}",
        subject=f"Mail security, {digest.week.in_words}: {about}{state if digest.known or waiting else 'no reports'}",
        week=digest.week.in_words,
        verdict=digest.verdict,
        tone=tone,
        quiet=_quiet(digest) if digest.quiet else (),
        problems=tuple(_entry(each, links) for each in digest.problems[:_MOST_PROBLEMS]),
        more_problems=_left_out(len(digest.problems) - _MOST_PROBLEMS, "more that needs attention"),
        notes=tuple(_entry(each, links) for each in digest.notes[:_MOST_NOTES]),
        more_notes=_left_out(len(digest.notes) - _MOST_NOTES, "more for when there is time"),
        acknowledged=_acknowledged(digest.acknowledged),
        changes=tuple(group for group in _changes(digest.changes) if group.lines),
        nothing_changed="" if digest.changes else "Nothing, against the week before.",
        lines=tuple(_line(each, links) for each in digest.domains[:_MOST_DOMAINS]),
        more_lines=_left_out(len(digest.domains) - _MOST_DOMAINS, "more domains, all better than these"),
        reporting=tuple(
            sentence
            for what, unit, reporters in (
                ("TLS", "sessions", digest.tls_reporters),
                ("DMARC", "messages", digest.dmarc_reporters),
            )
            if reporters.active or reporters.stopped or not digest.parked
            for sentence in _reporting(what, unit, reporters)
        ),
        link=links.overview(),
    )


def _quiet(digest: Digest) -> tuple[str, ...]:
    """Three lines with the verdict: which domains, and their figures."""
    totals, names = digest.totals, sorted(each.policy_domain for each in digest.domains)
    figures = []
    if totals.sessions or not digest.parked:
        figures.append(f"{totals.sessions:,} sessions, {_rate(totals.sessions_with_tls, totals.sessions)} with TLS")
    if totals.own_messages:
        passed = _rate(totals.passed_messages, totals.own_messages)
        figures.append(f"{totals.own_messages:,} messages of yours, {passed} pass DMARC")
    if totals.forgeries_blocked:
        figures.append(f"{totals.forgeries_blocked:,} forgeries blocked")
    if not figures:
        figures.append(f"Nobody was seen to send in {'its name' if len(names) == 1 else 'their names'}")
    notes = [f"{each.policy_domain}: {each.title}" for each in digest.notes[:_MOST_NAMES]]
    decide = f" When there is time: {'; '.join(notes)}." if notes else ""
    what = "Parked domain" if digest.parked else "Domain"
    domains = f"{what}{'' if len(names) == 1 else 's'}: {named(names, 20)}."
    return (domains, f"{'; '.join(figures)}.{decide}")


def _entry(problem: Problem, links: Links) -> Entry:
    return Entry(
        severity=problem.severity,
        when=_WHEN[problem.severity],
        domain=problem.policy_domain,
        title=problem.title,
        facts=_facts(problem),
        action=clean(problem.action, _LONGEST_TEXT),
        link=links.of_problem(problem),
    )


def _facts(problem: Problem) -> str:
    facts = [
        _names(problem.subjects),
        f"{problem.affected:,} of {problem.of:,} {counted(problem.kind)}" if problem.of else "",
        f"since {_day(problem.since)}" if problem.since else "",
        clean(problem.detail, 200) if problem.kind == "outside" else "",
    ]
    return " · ".join(filter(None, facts))


def _acknowledged(problems: Sequence[Problem]) -> str:
    """One line."""
    if not problems:
        return ""
    shown = [
        f"{each.policy_domain}: {each.title} (until {_day(each.acknowledged_until)}: "
        f"{clean(each.acknowledged_because, _LONGEST)})"
        for each in problems[:_MOST_NAMES]
        if each.acknowledged_until
    ]
    left = len(problems) - len(shown)
    return f"Acknowledged, and not repeated here: {'; '.join(shown)}{f'; {left:,} more' if left else ''}."


def _changes(changes: Changes) -> Iterable[Group]:
    def about(problem: Problem) -> str:
        names = _names(problem.subjects)
        return f"{problem.policy_domain}: {problem.title}{f' ({names})' if names else ''}"

    yield Group("New", _bounded(changes.new, about), good=False)
    yield Group("Over", _bounded(changes.ended, about), good=True)
    yield Group(
        "Came and went",
        _bounded(
            changes.passing,
            lambda each: f"{each.policy_domain}: {_PASSED[each.kind]} on {named([_day(day) for day in each.days], 7)}",
        ),
        good=True,
    )
    ready = _bounded(changes.ready, lambda each: f"{each.policy_domain}: {each.step} is safe now")
    why = ("`mailposture readiness DOMAIN` says why, and what to publish.",) if ready else ()
    yield Group("Ready for a stricter policy", (*ready, *why), good=True)
    yield Group(
        "Modes and policies",
        _bounded(changes.turned, lambda each: f"{each.policy_domain}: {each.what} {each.before} → {each.after}"),
        good=False,
    )
    yield Group(
        "DNS records that changed",
        _bounded(
            changes.records,
            lambda each: (
                f"{each.policy_domain}: {clean(each.subject, _LONGEST) or each.record} on {_day(each.day)}: "
                f"{difference(each.before, each.after)}"
            ),
        ),
        good=False,
    )
    yield Group(
        "Certificates to renew before the next digest",
        _bounded(
            changes.certificates,
            lambda each: f"{clean(each.server, _LONGEST)} ({each.policy_domain}), until {_day(each.expires)}",
        ),
        good=False,
    )


def _bounded(items: Sequence[object], words: Callable[..., str]) -> tuple[str, ...]:
    left = len(items) - _MOST_CHANGES
    return (*map(words, items[:_MOST_CHANGES]), *((f"and {left:,} more",) if left > 0 else ()))


def _line(each: DomainWeek, links: Links) -> Line:
    tls, dmarc = each.tls, each.dmarc
    waits = [needed.severity for needed in tls.attention if needed.waits]
    without = "parked" if tls.parked else "no reports"
    return Line(
        domain=each.policy_domain,
        severity=min(waits, key=list(Severity).index, default=None),
        tls=without if tls.success_rate is None else percent(tls.success_rate),
        tls_trend=_trend(tls.trend),
        tls_days=tuple(map(_state, each.tls_days)),
        own="no reports" if dmarc is None else "no mail" if dmarc.pass_rate is None else percent(dmarc.pass_rate),
        own_trend="" if dmarc is None else _trend(dmarc.trend),
        own_days=tuple(map(_state, each.own_mail_days)),
        blocked="" if each.forgeries_blocked is None else f"{each.forgeries_blocked:,}",
        delivered=f"{dmarc.unknown_delivered:,}" if dmarc and dmarc.unknown_delivered else "",
        policy=dmarc.policy if dmarc else "",
        tls_link=links.domain(each.policy_domain),
        mail_link=links.mail_from(each.policy_domain),
    )


def _state(day: Day | None) -> str:
    """How a day was: none (no reports), good, fair (some failures) or bad (as bad as an alert)."""
    if day is None:
        return "none"
    return "bad" if day.bad else "good" if day.share >= _FAIR else "fair"


def _trend(change: float | None) -> str:
    """In percentage points; empty where nothing has changed, or is known."""
    return "" if change is None or abs(change) < 0.00005 else f"{change * 100:+.2f}"


def _reporting(what: str, unit: str, reporters: Reporters) -> Iterable[str]:
    if reporters.active:
        largest = ", ".join(f"{clean(each.name, _LONGEST)} {each.amount:,}" for each in reporters.active[:_MOST_NAMES])
        more = len(reporters.active) - _MOST_NAMES
        yield (
            f"{what}: {_count(len(reporters.active), 'organization')} reported, most {unit} by {largest}"
            f"{f', {more:,} more' if more > 0 else ''}."
        )
    else:
        yield f"{what}: nobody reported."
    if reporters.stopped:
        names = [f"{clean(each.name, _LONGEST)} (last {_day(each.last_day)})" for each in reporters.stopped]
        yield f"{what}, stopped reporting: {named(names, _MOST_NAMES)}."


def _names(names: Sequence[str]) -> str:
    return named([clean(each, _LONGEST) for each in names], _MOST_NAMES) if names else ""


def _day(day: date | None) -> str:
    return f"{day.day} {day:%b}" if day else ""


def _rate(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "nothing"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _left_out(number: int, what: str) -> str:
    return f"And {number:,} {what}: `mailposture summary --days 7`." if number > 0 else ""
