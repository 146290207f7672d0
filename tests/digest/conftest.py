"""A mail server with a mailbox."""

from __future__ import annotations

from sources_mail.conftest import authority, new_dovecot  # noqa: F401  fixtures
