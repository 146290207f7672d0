"""MTA-STS, the pure part: policies and the record that announces them (RFC 8461).

A domain that publishes an MTA-STS policy asks senders: deliver to me only over authenticated TLS, and only to these
MX hosts. The policy is a small text file at a fixed HTTPS address; a TXT record at `_mta-sts.<domain>` says that there
is one, and a new `id` makes senders with a cached copy fetch it again. Nothing here does I/O: what the policy
host renders and what a sender reads meet in `render()` and `read_policy()`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailposture.config.domains import PolicyMode
from mailposture.domain_names import normalize_pattern
from mailposture.quoting import quoted
from mailposture.records.version_record import read_only_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

POLICY_PATH = "/.well-known/mta-sts.txt"
LARGEST_POLICY = 64 * 1024  # bytes; what senders are advised to read at most (RFC 8461, section 3.3)
LONGEST_MAX_AGE = 31_557_600  # seconds, about a year (RFC 8461, section 3.2)
ADVISED_MAX_AGE = 7 * 86_400  # "the policy should be valid for weeks or more" (RFC 8461, section 3.2)

_VERSION = "STSv1"
_ONCE = ("version", "mode", "max_age")
_MOST_FAULTS = 20  # named at most; a hostile file could hold tens of thousands
# RFC 8461, section 3.2: sts-policy-ext-name; the known names have the same form.
_FIELD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_MAX_AGE = re.compile(r"[0-9]{1,10}")
_RECORD_VALUE = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")  # sts-ext-value (RFC 8461, section 3.1)
_RECORD_ID = re.compile(r"[A-Za-z0-9]{1,32}")


def policy_host_name(domain: str) -> str:
    """The host that senders fetch the policy of a domain from (RFC 8461, section 3.2)."""
    return f"mta-sts.{domain}"


def policy_url(domain: str) -> str:
    """The only address of the policy; senders follow no redirects away from it (RFC 8461, section 3.3)."""
    return f"https://{policy_host_name(domain)}{POLICY_PATH}"


def record_name(domain: str) -> str:
    """Where the TXT record that announces the policy lives (RFC 8461, section 3.1)."""
    return f"_mta-sts.{domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy, ours or anybody's; `mx` patterns are normalized, `max_age` is in seconds (RFC 8461, section 3.2)."""

    mode: PolicyMode
    mx: tuple[str, ...] = ()
    max_age: int

    def uncovered(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """The (normalized) MX hosts that the policy does not allow delivery to (RFC 8461, section 4.1)."""
        if self.mode is PolicyMode.NONE:
            return ()
        patterns = frozenset(self.mx)  # of thousands of patterns and hosts every pair would be compared otherwise
        return tuple(host for host in hosts if not covers(patterns, host))


def render(policy: Policy) -> bytes:
    """The policy file, byte for byte: one field per line, CRLF, in the order of RFC 8461's example (section 3.2)."""
    lines = [f"version: {_VERSION}", f"mode: {policy.mode}"]
    if policy.mode is not PolicyMode.NONE:
        lines += [f"mx: {pattern}" for pattern in policy.mx]
    lines.append(f"max_age: {policy.max_age}")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def policy_id(body: bytes) -> str:
    """The record's `id` for a policy: derived from its bytes, so it changes with every change and never without one.

    Ids have no order (RFC 8461, section 3.1), only equality: an earlier policy taken up again rightly gets its id back.
    """
    return hashlib.sha256(body).hexdigest()[:32]


def render_record(body: bytes) -> str:
    """The text of the `_mta-sts` record that announces a policy."""
    return f"v={_VERSION}; id={policy_id(body)};"


def covers(patterns: Collection[str], host: str) -> bool:
    """Whether a policy's `mx` patterns allow delivery to a (normalized) MX host (RFC 8461, section 4.1)."""
    return host in patterns or f"*.{host.partition('.')[2]}" in patterns


@dataclass(frozen=True, kw_only=True)
class PolicyReading:
    """What a sender makes of a policy file: a policy, or the faults for which it must refuse it.

    Remarks name what a sender tolerates and a publisher had better fix.
    """

    policy: Policy | None
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


def read_policy(body: bytes) -> PolicyReading:
    """Read a policy file as strictly as RFC 8461, section 3.2 allows a sender to."""
    if len(body) > LARGEST_POLICY:
        return PolicyReading(policy=None, faults=(f"is larger than {LARGEST_POLICY} bytes",), remarks=())
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return PolicyReading(policy=None, faults=(f"is not UTF-8 text (byte {error.start})",), remarks=())
    faults: list[str] = []
    remarks: list[str] = []
    values, mx = _fields(text, faults, remarks)
    mode, max_age = _required(values, faults)
    patterns = _patterns(mx, faults)
    if mode is not None and mode is not PolicyMode.NONE and not mx:
        faults.append(f"has no `mx`, which mode {mode} needs")
    if faults or mode is None or max_age is None:
        return PolicyReading(policy=None, faults=tuple(faults[:_MOST_FAULTS]), remarks=tuple(remarks[:_MOST_FAULTS]))
    if max_age < ADVISED_MAX_AGE and mode is PolicyMode.ENFORCE:
        remarks.append(f"max_age {max_age} is short: weeks are advised, else an attacker only has to wait")
    addresses = [pattern for pattern in patterns if pattern.rpartition(".")[2].isdigit()]
    if addresses:
        remarks.append(f"mx {addresses[0]} is an address, which no MX host is called: it allows nothing")
    policy = Policy(mode=mode, mx=patterns, max_age=max_age)
    return PolicyReading(policy=policy, faults=(), remarks=tuple(remarks[:_MOST_FAULTS]))


def _fields(text: str, faults: list[str], remarks: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split into fields: the first of duplicates counts, unknown names are ignored (RFC 8461, section 3.2)."""
    values: dict[str, str] = {}
    mx: list[str] = []
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            remarks.append(f"line {number} is empty, which RFC 8461 does not allow")
            continue
        name, colon, value = line.partition(":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            faults.append(f"line {number} is not `name: value`: {quoted(line)}")
        elif name == "mx":
            mx.append(value.strip(" \t"))
        elif name in values:
            remarks.append(f"line {number} repeats {name}; only the first counts")
        elif name in _ONCE:
            values[name] = value.strip(" \t")
        else:
            remarks.append(f"line {number} has the unknown name {name}, which senders ignore")
    if "\n" in text and "\r\n" not in text:
        remarks.append("lines end in LF; CRLF is what every sender reads")
    return values, mx


def _required(values: dict[str, str], faults: list[str]) -> tuple[PolicyMode | None, int | None]:
    """Check the three fields that every policy has; mode and max_age are None where they cannot be used."""
    faults += [f"has no `{name}`" for name in _ONCE if name not in values]
    if values.get("version", _VERSION) != _VERSION:
        faults.append(f"has version {quoted(values['version'])} instead of {_VERSION}")
    mode = next((mode for mode in PolicyMode if mode.value == values.get("mode")), None)
    if mode is None and "mode" in values:
        faults.append(f"has mode {quoted(values['mode'])}; the modes are enforce, testing, none (lower case)")
    text = values.get("max_age")
    if text is None:
        return mode, None
    if not _MAX_AGE.fullmatch(text) or int(text) > LONGEST_MAX_AGE:
        faults.append(f"has max_age {quoted(text)}; it must be whole seconds from 0 to {LONGEST_MAX_AGE}")
        return mode, None
    return mode, int(text)


def _patterns(mx: Sequence[str], faults: list[str]) -> tuple[str, ...]:
    """Normalize the `mx` patterns; U-labels, a bare `*` and wildcards elsewhere are faults (RFC 8461, section 3.2)."""
    patterns: dict[str, None] = {}
    for text in mx:
        # A final dot is no part of a name here (RFC 5321, section 4.1.2): senders would compare it, and match nothing.
        pattern = normalize_pattern(text) if text.isascii() and not text.endswith(".") else None
        if pattern is None:
            faults.append(f"has mx {quoted(text)}, which is neither a host name (A-labels) nor *. and a host name")
        else:
            patterns[pattern] = None
    return tuple(patterns)


@dataclass(frozen=True, kw_only=True)
class RecordReading:
    """What a sender makes of the TXT records at `_mta-sts`: an id, or the faults for which there is no MTA-STS."""

    id: str | None
    faults: tuple[str, ...]


def read_records(texts: Iterable[bytes]) -> RecordReading:
    """Read all TXT records at `_mta-sts.<domain>` (RFC 8461, section 3.1)."""
    fields = read_only_record(texts, version=_VERSION, value=_RECORD_VALUE)
    faults = list(fields.faults)
    record_id = fields.values.get("id")
    if record_id is None and not faults:
        faults.append("the record has no `id`")
    elif record_id is not None and not _RECORD_ID.fullmatch(record_id):
        faults.append(f"the record's id {quoted(record_id)} is not 1 to 32 letters and digits")
    return RecordReading(id=None if faults else record_id, faults=tuple(faults))
