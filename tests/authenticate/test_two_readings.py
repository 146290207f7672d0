"""A signature proves bytes; attacks make us read others than the signer did, or the signer's bytes in another way."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from court import EVERYTHING, GOOGLE, VICTIM, WITHOUT_REPORT_FIELDS, Court, body, court_of, field_lines, mail, report

from reports.envelope import Source

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

REPORTER, REPORTER_AT = "reporter.example", "tls@reporter.example"
MAILS = (Source.SMTP, Source.LMTP, Source.IMAP)


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key)


@pytest.mark.parametrize("source", MAILS)
@pytest.mark.parametrize("between", [b"\r\n", b": x\r\n", b"\r\nX: "])
def test_json_in_front_of_a_signed_mail_is_a_header_field(court: Court, source: Source, between: bytes) -> None:
    """To DKIM `{"organization-name":…` is a field that nobody signed."""
    genuine = court.sign(mail("tls@google.com", report("attacker.example"), name="r.json"), "google.com", GOOGLE)
    assert court.refused(report(contact="tls@google.com") + between + genuine, source=source) in (
        "foreign-domain",
        "invalid",
    )


@pytest.mark.parametrize("source", MAILS)
def test_gzip_in_front_of_a_signed_mail_is_no_report(court: Court, source: Source) -> None:
    genuine = court.sign(mail(REPORTER_AT, report("attacker.example")), REPORTER)
    assert court.refused(b"\x1f\x8b\x08\x00" + genuine, source=source) in ("invalid", "no-report", "foreign-domain")


# What Google signs is read as it shows itself, or not at all. TEXT is what an attacker has made Google say.
TEXT = (
    b"You have been invited to: party\r\n--X\r\nContent-Type: application/tlsrpt+json\r\n\r\n"
    + report(contact="tls@google.com")
    + b"\r\n--X--\r\n"
)
SAYS = field_lines(
    From="calendar@google.com",
    To="a@attacker.example",
    Subject=f"Report Domain: {VICTIM}",
    Message_ID="<1@google.com>",
    TLS_Report_Domain=VICTIM,
    TLS_Report_Submitter="google.com",
)
BODIES = {
    "alternative": b"--0\r\nContent-Type: text/plain\r\n\r\n%b\r\n"
    b"--0\r\nContent-Type: text/html\r\n\r\n<p>\r\n--0--\r\n",
    "plain": b"%b",
    "dashes in front": b"--\r\n%b",
    "preamble": b"You have a message.\r\n\r\n%b",
    "epilogue": b"%bReply at https://calendar.google.com\r\n",
    "html": b"<html><body>%b</body></html>\r\n",
    "quoted-printable": b"=20\r\n%b",
    "JSON, then a footer": report(contact="tls@google.com") + b"\r\n\r\n%b",
    "JSON": report(contact="tls@google.com") + b"\r\n",
    "base64": base64.encodebytes(report(contact="tls@google.com")).replace(b"\n", b"\r\n"),
    "gzip and more in base64": base64.encodebytes(gzip.compress(report()) + b"footer").replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize(
    "content_type",
    ['multipart/mixed; boundary="X"', 'multipart/report; report-type=tlsrpt; boundary="X"', "text/plain", ""],
)
@pytest.mark.parametrize("shape", BODIES)
def test_content_type_that_was_not_signed_decides_nothing(court: Court, shape: str, content_type: str) -> None:
    fields = field_lines(MIME_Version="1.0", **({"CONTENT_TYPE": content_type} if content_type else {}))
    signed = court.sign(SAYS + fields + b"\r\n" + BODIES[shape].replace(b"%b", TEXT), "google.com", GOOGLE)
    assert court.refused(signed) in ("unclear", "no-report")


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (b"hello\r\n%b", "a preamble"),
        (b"%bhello\r\n", "an epilogue"),
        (b"%b--b0\r\nContent-Type: text/plain\r\n\r\n--b0--\r\n", "a second end"),
        (b"%b--b1\r\nContent-Type: text/plain\r\n\r\n--b1--\r\n", "another multipart behind it"),
        (b"--b1\r\n\r\n%b--b1--\r\n", "a multipart around it"),
        (b"--b0--\r\n%b", "an end in front"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_body_that_may_be_divided_in_two_ways_is_unclear(court: Court, shape: bytes, why: str) -> None:
    head = SAYS + field_lines(Content_Type='multipart/report; report-type=tlsrpt; boundary="b0"')
    signed = court.sign(head + b"\r\n" + shape % body(report()), "google.com", GOOGLE)
    assert court.refused(signed) in ("unclear", "no-report"), why


def _with_lines(old: bytes, new: bytes) -> bytes:
    changed = body(report()).replace(old, new)
    assert changed != body(report())
    return changed


TYPE, ENCODING = b"Content-Type: application/tlsrpt+json\r\n", b"Content-Transfer-Encoding: base64\r\n"


@pytest.mark.parametrize(
    "shape",
    [
        _with_lines(TYPE, b"Content-Type: text/plain\r\n" + TYPE),
        _with_lines(TYPE, TYPE + b"Content-Type: text/plain\r\n"),
        _with_lines(TYPE, b"Content-Type: application/tlsrpt+json; charset=a; charset=b\r\n"),
        _with_lines(TYPE, b"Content-Type: application/tlsrpt+json (text/plain)\r\n"),
        _with_lines(TYPE, TYPE + b"Content-Type : text/plain\r\n"),
        _with_lines(TYPE, TYPE + b"no field\r\n"),
        _with_lines(
            TYPE,
            b'Content-Type: application/tlsrpt+json; name="a!other.example!1!2.json"\r\n'
            b'Content-Disposition: attachment; filename="a!victim.example!1!2.json"\r\n',
        ),
        _with_lines(
            TYPE,
            b'Content-Type: application/tlsrpt+json; name="a!other.example!1!2.json"\r\n'
            b"Content-Disposition: attachment; filename*=utf-8''a!victim.example!1!2.json\r\n",
        ),
        _with_lines(ENCODING, ENCODING + b"Content-Transfer-Encoding: 7bit\r\n"),
        _with_lines(ENCODING, b"Content-Transfer-Encoding: x-uuencode\r\n"),
        _with_lines(ENCODING, b"Content-Transfer-Encoding: quoted-printable\r\n").replace(b"==", b"=!"),
        _with_lines(b"\r\n--b0--", b"!\r\n--b0--"),
        _with_lines(b"\r\n--b0--", b"=AAAA\r\n--b0--"),
    ],
    ids=[
        "two types",
        "two types, turned",
        "a parameter twice",
        "a comment",
        "a blank in front of the colon",
        "a line that is no field",
        "two names",
        "two names, one in another character set",
        "two encodings",
        "an unknown encoding",
        "no quoted-printable",
        "no base64",
        "base64 behind its end",
    ],
)
def test_part_that_may_be_read_in_two_ways_is_unclear(court: Court, shape: bytes) -> None:
    for fields in (EVERYTHING, GOOGLE):
        head = SAYS + field_lines(Content_Type='multipart/report; report-type=tlsrpt; boundary="b0"') + b"\r\n"
        assert court.refused(court.sign(head + shape, "google.com", fields)) in ("unclear", "no-report")


@pytest.mark.parametrize("text_type", [b"text", b"text/plain; charset=us-ascii (Plain)", b"text/plain; name=a b"])
@pytest.mark.parametrize("fields", [EVERYTHING, GOOGLE], ids=["everything signed", "as Google signs"])
def test_text_beside_the_report_may_be_typed_as_it_likes(court: Court, text_type: bytes, fields: Any) -> None:
    odd = mail(REPORTER_AT, report()).replace(b"Content-Type: text/plain", b"Content-Type: " + text_type)
    assert court.accepted(court.sign(odd, REPORTER, fields)).reporter == REPORTER


def test_signed_content_type_with_two_boundaries_is_unclear(court: Court) -> None:
    top = 'multipart/report; report-type=tlsrpt; boundary="b0"; boundary="b1"'
    assert court.refused(court.sign(mail(REPORTER_AT, report(), top=top), REPORTER)) in ("unclear", "no-report")


def test_boundary_is_a_whole_line(court: Court) -> None:
    """Neither a longer line nor one in the middle of a text divides anything."""
    text = b"--b0x\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + report(organization="Evil") + b"\r\n"
    signed = court.sign(mail(REPORTER_AT, report()).replace(b"This is an aggregate", text + b"This is"), REPORTER)
    assert court.accepted(signed).organization == "Reporter Inc."


# Words of others under a true signature.
INNER = mail("attacker@evil.example", report())
FORWARD = b"--r\r\nContent-Type: %b\r\n\r\n%b\r\n--r--\r\n"
OTHERS = {
    "a mail in a mail": ('multipart/mixed; boundary="r"', FORWARD % (b"message/rfc822", INNER)),
    "a bounce": (
        'multipart/report; report-type=delivery-status; boundary="r"',
        b"--r\r\nContent-Type: text/plain\r\n\r\nUndelivered\r\n" + FORWARD % (b"message/rfc822", INNER),
    ),
    "a bounce with the attachment itself": (
        'multipart/report; report-type=delivery-status; boundary="r"',
        FORWARD % (b"application/tlsrpt+json", report()),
    ),
    "a bounce that says it is a report": (
        'multipart/report; report-type=tlsrpt; boundary="r"',
        b"--r\r\nContent-Type: text/plain\r\n\r\nUndelivered\r\n" + FORWARD % (b"message/rfc822", INNER),
    ),
    "a partial mail": ('multipart/mixed; boundary="r"', FORWARD % (b"message/partial", INNER)),
    "a forwarded attachment": (
        'multipart/mixed; boundary="r"',
        b"--r\r\nContent-Type: text/plain\r\n\r\nSee below\r\n" + FORWARD % (b"application/tlsrpt+json", report()),
    ),
    "an attachment of an attachment": (
        'multipart/mixed; boundary="r"',
        FORWARD % (b'multipart/report; report-type=tlsrpt; boundary="b0"', body(report())),
    ),
    "a digest": ('multipart/digest; boundary="r"', FORWARD % (b"application/tlsrpt+json", report())),
    "quoted text": ("text/plain", report() + b"\r\n\r\nDear customer, we got your message above.\r\n"),
    "text that is nothing but JSON": ("text/plain", report()),
    "HTML": ("text/html", report()),
    "JSON": ("application/json", report()),
    "a part that is text": ('multipart/report; report-type=tlsrpt; boundary="r"', FORWARD % (b"text/plain", report())),
    "a part without a type": (
        'multipart/report; report-type=tlsrpt; boundary="r"',
        b"--r\r\n\r\n" + report() + b"\r\n--r--\r\n",
    ),
    "a part that is HTML": ('multipart/report; report-type=tlsrpt; boundary="r"', FORWARD % (b"text/html", report())),
    "an attached file": ('multipart/mixed; boundary="r"', FORWARD % (b"application/octet-stream", report())),
}


@pytest.mark.parametrize("fields", [EVERYTHING, GOOGLE], ids=["everything signed", "as Google signs"])
@pytest.mark.parametrize("words", OTHERS)
def test_words_of_others_under_a_true_signature_are_no_report(court: Court, words: str, fields: Any) -> None:
    content_type, content = OTHERS[words]
    head = field_lines(From="support@reporter.example", Subject="Re: your message", Content_Type=content_type)
    assert court.refused(court.sign(head + b"\r\n" + content, REPORTER, fields)) in ("unclear", "no-report")


@pytest.mark.parametrize("said", ["List_Id", "In_Reply_To"])
def test_list_or_reply_that_keeps_all_of_a_report_signs_that_it_is_one(court: Court, said: str) -> None:
    """Whoever posts to a list that rewrites From would report as the list's owner; often that is us."""
    plain = mail(
        "x via tlsrpt <tlsrpt@reporter.example>", report(), fields=field_lines(**{said: "<a.reporter.example>"})
    )
    name = said.replace("_", "-").lower().encode()
    assert court.refused(court.sign(plain, REPORTER, (*EVERYTHING, name))) == "unclear"
    without = mail(REPORTER_AT, report())
    signed = court.sign(without, REPORTER, (*EVERYTHING, name))  # signed as absent, as many do
    assert court.accepted(signed).reporter == REPORTER
    ours = field_lines(**{said: "<tlsrpt.victim.example>"}) + court.sign(without, REPORTER)
    assert court.accepted(ours).reporter == REPORTER  # a list of ours passed it on


def test_user_of_a_mail_service_reports_as_that_service_and_as_nobody_else(court: Court) -> None:
    """Whoever may send mail that a domain signs speaks for it; what he calls himself is a caption."""
    content = report(organization="Google Inc.", contact="tls@google.com")
    row = court.accepted(court.sign(mail("Ivan <ivan1990@mail.example>", content), "mail.example"))
    assert (row.reporter, row.reporter_proven) == ("mail.example", True)


@pytest.mark.parametrize("author", ["tls@google.com", "tls@google.com, tls@evil.example", "google.com"])
def test_author_that_the_signer_is_not_proves_nothing(court: Court, author: str) -> None:
    assert court.refused(court.sign(mail(author, report()), "evil.example")) == "not-aligned"


def test_submitter_counts_if_it_was_signed(court: Court) -> None:
    plain = mail("tls@evil.example", report(), fields=field_lines(TLS_Report_Submitter="google.com"))
    assert court.refused(court.sign(plain, "evil.example")) == "not-aligned"
    row = court.accepted(court.sign(plain, "evil.example", WITHOUT_REPORT_FIELDS))
    assert (row.reporter, row.submitter) == ("evil.example", "")


@pytest.mark.parametrize("submitter", ["localhost", "Reporter Inc."])
def test_submitter_that_is_no_domain_claims_nothing(court: Court, submitter: str) -> None:
    plain = mail(REPORTER_AT, report(), fields=field_lines(TLS_Report_Submitter=submitter))
    assert court.accepted(court.sign(plain, REPORTER)).submitter == ""


# What a report is about.
UNNAMED = report(None)
SUBJECT_ABOUT_ANOTHER = "Report Domain: attacker.example Submitter: reporter.example Report-ID: <1@reporter.example>"


def test_foreign_report_without_policy_domain_is_not_ours_because_it_was_mailed_to_us(court: Court) -> None:
    fields = field_lines(TLS_Report_Domain="attacker.example")
    for name in ("reporter.example!attacker.example!1!2.json", "r.json"):
        for subject in ("TLS report", SUBJECT_ABOUT_ANOTHER, f"Report Domain: {VICTIM}"):
            signed = court.sign(mail(REPORTER_AT, UNNAMED, fields=fields, name=name, subject=subject), REPORTER)
            assert court.refused(signed) == "foreign-domain"
    signed = court.sign(mail(REPORTER_AT, UNNAMED, name="r.json", subject="TLS report"), REPORTER)
    assert court.refused(signed) == "foreign-domain"


@pytest.mark.parametrize("content", [UNNAMED, report(None, policies=[])], ids=["unnamed", "no traffic"])
def test_foreign_name_in_the_signed_subject_ends_the_search(court: Court, content: bytes) -> None:
    signed = court.sign(mail(REPORTER_AT, content, subject=SUBJECT_ABOUT_ANOTHER), REPORTER)
    assert court.refused(signed) == "foreign-domain"


FOREIGN: dict[str, Any] = {
    "the header": {"fields": field_lines(TLS_Report_Domain="attacker.example"), "name": "", "subject": "TLS report"},
    "the file name": {"name": "reporter.example!attacker.example!1!2.json", "subject": "TLS report"},
    "the subject": {"name": "", "subject": "Report Domain: attacker.example Submitter: reporter.example"},
}


@pytest.mark.parametrize("where", FOREIGN)
def test_foreign_domain_that_has_its_mail_sent_to_a_host_of_ours_is_not_ours(court: Court, where: str) -> None:
    """DANE names the host; anybody may name it as his MX."""
    signed = court.sign(mail(REPORTER_AT, _dane(), **FOREIGN[where]), REPORTER)
    assert court.refused(signed) == "foreign-domain"
    unnamed = court.sign(mail(REPORTER_AT, _dane(), name="", subject="TLS report"), REPORTER)
    assert court.accepted(unnamed).policy_domains == (VICTIM,)


def test_dane_belongs_to_the_domain_of_ours_beside_it_and_to_no_foreign_one(court: Court) -> None:
    def policies(*domains: str) -> bytes:
        named = [policy for domain in domains for policy in json.loads(report(domain))["policies"]]
        return report(None, policies=[*named, *json.loads(_dane())["policies"]])

    foreign = court.sign(mail(REPORTER_AT, policies("attacker.example"), name="", subject="TLS report"), REPORTER)
    assert court.refused(foreign) == "foreign-domain"
    both = court.sign(mail(REPORTER_AT, policies("attacker.example", VICTIM), name=""), REPORTER)
    assert court.accepted(both).failed_sessions == 5  # sts and tlsa describe the same sessions


def _dane() -> bytes:
    summary = {"total-successful-session-count": 0, "total-failure-session-count": 5}
    policy = {"policy-type": "tlsa", "policy-domain": f"mx.{VICTIM}"}
    return report(None, policies=[{"policy": policy, "summary": summary}])


@pytest.mark.parametrize("fields", [EVERYTHING, WITHOUT_REPORT_FIELDS])
def test_report_field_above_the_signed_one_moves_nothing(court: Court, fields: Any) -> None:
    below = mail(REPORTER_AT, UNNAMED, fields=field_lines(TLS_Report_Domain=VICTIM))
    above = field_lines(TLS_Report_Domain="other.example") + court.sign(below, REPORTER, fields)
    assert court.accepted(above).policy_domains == (VICTIM,)


def test_report_field_that_was_not_signed_names_nothing(court: Court) -> None:
    unsigned = field_lines(TLS_Report_Domain=VICTIM) + mail(REPORTER_AT, UNNAMED, name="r.json", subject="TLS report")
    assert court.refused(court.sign(unsigned, REPORTER, WITHOUT_REPORT_FIELDS)) == "foreign-domain"


def test_two_signed_report_fields_name_nothing(court: Court) -> None:
    fields = field_lines(TLS_Report_Domain=VICTIM) + field_lines(TLS_REPORT_DOMAIN="other.example")
    signed = court.sign(mail(REPORTER_AT, UNNAMED, fields=fields), REPORTER, (*EVERYTHING, b"tls-report-domain"))
    assert court.refused(signed) in ("foreign-domain", "unclear")


@pytest.mark.parametrize("blanks", [b"  ", b" " * 20, b" \t "])
def test_blanks_that_relaxed_canonicalization_ignores_make_no_other_report(court: Court, blanks: bytes) -> None:
    content = report(organization="Reporter Inc.").replace(b"Reporter Inc.", b"Reporter Inc. of Here")
    head = mail(REPORTER_AT, b"").partition(b"\r\n\r\n")[0]
    parts = b"--b0\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + content + b"\r\n--b0--\r\n"
    signed = court.sign(head + b"\r\n\r\n" + parts, REPORTER)
    before, after = court.accepted(signed), court.accepted(signed.replace(b"of Here", b"of" + blanks + b"Here"))
    assert (after.report_key, after.organization) == (before.report_key, "Reporter Inc. of Here")


def test_the_same_report_signed_by_two_is_two_reports(court: Court) -> None:
    content = report(contact="tls@google.com")
    genuine = court.accepted(court.sign(mail("tls@google.com", content), "google.com"))
    again = court.accepted(court.sign(mail("tls@evil.example", content), "evil.example"))
    copy = court.accepted(mail("tls@google.com", content), by_operator=True)
    assert genuine.report_key != again.report_key
    assert genuine.report_key == copy.report_key
