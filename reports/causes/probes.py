"""What our own probes can find."""

from __future__ import annotations

from typing import Final

from reports.causes.cause import About, Cause, Severity

FROM_PROBES: Final = (
    Cause(
        "mx-not-covered",
        Severity.CRITICAL,
        "An MX is not in the MTA-STS policy",
        "The MTA-STS policy that is served does not name an MX of the domain. In mode enforce mail to that "
        "server is refused, now; in mode testing it is delivered and reported.",
        "Add the host to the policy, or take it out of DNS: `mailposture policy example.com` leads through "
        "the change; `dig +short MX example.com` lists the hosts.",
    ),
    Cause(
        "mx-certificate-invalid",
        Severity.CRITICAL,
        "A mail server shows a certificate that senders refuse",
        "Our probe is shown a certificate that is expired, not trusted or for another name. Senders that enforce the "
        "domain's MTA-STS policy do not deliver, and return the mail after some days; others deliver.",
        "`mailposture check example.com` says what is wrong with it. Renew or install the full chain, reload "
        "the mail server, and check every address of the host.",
        About.SERVER,
    ),
    Cause(
        "mx-certificate-expiring",
        Severity.WARNING,
        "A certificate expires soon",
        "The certificate of a mail server expires sooner than the domain's threshold (thresholds.certificate_expiry): "
        "it should have been renewed automatically by now.",
        "Check why it was not renewed (`certbot certificates`), or whether the server has not read the new file: "
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com </dev/null | "
        "openssl x509 -noout -enddate`.",
        About.SERVER,
    ),
    Cause(
        "mx-without-starttls",
        Severity.CRITICAL,
        "A mail server offers no STARTTLS to our probe",
        "The server answers on port 25 and offers no encryption. With MTA-STS in mode enforce, or DANE, mail waits at "
        "the sender and bounces after some days; otherwise it is sent in plaintext.",
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 </dev/null` from two networks: no "
        "STARTTLS from anywhere means that the server lost its TLS settings (`postconf "
        "smtpd_tls_security_level`).",
        About.SERVER,
    ),
    Cause(
        "mx-unreachable",
        Severity.WARNING,
        "A mail server does not answer on port 25",
        "Our probe cannot connect to the server, at one of its addresses or all, while it can reach others by"
        " port 25. Senders try other MX hosts and again later; without any they return the mail after some "
        "days.",
        "`nc -vz mx1.example.com 25` from outside. Is the host up, does the mail server listen, does a "
        "firewall drop it? `mailposture check example.com` tries each address.",
        About.SERVER,
    ),
    Cause(
        "mx-tlsa-mismatch",
        Severity.CRITICAL,
        "TLSA records do not name the certificate",
        "None of the server's TLSA records matches the certificate that our probe is shown: senders that check DANE "
        "do not deliver, and return the mail after some days.",
        "Most often the certificate was renewed with a new key: publish its record, which `mailposture check "
        "example.com` prints, or go back to the old key.",
        About.SERVER,
    ),
    Cause(
        "mx-failing",
        Severity.WARNING,
        "A mail server fails our probe",
        "The server answers on port 25, and then something goes wrong: it refuses the greeting or STARTTLS, "
        "is too slow, or the TLS handshake fails. Senders may meet the same.",
        "`mailposture check example.com` says what happens at which address. Then look in the log of the mail server "
        "at the time of the probe.",
        About.SERVER,
    ),
    Cause(
        "policy-unfetchable",
        Severity.WARNING,
        "The MTA-STS policy cannot be fetched",
        "Our probe cannot fetch or read the policy, and senders cannot either. Those that have a cached copy use it "
        "until its max_age is over; the others deliver without protection.",
        "`mailposture check example.com` says where it breaks; by hand: `curl -i "
        "https://mta-sts.example.com/.well-known/mta-sts.txt`.",
    ),
    Cause(
        "policy-not-as-configured",
        Severity.WARNING,
        "The MTA-STS policy is not the configured one",
        "The policy that is served, or the id in the _mta-sts record, is not that of the configuration: senders with "
        "a cached copy do not notice the change.",
        "`mailposture policy example.com` says the next step; `mailposture records example.com` prints the "
        "record with the id of the configured policy.",
    ),
    Cause(
        "policy-max-age-small",
        Severity.INFO,
        "Senders forget the MTA-STS policy within a week",
        "The enforced policy has a max_age of less than a week. An attacker who keeps a sender from fetching "
        "it for that long can read the mail afterwards.",
        "RFC 8461 advises weeks: raise `mta_sts.max_age` in the configuration; `mailposture policy "
        "example.com` leads through the change.",
    ),
    Cause(
        "mx-null",
        Severity.CRITICAL,
        "A null MX: senders return all mail",
        "The MX record says that the domain accepts no mail (RFC 7505), and its configuration does not: senders do "
        "not deliver, and return mail to it at once.",
        "`dig +short MX example.com` shows `0 .`: publish the MX hosts again. If the domain is to receive no mail, "
        "write `parked: true` into its configuration.",
    ),
    Cause(
        "record-wrong",
        Severity.WARNING,
        "A DNS record is missing or wrong",
        "Our probe finds a record that the domain's mail security needs (MX, TLS-RPT, MTA-STS, SPF, DMARC) "
        "missing, or not as it must be.",
        "`mailposture check example.com` says what is wrong, and prints the line to publish; `mailposture "
        "records example.com` prints all of them.",
        About.RECORD,
    ),
    Cause(
        "parked-unprotected",
        Severity.WARNING,
        "A parked domain is not protected as it should be",
        "Our probe finds that a record by which a domain without mail is protected is missing, or weaker than it "
        "should be: others can send in its name and have their mail delivered, or mail for it is taken. Where only "
        "the empty DKIM key is missing, or an MTA-STS record is left over, it is for information: nothing is open.",
        "`mailposture check example.com` says in words what weakens it, and prints the line to publish; `mailposture "
        "records example.com` prints all of them.",
        About.RECORD,
    ),
    Cause(
        "parked-not-marked",
        Severity.INFO,
        "The records say parked, the configuration does not",
        "The domain has a null MX and `v=spf1 -all`: it takes and sends no mail. Its configuration expects reports and "
        "mail servers all the same, and mail in its name that fails may be taken for its own.",
        "Write `parked: true` into its configuration (docs/parked.md), or publish MX and SPF records for its mail.",
    ),
    Cause(
        "dns-unanswered",
        Severity.WARNING,
        "No nameserver answers about the domain",
        "Nobody answers our probe's query for the MX record: either the nameservers of the domain fail, and its mail "
        "with them, or the resolver that the exporter asks does; then every domain is affected.",
        "`dig +short NS example.com`, then ask each of them: `dig MX example.com @NAMESERVER`. If all answer,"
        " look at the resolver of the exporter (`probes.nameservers`).",
    ),
)
