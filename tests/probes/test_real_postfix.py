"""The MX probe against a real Postfix: what its log says of us, and that nothing is in its queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from outside import MX, measured
from postfix import NEEDED, running_postfix

from exporter.probes.mx import probe_mx
from mailposture.checks.reason import Reason

if TYPE_CHECKING:
    from outside import World

pytestmark = [pytest.mark.slow, *NEEDED]


def tls(world: World, *names: str) -> dict[str, str]:
    """Settings for a certificate of our authority."""
    issued = world.authority.issue(names)
    return {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": f"{issued.key}, {issued.certificate}",
        "smtpd_tls_loglevel": "1",
    }


async def test_postfix_sees_a_greeting_tls_and_goodbye_and_gets_no_mail(world: World) -> None:
    with running_postfix(transports={}, settings=tls(world, MX)) as postfix:
        outcome = await probe_mx(world.domain, world.context(smtp_port=postfix.address[1]))
        assert (outcome.success, outcome.reason) == (True, None), outcome.findings
        await asyncio.to_thread(postfix.wait_for, "disconnect from")
        log = postfix.log()
    assert measured(outcome)[f"mx_server_tls_info {MX} TLSv1.3"] == 1
    assert "ehlo=1 starttls=1 quit=1 commands=3" in log
    assert "/cleanup[" not in log  # which takes mail in


async def test_postfix_whose_certificate_is_for_another_name_or_not_there(world: World) -> None:
    with running_postfix(transports={}, settings=tls(world, "mail.example.test")) as postfix:
        outcome = await probe_mx(world.domain, world.context(smtp_port=postfix.address[1]))
    assert outcome.reason is Reason.CERTIFICATE_HOST_MISMATCH
    assert outcome.findings[0].certificate_names == ("mail.example.test",)
    broken = {**tls(world, MX), "smtpd_tls_chain_files": "/nowhere.pem"}
    with running_postfix(transports={}, settings=broken) as postfix:
        outcome = await probe_mx(world.domain, world.context(smtp_port=postfix.address[1]))
    assert outcome.reason is Reason.TLS_FAILED
    assert outcome.findings[0].certificate_valid is None


async def test_postfix_that_turns_us_away_is_quoted(world: World) -> None:
    """That is no fault of its TLS, of which nothing is claimed."""
    closed = {**tls(world, MX), "smtpd_client_restrictions": "reject", "smtpd_delay_reject": "no"}
    with running_postfix(transports={}, settings=closed) as postfix:
        outcome = await probe_mx(world.domain, world.context(smtp_port=postfix.address[1]))
    (row,) = outcome.findings
    assert (row.reason, row.starttls_offered, row.certificate_valid) == (Reason.GREETING_REFUSED, None, None)
    assert "Client host rejected: Access denied" in row.detail
