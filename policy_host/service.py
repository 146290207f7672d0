"""The policy host as a service: two listeners, a configuration read again on SIGHUP, certificates that renew."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING

import structlog
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mailposture.config.domains import PolicyMode
from mailposture.net.certificate_files import CertificateError
from mailposture.problems import ConfigError
from policy_host.certificates import Certificates
from policy_host.listeners import internal_listener, public_listener
from policy_host.metrics import Metrics
from policy_host.policies import hosted_policies
from policy_host.site import PolicySite
from reports.configuration import load_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mailposture.config.model import Config, Listen
    from policy_host.policies import HostedPolicy

log = structlog.get_logger()

CERTIFICATE_CHECK = 10.0  # seconds between looks at the certificate files


class PolicyHost:
    """Start with `start()`; `reload()` applies the configuration file again; `stop()` ends it."""

    def __init__(self, *, config_path: Path) -> None:
        """Read the configuration; raises ConfigError or CertificateError where it cannot be used."""
        self._config_path = config_path
        self._config = load_config(config_path)
        self._metrics = Metrics()
        self._site = PolicySite(policies=hosted_policies(self._config), requests=self._metrics.requests)
        tls = self._config.policy_host.tls
        self.certificates = Certificates(files=tls) if tls else None
        self._metrics.observe(self._site, self.certificates)
        self._public = public_listener(self._site.answer, self.certificates)
        self._internal = internal_listener(self._answer_internal)
        self._note_success()

    @property
    def policies(self) -> Mapping[str, HostedPolicy]:
        """What is served now, by policy host."""
        return self._site.policies

    async def start(self) -> None:
        """Listen; raises ProblemError if an address cannot be had."""
        section = self._config.policy_host
        await self._public.open(section.listen, key="policy_host.listen")
        await self._internal.open(section.metrics, key="policy_host.metrics")
        log.info(
            "policy host ready",
            policies=len(self._site.policies),
            listen=str(section.listen),
            tls=self.certificates is not None,
            metrics=str(section.metrics),
        )

    async def stop(self) -> None:
        """Close the listeners and all connections."""
        await self._public.close()
        await self._internal.close()

    def reload(self) -> None:
        """Apply the configuration file as it is now. An invalid file changes nothing, and is logged."""
        try:
            config = load_config(self._config_path)
            if self.certificates and config.policy_host.tls:
                self.certificates.use(config.policy_host.tls)
        except (ConfigError, CertificateError) as error:
            self._metrics.reloads.note(usable=False, read_at=self._read_at)
            log.error("configuration refused; the one before stays in use", reason=str(error))
            return
        fixed = _needs_restart(self._config, config)
        if fixed:
            log.warning("restart to apply", keys=fixed)
        policies = hosted_policies(config)
        for host, policy in self._site.policies.items():
            if host not in policies and policy.mode is not PolicyMode.NONE:
                log.warning(
                    "policy dropped, but senders keep their cached copy",
                    policy_domain=policy.domain,
                    mode=policy.mode.value,
                    next_step=f"host mode none for {policy.max_age} seconds first (RFC 8461, section 8.3)",
                )
        self._config = config
        self._site.policies = policies
        self._note_success()
        log.info("configuration read again", policies=len(self._site.policies))

    async def watch_certificates(self) -> None:
        """Reload changed certificate files, until cancelled."""
        while self.certificates is not None:
            await asyncio.sleep(CERTIFICATE_CHECK)
            self.certificates.reload_changed()

    async def _answer_internal(self, request: web.BaseRequest) -> web.Response:
        """The internal listener: metrics, health, and which certificates Caddy may ask for."""
        match request.rel_url.raw_path:
            case "/metrics":
                return web.Response(
                    body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
                )
            case "/healthz":
                return web.Response(text=f"serving {len(self._site.policies)} policies\n")
            case "/ask":
                # Caddy's on_demand_tls: without this anybody could make us order certificates for any name.
                ours = request.query.get("domain", "").lower() in self._site.policies
                return web.Response(status=200 if ours else 404)
            case _:
                return web.Response(status=404, text="there are /metrics, /healthz and /ask\n")

    def _note_success(self) -> None:
        self._read_at = time.time()
        self._metrics.reloads.note(usable=True, read_at=self._read_at)


def _needs_restart(old: Config, new: Config) -> list[str]:
    """The keys whose change only a restart applies."""
    addresses: dict[str, tuple[Listen, Listen]] = {
        "policy_host.listen": (old.policy_host.listen, new.policy_host.listen),
        "policy_host.metrics": (old.policy_host.metrics, new.policy_host.metrics),
    }
    keys = [key for key, (before, after) in addresses.items() if before != after]
    if bool(old.policy_host.tls) != bool(new.policy_host.tls):
        keys.append("policy_host.tls")
    return keys


async def serve(config_path: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    host = PolicyHost(config_path=config_path)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, host.reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await host.start()
    watching = asyncio.create_task(host.watch_certificates())
    await ended.wait()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    await host.stop()


def run(config_path: Path) -> None:
    """Run the policy host in this process."""
    uvloop.run(serve(config_path))  # asyncio's own loop takes 280 KB for a connection with TLS
