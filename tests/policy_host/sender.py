"""Runs a program of postfix-mta-sts-resolver as it is, except that it asks the DNS server of a test.

    python sender.py DNS_PORT query DOMAIN [KNOWN_ID]
    python sender.py DNS_PORT daemon -c FILE

Its HTTPS goes through the proxy that HTTPS_PROXY names and trusts what SSL_CERT_FILE names, as anywhere.
"""

from __future__ import annotations

import sys
from functools import partial

import aiodns
import aiohttp  # noqa: F401  looks at aiodns when it is imported, so before it is changed
from postfix_mta_sts_resolver import __main__ as query
from postfix_mta_sts_resolver import daemon

port, program = int(sys.argv.pop(1)), sys.argv.pop(1)
aiodns.DNSResolver = partial(aiodns.DNSResolver, nameservers=["127.0.0.1"], udp_port=port)
sys.exit({"query": query.main, "daemon": daemon.main}[program]())
