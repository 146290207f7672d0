"""The demo's month of reports: who sent how much to whom, and what failed. The same for the same day, always."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from demo.domains import DOMAINS, DemoDomain
from demo.month import DAYS
from demo.senders import SENDERS, Sender, Style
from demo.tls.stories import (
    LOST_CONNECTION,
    POLICY_NOT_FOUND,
    Trouble,
    Visit,
    policy_file_is_missing,
    policy_is_kept_away,
    troubles,
)

_LOST_CONNECTIONS: Final = 0.0004  # of sessions
_WITHOUT_REMEMBERED_POLICY: Final = 0.3  # of the sessions while a policy file is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetail:
    """Sessions that failed in the same way."""

    result_type: str
    reason_code: str
    sessions: int
    sending_ip: str = ""
    mx: str = ""
    receiving_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """What became of the sessions under one policy (RFC 8460, section 4.4)."""

    policy_type: str
    policy_domain: str
    policy_strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()
    successful: int
    failures: tuple[FailureDetail, ...] = ()

    @property
    def failed(self) -> int:
        return sum(failure.sessions for failure in self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one sender says about one day; `domain` is whom it is mailed to."""

    sender: Sender
    domain: str
    day: date
    policies: tuple[PolicyResult, ...]


def reports(today: date) -> Iterator[Report]:
    """The reports about the 31 days before today (UTC), oldest day first."""
    for days_ago in range(DAYS, 0, -1):
        day = today - timedelta(days=days_ago)
        for sender in SENDERS:
            results = {domain.name: _Traffic(sender, domain, day, days_ago).policies() for domain in DOMAINS}
            results = {domain: policies for domain, policies in results.items() if policies}
            if sender.every_domain_in_one_report and results:
                every = tuple(policy for policies in results.values() for policy in policies)
                yield Report(sender=sender, domain=next(iter(results)), day=day, policies=every)
            else:
                for domain, policies in results.items():
                    yield Report(sender=sender, domain=domain, day=day, policies=policies)


class _Traffic:
    """The sessions of one sender to one domain on one day."""

    def __init__(self, sender: Sender, domain: DemoDomain, day: date, days_ago: int) -> None:
        self._sender = sender
        self._domain = domain
        self._day = day
        self._days_ago = days_ago
        self._chance = random.Random(f"mailposture demo {day} {sender.domain} {domain.name}")  # noqa: S311

    def policies(self) -> tuple[PolicyResult, ...]:
        """The results by policy; none if there was no mail.

        Senders that honour DANE and MTA-STS report the same sessions under both, except Postfix, where DANE goes first.
        """
        sessions = self._sessions()
        knows = self._sender.sts and not policy_is_kept_away(self._domain, self._sender, self._days_ago)
        mode = self._domain.sts_mode(self._days_ago) if knows else None
        results: list[PolicyResult] = []
        if self._sender.dane and self._domain.dane:
            results += self._under_dane(sessions)
        if mode and not (results and self._sender.style is Style.REPORTER):
            results += self._under_mta_sts(sessions, mode)
        if not results and sessions:
            results.append(self._result("no-policy-found", self._domain.name, sessions))
        return tuple(results)

    def _sessions(self) -> Counter[str]:
        """Sessions by MX host; a day's fraction of a session happens on some days."""
        weekday = self._day.weekday()
        rhythm = self._sender.rhythm[weekday] * (self._domain.weekend if weekday >= 5 else 1.0)
        expected = self._domain.sessions * self._sender.share * rhythm * self._chance.uniform(0.85, 1.15)
        sessions = int(expected + self._chance.random())
        hosts, shares = list(self._domain.mx), list(self._domain.mx.values())
        return Counter(self._chance.choices(hosts, shares, k=sessions))

    def _under_dane(self, sessions: Mapping[str, int]) -> list[PolicyResult]:
        """DANE is a matter of the MX host: one policy each, named after the host (RFC 8460, section 4.4)."""
        return [
            self._result("tlsa", mx, {mx: count}, strings=(f"3 1 1 {hashlib.sha256(mx.encode()).hexdigest().upper()}",))
            for mx, count in sorted(sessions.items())
        ]

    def _under_mta_sts(self, sessions: Counter[str], mode: str) -> list[PolicyResult]:
        without: Counter[str] = Counter()
        if policy_file_is_missing(self._domain, self._days_ago):
            without.update({mx: round(count * _WITHOUT_REMEMBERED_POLICY) for mx, count in sessions.items()})
        results = []
        known = sessions - without
        if known:
            strings = ("version: STSv1", f"mode: {mode}", *(f"mx: {mx}" for mx in self._domain.mx), "max_age: 604800")
            results.append(
                self._result("sts", self._domain.name, known, strings=strings, mx_hosts=tuple(self._domain.mx))
            )
        if without.total():
            failure = FailureDetail(
                result_type=POLICY_NOT_FOUND.result_type,
                reason_code=POLICY_NOT_FOUND.reason_code(self._sender.style),
                sessions=without.total(),
            )
            results.append(
                PolicyResult(
                    policy_type="no-policy-found", policy_domain=self._domain.name, successful=0, failures=(failure,)
                )
            )
        return results

    def _result(
        self,
        policy_type: str,
        policy_domain: str,
        sessions: Mapping[str, int],
        *,
        strings: tuple[str, ...] = (),
        mx_hosts: tuple[str, ...] = (),
    ) -> PolicyResult:
        failures = tuple(
            failure for mx, count in sorted(sessions.items()) for failure in self._failures(policy_type, mx, count)
        )
        failed = sum(failure.sessions for failure in failures)
        return PolicyResult(
            policy_type=policy_type,
            policy_domain=policy_domain,
            policy_strings=strings,
            mx_hosts=mx_hosts,
            successful=sum(sessions.values()) - failed,
            failures=failures,
        )

    def _failures(self, policy_type: str, mx: str, sessions: int) -> Iterator[FailureDetail]:
        visit = Visit(
            sender=self._sender,
            domain=self._domain,
            mx=mx,
            days_ago=self._days_ago,
            policy_type=policy_type,
        )
        remaining = sessions
        for trouble in troubles(visit):
            for network, reached in self._by_network(sessions).items():
                failed = min(remaining, round(reached * trouble.share))
                if failed and trouble.network in ("", network):
                    remaining -= failed
                    yield self._detail(trouble, mx, network, failed)
        lost = min(remaining, int(sessions * _LOST_CONNECTIONS + self._chance.random() * 0.9))
        if lost and self._domain.name != "library.example":
            yield self._detail(LOST_CONNECTION, mx, self._chance.choice(self._sender.networks), lost)

    def _by_network(self, sessions: int) -> dict[str, int]:
        """Sessions by the sender's networks, in equal shares; the first takes what is left over."""
        networks = self._sender.networks
        each = sessions // len(networks)
        return dict.fromkeys(networks, each) | {networks[0]: sessions - each * (len(networks) - 1)}

    def _detail(self, trouble: Trouble, mx: str, network: str, sessions: int) -> FailureDetail:
        return FailureDetail(
            result_type=trouble.result_type,
            reason_code=trouble.reason_code(self._sender.style),
            sessions=sessions,
            sending_ip=self._sender.sending_ip(network, self._chance),
            mx=mx,
            receiving_ip=self._domain.receiving_ip(mx),
        )
