"""The schema: what all kinds of reports share, a group of steps per kind, and the views over all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mailposture.clickhouse import thresholds
from mailposture.clickhouse.schema_steps import COMMON, Group
from reports.caption import caption
from reports.envelope import Source
from reports.kinds import KINDS

_WORDS: Final = {
    "caption": caption(),
    "sources_with_delay": ", ".join(f"'{source.value}'" for source in Source if source.comes_when_sent),
    # One name and one of these is one reporter: who is proven, in whatever way, or trusted for the same reason.
    "proof": "if(trust IN ('spf', 'authserv'), 'dkim', toString(trust))",
    # The last branches of a multiIf(): how long a reporter is known, by `first_accepted` and `last_accepted`.
    "standing_by_time": """toDate(last_accepted) - toDate(first_accepted) >= 28, 'established',
                toDate(last_accepted) > toDate(first_accepted)
                    AND last_accepted >= first_accepted + toIntervalHour(12), 'known',
                'newcomer'""",
    # And whether it counts, among all reporters in the window `of_domain`: the longest known decide.
    "counts_by_standing": """countIf(standing = 'established') OVER of_domain >= 3, standing = 'established',
                countIf(standing IN ('established', 'known')) OVER of_domain > 0, standing != 'newcomer',
                countIf(standing = 'newcomer') OVER of_domain > 1""",
    # The part of `today` that has passed, as a number.
    "elapsed_today": "assumeNotNull((SELECT dateDiff('second', toDateTime(today, 'UTC'), now) / 86400 "
    "FROM {views}.clock)) AS elapsed_today",
    # Of `all_days` with reports those of the eight weeks up to `last_report_day`, and all days of these weeks.
    "eight_weeks": """arrayFilter(each -> each > last_report_day - 56, all_days) AS lately,
            arrayMap(number -> lately[1] + number, range(last_report_day - lately[1] + 1)) AS span""",
    # Of the report days `lately` (up to `last_report_day`) and all days of their `span`: the share of each weekday that
    # has reports. One not seen yet counts half.
    "usual_weekdays": """arrayMap(
            weekday -> ifNotFinite(
                arrayCount(day -> toDayOfWeek(day) = weekday, lately)
                    / arrayCount(day -> toDayOfWeek(day) = weekday, span),
                0.5
            ),
            range(1, 8)
        )""",
    # How many days are missing since then, by what is `usual`; today counts by what has passed of it.
    "missed_days": """arraySum(
            number -> usual[toDayOfWeek(last_report_day + number)], range(1, greatest(today - last_report_day, 1))
        ) + if(last_report_day < today, usual[toDayOfWeek(today)] * elapsed_today, 0)""",
    "reports_are_missing": thresholds.too_old("missed_days * 86400"),
    "reports_are_late": thresholds.too_old("usual_delay"),
    # Of `mail`, sessions or messages.
    "too_little_mail": thresholds.too_little_mail("mail"),
    # Of one sender.
    "fails_too_often": thresholds.too_large_a_share("failed", "successful + failed"),
}
_OF_EVERY_REPORT: Final = (
    "day, report_key, policy_domains, reporter, reporter_proven, period_end, received_at, source, name, trust, warnings"
)
_WORDS_OF_ALL: Final = {
    **_WORDS,
    "enough": thresholds.enough("judged"),
    "too_large_a_share": thresholds.too_large_a_share("judged", "of"),
    "names_of_kinds": ", ".join(kind.name for kind in KINDS),
    "reports_of_all_kinds": "\n    UNION ALL\n    ".join(
        f"SELECT '{kind.name}' AS kind, {_OF_EVERY_REPORT} FROM {{tables}}.{kind.tables.report.name} FINAL"
        for kind in KINDS
    ),
}
SCHEMA_GROUPS: Final = (
    COMMON,
    *(Group(name=kind.name, folder=kind.schema, words={**_WORDS, **kind.words}) for kind in KINDS),
    Group(name="all", folder=Path(__file__).parent / "schema", words=_WORDS_OF_ALL),
)
