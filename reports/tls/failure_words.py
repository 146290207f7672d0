"""The words for failures: what it means, how bad it is, what to do next.

Written for a person who was paged at night and has not read the RFCs. Every text stands alone, since a dashboard shows
one row. `mx1.example.com` and `example.com` stand for the receiving server and the policy domain of the failure.

What a failure does to mail depends on what the sender enforces: an MTA-STS policy in mode `enforce` (RFC 8461,
section 5) or DANE TLSA records (RFC 7672, section 2.2) make senders queue the mail and return it after some days; with
`testing`, or without a policy, they deliver anyway, without encryption if there is no other way.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Words(NamedTuple):
    """What we say about one term. Commands stand in backticks."""

    title: str
    explanation: str
    action: str


# RFC 8460, section 4.3: STARTTLS negotiation (4.3.1), policy failures of DANE and MTA-STS (4.3.2), general (4.3.3).
RESULT_TYPES: Final[dict[str, Words]] = {
    "starttls-not-supported": Words(
        "The server did not offer STARTTLS",
        "The sender connected to your mail server, and the server did not offer encryption. If the domain's MTA-STS "
        "policy is in mode enforce, or the server has TLSA records, the mail waits at the sender and bounces after "
        "some days. Otherwise it was delivered in plaintext.",
        "See what the server offers: `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername "
        "mx1.example.com </dev/null`. No STARTTLS from anywhere: the server lost its TLS settings; on Postfix look at "
        "`postconf smtpd_tls_security_level smtpd_tls_chain_files smtpd_tls_cert_file smtpd_tls_key_file` and the log "
        "for `no server certs`. STARTTLS is there and only some senders do not see it: look for a firewall that "
        "rewrites SMTP (the EHLO answer shows XXXX), for a policy that hides STARTTLS from some clients (`postconf "
        "smtpd_discard_ehlo_keyword_address_maps`), and treat it as a suspected downgrade until explained.",
    ),
    "certificate-host-mismatch": Words(
        "The certificate is for another host name",
        "The server showed a certificate that does not contain the name of the MX host. Senders that enforce MTA-STS "
        "try your other MX hosts, else queue the mail and return it after some days; in mode testing, or without a "
        "policy, it is delivered and only reported.",
        "List the names in the certificate: `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername "
        "mx1.example.com </dev/null | openssl x509 -noout -ext subjectAltName`, and compare with `dig +short MX "
        "example.com`. Either get a certificate that contains the MX name, or let the MX record name a host that the "
        "certificate contains. Check every address of the host; often one of several machines is outdated. Some "
        "senders also report this when the MX is missing in the policy: `mailposture check example.com` compares them.",
    ),
    "certificate-expired": Words(
        "The certificate has expired",
        "The server showed a certificate whose end date has passed. Senders that enforce MTA-STS try your other MX "
        "hosts, else queue the mail and return it after some days, so renewing soon loses nothing; in mode testing, "
        "or without a policy, mail is delivered and only reported. A sender with a wrong clock can also say this.",
        "Read the end date: `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com "
        "</dev/null | openssl x509 -noout -enddate`. If it has passed, renew (`certbot renew`) and reload the mail "
        "server (`postfix reload`). If the file is new but the server shows the old one, the reload after renewal is "
        "missing: compare with `postconf smtpd_tls_chain_files smtpd_tls_cert_file`. If it looks fine, try each "
        "address of the host: `dig +short mx1.example.com A mx1.example.com AAAA`.",
    ),
    "certificate-not-trusted": Words(
        "The certificate is not trusted",
        "The sender could not link the server's certificate to an authority that it trusts: self-signed, a private "
        "authority, or a missing intermediate certificate. Senders that enforce MTA-STS try your other MX hosts, else "
        "queue the mail and return it after some days; in mode testing, or without a policy, it is delivered and only "
        "reported.",
        "Look at the chain: `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com "
        "-verify_return_error -showcerts </dev/null`. `unable to get local issuer certificate` mostly means that the "
        "server sends only its own certificate: install the full chain (`fullchain.pem`, not `cert.pem`). Self-signed "
        "certificates work with DANE only, not with MTA-STS.",
    ),
    "validation-failure": Words(
        "TLS failed for another reason",
        "TLS failed in a way for which the standard has no result type; the reason code, if the sender gave one, says "
        "how. Whether mail waits or was delivered anyway depends on what the sender enforces (MTA-STS mode enforce or "
        "DANE: it waits).",
        'Read the reason codes of these failures (`mailposture sql "SELECT reporter, receiving_mx, reason_code, '
        "sum(failed_sessions) FROM tls_failure_details WHERE policy_domain = 'example.com' AND day >= today() - 7 "
        "GROUP BY ALL\"`) and ask about one: `mailposture explain 'THE CODE'`. Then try it: `openssl s_client "
        "-starttls smtp -connect mx1.example.com:25 -servername mx1.example.com </dev/null`. No reason code and you "
        "can connect: look at your mail server's log at that day for the sending address.",
    ),
    "tlsa-invalid": Words(
        "The TLSA record does not match the certificate",
        "The DANE record of the MX host is unusable, or does not match the certificate that the server shows: mostly "
        "a new certificate or key without a new TLSA record. Senders that check DANE queue the mail and return it "
        "after some days; many large senders do check.",
        "Compare the record, `dig +dnssec _25._tcp.mx1.example.com TLSA`, with the server. For a record that begins "
        "with `3 1 1` the right hash is: `openssl s_client -starttls smtp -connect mx1.example.com:25 </dev/null | "
        "openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | openssl sha256`; `mailposture check "
        "example.com` compares all kinds. Quickest fix: go back to the old key if you still have it; else publish the "
        "new hash beside the old one and wait out the record's TTL. Next time publish first, change the key after.",
    ),
    "dnssec-invalid": Words(
        "DNSSEC of the domain or MX host is broken",
        "The sender's resolver got no answer that it can validate: signatures missing, expired, or not matching the "
        "parent zone; or a name server that does not answer TLSA queries. Senders that validate queue the mail and "
        "return it after some days, and the rest of the zone, your website too, may be unreachable for many people.",
        "Ask a validating resolver: `dig +dnssec example.com MX @9.9.9.9` (SERVFAIL here, and an answer with `+cd`, "
        "means broken DNSSEC), then the same for `_25._tcp.mx1.example.com TLSA`. `delv example.com MX` names the "
        "fault. Usual causes: signatures expired because the signer stopped, or a DS record at the registrar that "
        "belongs to an old key (`dig +short DS example.com`). Re-sign, or correct the DS; caches may take the DS "
        "record's TTL.",
    ),
    "dane-required": Words(
        "The sender demands DANE, and found no TLSA record",
        "This sender is configured to deliver to you only with DANE, and found no TLSA record authenticated by DNSSEC "
        "for the MX host. Mail from this sender waits and bounces after some days; other senders are not affected.",
        "Look: `dig +dnssec _25._tcp.mx1.example.com TLSA` (the answer must have the flag `ad`). If you used to "
        "publish TLSA records, they or the zone's signatures are gone: put them back. If you never did, it is the "
        "sender's own rule: publish TLSA, or ask the sender (the report's contact address) to relax it.",
    ),
    "sts-policy-fetch-error": Words(
        "The MTA-STS policy file could not be fetched",
        "DNS says that the domain has an MTA-STS policy, and the sender could not get the file from the policy host. "
        "Mail is still delivered. Senders with a cached policy use it until its max_age is over; all others deliver "
        "without protection.",
        "Fetch it as a sender does: `curl -i https://mta-sts.example.com/.well-known/mta-sts.txt`. It must answer "
        "within a minute with status 200, no redirect, as text/plain, with a valid certificate for "
        "mta-sts.example.com; `mailposture check example.com` tests all of that. If you can fetch it: try IPv6 (`curl "
        "-6`), look for a web firewall or country block in front of it, and check whether only one sender reports it: "
        "`mailposture summary --domain example.com`.",
    ),
    "sts-policy-invalid": Words(
        "The MTA-STS policy has a fault",
        "The sender got the policy file and could not use it: a syntax error, a missing field, or, with some senders, "
        "MX hosts that the policy does not list. A policy that cannot be read protects nothing, and mail is "
        "delivered; an MX that a policy in mode enforce does not list gets no mail at all.",
        "Check it: `mailposture check example.com`. Needed are `version: STSv1`, `mode:`, `max_age:` and one `mx:` "
        "line for every host of `dig +short MX example.com` (`*.` stands for exactly one label). After a change of "
        "the file, change the id in the TXT record too, file first: `dig +short TXT _mta-sts.example.com`.",
    ),
    "sts-webpki-invalid": Words(
        "The policy host's HTTPS certificate is not valid",
        "The web server that serves the MTA-STS policy showed a certificate that the sender rejects: expired, for "
        "another name, or not trusted. This is about https://mta-sts.example.com, not about the mail server. Mail is "
        "still delivered, but only senders with a cached policy are still protected.",
        "Look: `openssl s_client -connect mta-sts.example.com:443 -servername mta-sts.example.com -verify_hostname "
        "mta-sts.example.com -verify_return_error </dev/null`. The certificate must be valid for mta-sts.example.com "
        "itself, also when that name is a CNAME to a provider. Renew it; `mailposture check example.com` confirms.",
    ),
}

# What a failure-reason-code reveals (RFC 8460, section 4.4 leaves its text to the sender).
REASONS: Final[dict[str, Words]] = {
    "io-timeout-during-handshake": Words(
        "The sender gave up waiting",
        "The sender waited for an answer and gave up. Senders try again, so mail is late rather than lost, unless it "
        "goes on for days. For a policy file (sts-policy-fetch-error) mail is delivered, but without the policy.",
        "Time it from outside: `time openssl s_client -starttls smtp -connect mx1.example.com:25 </dev/null`; a "
        "policy host: `curl -m 60 -v https://mta-sts.example.com/.well-known/mta-sts.txt`. If it is fast for you, "
        "look at the load at that hour, and for a firewall that drops packets of that sender's network.",
    ),
    "connection-closed-during-handshake": Words(
        "The connection was cut",
        "The connection ended before TLS was agreed: the server hung up or crashed, or a firewall, load balancer or "
        "rate limit cut it. Senders try again, so mail is late rather than lost, unless it goes on for days.",
        "Try it: `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com "
        "</dev/null`. If that works, search the mail log for `lost connection after STARTTLS` or `SSL_accept error` "
        "with the sending address, and look at rate limits (`postconf | grep ^smtpd_client_`).",
    ),
    "connection-refused": Words(
        "The server could not be reached",
        "Nothing answered at the server's address: it is down, a firewall refuses, or there is no route (often IPv6 "
        "only). Senders try again and try the other MX hosts; with no other MX, mail bounces after some days.",
        "Try each address: `nc -vz -4 mx1.example.com 25` and `nc -vz -6 mx1.example.com 25`. An AAAA record without "
        "a server behind it is a usual cause: `dig +short AAAA mx1.example.com`.",
    ),
    "tls-remote-alert": Words(
        "Your server refused the TLS handshake",
        "Your mail server ended the handshake with a TLS alert: it rejected the sender's TLS version, ciphers or "
        "certificate, or had an internal error. Mail waits if the sender enforces encryption, else it may have been "
        "sent in plaintext.",
        "Search your mail log for `SSL_accept error` and the sending address. Test what you accept: `openssl s_client "
        "-starttls smtp -connect mx1.example.com:25 -tls1_2 </dev/null` and the same with `-tls1_3`. Look at "
        "`postconf smtpd_tls_protocols smtpd_tls_mandatory_ciphers smtpd_tls_req_ccert`.",
    ),
    "tls-handshake-failure": Words(
        "No common TLS version or cipher",
        "Sender and server could not agree on how to encrypt: one is too old, too strict, or does not speak TLS "
        "properly. Mail waits if the sender enforces encryption, else it may have been sent in plaintext.",
        "Offer TLS 1.2 and 1.3 with common ciphers: `openssl s_client -starttls smtp -connect mx1.example.com:25 "
        "-tls1_2 </dev/null`, then `-tls1_3`. Look at `postconf smtpd_tls_protocols smtpd_tls_ciphers` and the mail "
        "log. If only an old sender reports it, that may be acceptable.",
    ),
    "dns-extended-error": Words(
        "DNS error",
        "The sender's resolver could not get or validate an answer about your names, and gives the reason as an "
        "extended DNS error (RFC 8914). Mail waits at the sender and bounces after some days if DNS does not come "
        "back.",
        "Ask from outside: `dig +dnssec MX example.com @9.9.9.9` shows the same extended error (EDE) if it is yours. "
        "Then `delv example.com MX`, and each name server of `dig +short NS example.com`. If you see no error, it may "
        "be the sender's resolver, or be over already.",
    ),
    "dns-lookup-failed": Words(
        "A name could not be looked up",
        "The sender asked DNS about your domain, MX host or policy host and got no usable answer. Mail waits at the "
        "sender; for a policy file (sts-policy-fetch-error) mail is delivered, but without the policy.",
        "`dig MX example.com @9.9.9.9`, `dig A mx1.example.com @9.9.9.9`, `dig mta-sts.example.com @9.9.9.9`. "
        "NXDOMAIN: the record is missing or misspelt. SERVFAIL: `delv example.com MX` says whether DNSSEC is broken.",
    ),
    "bad-https-response-code": Words(
        "The policy host answered with an HTTP error",
        "The web server for the MTA-STS policy answered with something other than 200. 404: the file is not there; "
        "3xx: senders must not follow redirects; 403: a web firewall; 5xx: the server is broken. Mail is still "
        "delivered, but only senders with a cached policy are still protected.",
        "`curl -i https://mta-sts.example.com/.well-known/mta-sts.txt` must say 200. If you no longer want MTA-STS, "
        "do not just remove the file: serve `mode: none` first, until the old max_age has passed.",
    ),
    "mx-not-in-policy": Words(
        "The MX host is not in the MTA-STS policy",
        "The domain's MX record names a host that its MTA-STS policy does not list. With mode enforce, mail to that "
        "host is refused: senders queue it and return it after some days. With mode testing it is delivered and "
        "reported.",
        "Compare `dig +short MX example.com` with the `mx:` lines of `curl "
        "https://mta-sts.example.com/.well-known/mta-sts.txt`. Add the host to the policy, then change the id in "
        "`_mta-sts.example.com`. Senders with a cached policy notice the new id, mostly within a day. If you do not "
        "know the MX, find out who changed DNS.",
    ),
    "certificate-has-expired": Words(
        "The certificate has expired",
        "The certificate's end date has passed (or, rarely, its start date is in the future). Where encryption is "
        "enforced mail waits and bounces after some days; else it is delivered and reported.",
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com </dev/null | "
        "openssl x509 -noout -dates`. Renew (`certbot renew`), then reload the mail server (`postfix reload`). If the "
        "report says sts-policy-fetch-error or sts-webpki-invalid, look at port 443 of mta-sts.example.com instead.",
    ),
    "self-signed-certificate": Words(
        "The certificate is self-signed",
        "The server shows a certificate that it signed itself (many mail servers install one), or the chain ends in "
        "an unknown root. Senders that enforce MTA-STS queue the mail; without a policy it is delivered and reported.",
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com -showcerts "
        "</dev/null`. Expected another certificate? Look where the server takes it from: `postconf "
        "smtpd_tls_chain_files smtpd_tls_cert_file`. Get one from a public authority, for example with `certbot "
        "certonly -d mx1.example.com`.",
    ),
    "certificate-name-mismatch": Words(
        "The certificate is for another host name",
        "The certificate does not contain the name that the sender looked for. Senders that enforce MTA-STS queue the "
        "mail; in mode testing, or without a policy, it is delivered and reported.",
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com </dev/null | "
        "openssl x509 -noout -ext subjectAltName` must contain the name in `dig +short MX example.com`.",
    ),
    "certificate-chain": Words(
        "The certificate could not be verified",
        "The certificate failed one of the checks of a TLS library (X509_V_ERR_…): mostly an intermediate certificate "
        "is missing or the issuer is not trusted. Where encryption is enforced mail waits; else it is delivered and "
        "reported.",
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com "
        "-verify_return_error </dev/null` prints the same error if it is still there. Install the full chain "
        "(`fullchain.pem`).",
    ),
    "tlsa-mismatch": Words(
        "DANE check failed",
        "The TLSA record does not match the certificate, is unusable, or is missing although the sender requires it. "
        "Senders that check DANE queue the mail and return it after some days.",
        "`dig +dnssec _25._tcp.mx1.example.com TLSA`, then `openssl s_client -starttls smtp -connect "
        'mx1.example.com:25 -dane_tlsa_domain mx1.example.com -dane_tlsa_rrdata "RECORD DATA" </dev/null`. '
        "`mailposture explain tlsa-invalid` says how to fix it.",
    ),
    "starttls-refused": Words(
        "STARTTLS was not offered or refused",
        "The server did not offer STARTTLS, or offered it and then refused it (for example `454 4.7.0 TLS not "
        "available`: it could not load its certificate or key). Where encryption is enforced mail waits; else it was "
        "sent in plaintext.",
        "`openssl s_client -starttls smtp -connect mx1.example.com:25 </dev/null`, then the mail log: `cannot get "
        "certificate`, `no server certs`, `key values mismatch` name the file. `postconf smtpd_tls_security_level "
        "smtpd_tls_chain_files smtpd_tls_cert_file smtpd_tls_key_file`.",
    ),
}
