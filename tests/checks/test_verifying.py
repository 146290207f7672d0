"""Certificates are judged the same on every Python."""

from __future__ import annotations

import ssl

from mailposture.net.verifying import verifying_context


def test_chain_and_name_are_verified_as_senders_do() -> None:
    context = verifying_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
