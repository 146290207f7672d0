"""The categories of failures in TLS reports, which are causes too: whom to call and where to look."""

from __future__ import annotations

from typing import Final

from reports.causes.cause import About, Cause, Severity

FAILURE_CATEGORIES: Final = (
    Cause(
        "certificate",
        Severity.CRITICAL,
        "Certificate expired or invalid",
        "Senders reject the certificate of a mail server: expired, for another name, or not trusted. With MTA-STS in "
        "mode enforce senders try your other MX hosts, else mail waits and bounces after some days; otherwise it is "
        "delivered and reported.",
        "See the certificate as a sender does: `openssl s_client -starttls smtp -connect mx1.example.com:25 "
        "-servername mx1.example.com -verify_hostname mx1.example.com -verify_return_error </dev/null`. Renew or "
        "install the full chain, reload the mail server, and check every MX host and address: `mailposture check "
        "example.com`.",
        About.SERVER,
    ),
    Cause(
        "starttls-not-supported",
        Severity.CRITICAL,
        "No encryption offered",
        "Senders connected to a mail server and were not offered STARTTLS. With MTA-STS in mode enforce, or DANE, "
        "mail waits and bounces after some days; otherwise it was sent in plaintext.",
        "Look at one MX after the other: `openssl s_client -starttls smtp -connect mx1.example.com:25 </dev/null`. "
        "All senders report it: the server lost its TLS settings (`postconf smtpd_tls_security_level`, then the mail "
        "log). Only one sender or network reports it: something on the path may remove STARTTLS; `mailposture explain "
        "suspected-downgrade`.",
        About.SERVER,
    ),
    Cause(
        "mta-sts-policy",
        Severity.WARNING,
        "MTA-STS policy violation",
        "Senders could not fetch, read or fulfil the domain's MTA-STS policy. While the file cannot be fetched or "
        "read mail is delivered, without protection once senders' cached copies expire. When an MX is missing in a "
        "policy in mode enforce, mail to it is refused: that is an emergency.",
        "`mailposture check example.com` fetches the policy as senders do and compares it with the MX records. By "
        "hand: `curl -i https://mta-sts.example.com/.well-known/mta-sts.txt`, `dig +short TXT _mta-sts.example.com`, "
        "`dig +short MX example.com`.",
        About.SERVER,
    ),
    Cause(
        "dns",
        Severity.WARNING,
        "DNS resolution error",
        "Senders could not look up the domain, an MX host or the policy host, or could not validate the answer with "
        "DNSSEC. Mail waits at these senders and bounces after some days if DNS does not come back.",
        "Ask from outside: `dig +dnssec MX example.com @9.9.9.9` and `dig A mx1.example.com @9.9.9.9`. SERVFAIL that "
        "becomes an answer with `+cd` is broken DNSSEC (`delv example.com MX`). No answer at all: ask each name "
        "server of `dig +short NS example.com` directly. Only one sender reports it: it may be the sender's resolver.",
        About.SERVER,
    ),
    Cause(
        "timeout",
        Severity.WARNING,
        "Connection timed out or was cut",
        "The server, or something in front of it, did not answer in time or hung up in the middle of the TLS "
        "handshake. Senders try again, so mail is late rather than lost, unless it goes on for days.",
        "Time it from outside: `time openssl s_client -starttls smtp -connect mx1.example.com:25 </dev/null`. Look at "
        "the load, at the process limit (`postconf default_process_limit smtpd_client_connection_count_limit`), at "
        "slow DNS or greeting delays, and at firewalls that drop large packets (`ping -M do -s 1472 mx1.example.com` "
        "gets no answer, a smaller one does).",
        About.SERVER,
    ),
    Cause(
        "suspected-downgrade",
        Severity.CRITICAL,
        "Suspected downgrade of encryption",
        "A sender that used TLS with you in the past weeks now sees no STARTTLS, while others do. Something between "
        "you may be removing encryption, and its mail may have been sent in plaintext since (with mode enforce or "
        "DANE it waits). No report proves an attack: a misconfigured firewall or proxy at the sender looks the same.",
        "First rule out your own servers: `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername "
        "mx1.example.com </dev/null` from two networks outside, for each MX address. See the evidence: `mailposture "
        "sql \"SELECT * FROM tls_suspected_downgrades WHERE policy_domain = 'example.com'\"`. Then write to the "
        "sender's contact with day and sending addresses, and ask what its servers see. With the MTA-STS policy in "
        "mode enforce, such senders do not deliver in plaintext.",
        About.SENDER,
    ),
    Cause(
        "mta-sts-not-applied",
        Severity.WARNING,
        "MTA-STS policy no longer applied",
        "A sender that applied the domain's MTA-STS policy in mode enforce in the past weeks now sends without it. "
        "Its mail is probably still encrypted, but the sender no longer requires that. Either that sender has changed "
        "something, or somebody keeps it from the DNS record or the policy file, which is what an attacker does "
        "before removing encryption. No report proves which.",
        'See the evidence: `mailposture sql "SELECT * FROM mta_sts_suspected_downgrades WHERE policy_domain = '
        "'example.com'\"`. Rule out a fault of your own: `mailposture check example.com` from two networks outside, "
        "and a firewall or rate limit in front of the policy host. If the sender still applies the policy of your "
        "other domains, write to its contact, and ask what its servers get for `dig +short TXT _mta-sts.example.com` "
        "and `curl -i https://mta-sts.example.com/.well-known/mta-sts.txt`.",
        About.SENDER,
    ),
    Cause(
        "dane",
        Severity.CRITICAL,
        "DANE failure",
        "A TLSA record of an MX host does not match the server's certificate, or one is required and missing. Senders "
        "that check DANE queue the mail and return it after some days.",
        "`dig +dnssec _25._tcp.mx1.example.com TLSA`, then `openssl s_client -starttls smtp -connect "
        'mx1.example.com:25 -dane_tlsa_domain mx1.example.com -dane_tlsa_rrdata "RECORD DATA" </dev/null`. After a '
        "key change, publish the new record beside the old one. `mailposture check example.com` compares all MX "
        "hosts.",
        About.SERVER,
    ),
    Cause(
        "other",
        Severity.WARNING,
        "Another failure",
        "The sender says that TLS failed, and neither its result type nor its reason code is a known one. Whether "
        "mail waits depends on what the sender enforces (MTA-STS mode enforce or DANE: it waits).",
        'Read what the sender wrote: `mailposture sql "SELECT reporter, result_type, reason_code, '
        "additional_information, sum(failed_sessions) FROM tls_failure_details WHERE category = 'other' AND "
        "policy_domain = 'example.com' GROUP BY ALL\"`. Then test the server (`mailposture check example.com`) and "
        "search your mail server's log for the sending address.",
        About.SERVER,
    ),
)
