"""What `mailposture readiness` says about the DMARC policy, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from mailposture.quoting import printable
from reports.dmarc.readiness import Verdict

if TYPE_CHECKING:
    from reports.dmarc.readiness import DmarcReadiness, RefusedSource, Step

_COLOURS: Final = {Verdict.SAFE: "green", Verdict.NOT_YET: "red", Verdict.UNCLEAR: "yellow"}
_VERDICTS: Final = {
    Verdict.SAFE: "safe for p={step}",
    Verdict.NOT_YET: "not yet safe for p={step}",
    Verdict.UNCLEAR: "too little evidence to say that p={step} is safe",
}


def as_text(domain: str, readiness: DmarcReadiness) -> str:
    """The verdict on each next step and why, then what it would refuse."""
    lines: list[str] = []
    for step in (each for each in readiness.steps if each.is_next):
        verdict = _VERDICTS[step.verdict].format(step=f"… sp={step.step}" if step.scope == "subdomains" else step.step)
        name = {"domain": domain, "subdomains": f"subdomains of {domain}"}.get(step.scope, step.scope)
        shown = click.style(verdict, fg=_COLOURS[step.verdict])
        lines.append(f"{click.style(name, bold=True)}: DMARC: {shown} (now {_now(step)})")
        lines += [f"  - {printable(reason)}" for reason in step.reasons]
        if step.verdict is Verdict.SAFE:
            lines += [f"  {_publish(step)}"]
    refused = [source for source in readiness.sources if source.refused_messages]
    if refused:
        lines += ["", "What a stricter policy refuses, in messages of the last 30 report days:"]
        lines += [_source(source, source.refused_messages) for source in refused]
    waiting = [source for source in readiness.sources if source.waits]
    if waiting:
        lines += ["", "Unknown sources that come back; name them under `senders:`, or acknowledge them:"]
        lines += [_source(source, source.messages) for source in waiting]
        lines += [f"  mailposture acknowledge {domain} dmarc-unknown-source SOURCE --until DAY --because WHY"]
    if readiness.sources:
        lines += ["", f"`mailposture senders {domain} SOURCE` says why, what to do, and from which addresses."]
    return "\n".join(lines)


def _now(step: Step) -> str:
    return f"{step.policy}: {step.published}" if step.published else step.policy or "unknown"


def _publish(step: Step) -> str:
    tag = "sp" if step.scope == "subdomains" else "p"
    if step.policy == step.step:
        return f"{tag}={step.step} is published, and nothing speaks against it."
    if step.published:
        return f"{step.published} is published: take {step.published.partition('; ')[2]} out."
    return f"Publish {tag}={step.step} with t=y first: receivers report, and apply the step below; then take t=y out."


def _source(source: RefusedSource, messages: int) -> str:
    scope = "" if source.scope == "domain" else f"; {source.scope}"
    about = f"on {source.days} days, seen by {source.reporters}{scope}"
    return f"  {messages:>8}  {printable(source.source):<28}  {source.pile:<12}  {source.reason:<20}  {about}"
