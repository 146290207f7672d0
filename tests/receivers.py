"""Servers of ours for Alertmanager's receivers: webhooks, Slack's and PagerDuty's among them, and a mail server."""

from __future__ import annotations

import email.policy
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiosmtpd.smtp import SMTP, Envelope, Session
    from pki import CertificateAuthority

PROVISIONED = Path(__file__).parents[1] / "provisioning" / "alertmanager" / "alertmanager.yml"
MAIL_USER = "mailposture@example.com"
# What docker/secrets.sh leaves to be filled in; with a line end, as `echo` and editors write it, where every version of
# Alertmanager takes it away (0.25 does not for the mail server's password).
SECRETS = {
    "smtp_password": "the password of the mail server",
    "webhook_token": "token-of-the-webhook\n",
    "dead_mans_switch_token": "token-of-the-switch\n",
    "pagerduty_key": "0123456789abcdef0123456789abcdef\n",
    "pagerduty_key_web": "fedcba9876543210fedcba9876543210\n",
}


@dataclass(frozen=True, kw_only=True)
class Post:
    """What was sent to a web server."""

    path: str
    authorization: str | None
    content: Any


@dataclass(frozen=True, kw_only=True)
class Mail:
    """What a mail server accepted."""

    recipients: tuple[str, ...]
    encrypted: bool
    user: str  # who logged in with the right password
    message: EmailMessage


@dataclass(kw_only=True)
class Receivers:
    """Both servers, and what has come."""

    host: str
    web_port: int = 0
    mail_port: int = 0
    posts: list[Post] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)

    def posts_to(self, path: str) -> list[Post]:
        """What came to a path; for Slack, PagerDuty and each webhook another one."""
        return [post for post in self.posts if post.path == path]

    def fill_in(self, secrets: Path) -> None:
        """Write the secrets that name or prove who we are to these servers."""
        for name, text in {**SECRETS, "slack_url": f"http://{self.host}:{self.web_port}/slack\n"}.items():
            (secrets / name).write_text(text)

    def provisioned(self, **times: str) -> dict[str, Any]:
        """The provisioned configuration with these servers' addresses in it; `times` are the top route's."""
        config: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(PROVISIONED.read_text())))  # without aliases
        web = f"{self.host}:{self.web_port}"
        config["global"] |= {"smtp_smarthost": f"{self.host}:{self.mail_port}"}
        config["global"] |= {"pagerduty_url": f"http://{web}/pagerduty"}
        for receiver in config["receivers"]:
            for hook in receiver.get("webhook_configs", []):
                address = urlsplit(hook["url"])
                hook["url"] = f"http://{web}/{address.hostname}"
        for route in (config["route"], *config["route"]["routes"]):
            route.update(times)
        return config


@contextmanager
def listening_receivers(
    authority: CertificateAuthority, *, host: str = "localhost", listen: str = "127.0.0.1"
) -> Iterator[Receivers]:
    """Both servers, on `listen`, reached as `host`; the mail server insists on STARTTLS and on the password."""
    receivers = Receivers(host=host, mail_port=free_port())
    web = _web_server(receivers, listen)
    receivers.web_port = web.server_port
    mail = Controller(
        _MailHandler(receivers),
        hostname=listen,
        port=receivers.mail_port,
        tls_context=authority.issue([host]).server_context(),
        require_starttls=True,
        auth_required=True,
        auth_exclude_mechanism=["LOGIN"],  # aiosmtpd's asks in other words than Alertmanager, and mail servers, expect
        authenticator=_authenticate,
    )
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    mail.start()
    try:
        yield receivers
    finally:
        mail.stop()
        web.shutdown()
        thread.join()
        web.server_close()


def _web_server(receivers: Receivers, listen: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receivers.posts.append(
                Post(path=self.path, authorization=self.headers["Authorization"], content=content),
            )
            answer = {"/slack": b"ok", "/pagerduty": b'{"status": "success"}'}.get(self.path, b"")
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)  # Alertmanager 0.28 takes no other answer of Slack's for an acceptance

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer((listen, 0), Handler)


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: Any) -> AuthResult:
    right = LoginPassword(MAIL_USER.encode(), SECRETS["smtp_password"].encode())
    return AuthResult(success=login == right, handled=False, auth_data=MAIL_USER)


class _MailHandler:
    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self._receivers.mails.append(
            Mail(
                recipients=tuple(envelope.rcpt_tos),
                encrypted=session.ssl is not None,
                user=session.auth_data or "",
                message=message,
            )
        )
        return "250 OK"
