"""What real reporters send, a test per quirk: each is read, and what was odd about it stands in the warnings."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from dmarc_samples import IDENTIFIERS, METADATA, POLICY, decoded, evaluated, feedback, record, row

from reports.values import NO_ADDRESS

REASON = "<reason><type>{}</type><comment>{}</comment></reason>"


def test_a_usual_report_is_read_completely():
    report = decoded(feedback())
    assert (report.organization, report.contact, report.report_id) == (
        "Receiver Example",
        "dmarc@receiver.example",
        "id-1",
    )
    assert (report.start, report.end) == (
        datetime(2026, 3, 2, tzinfo=UTC),
        datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC),
    )
    assert report.published[:3] == ("example.com", "none", "none")
    (only,) = report.records
    assert str(ip_address(only.source_ip).ipv4_mapped) == "192.0.2.1"
    assert (only.messages, only.dkim_aligned, only.spf_aligned, only.disposition) == (3, True, False, "none")
    assert [tuple(each) for each in only.dkim] == [("example.com", "s1", "pass", "")]
    assert [tuple(each) for each in only.spf] == [("bounce.example.net", "", "pass", "")]
    assert report.warnings == ()


@pytest.mark.parametrize("root", ['feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"', "feedback"])
def test_a_report_by_rfc_9990_is_read_with_or_without_its_namespace(root):
    policy = (
        "<policy_published><domain>example.com</domain><p>reject</p><sp>quarantine</sp><np>reject</np>"
        "<testing>y</testing><discovery_method>treewalk</discovery_method></policy_published><extension><count>7</count></extension>"
    )
    metadata = METADATA.replace(
        "</report_id>", '</report_id><generator>Sample 1.0</generator><error lang="en">late</error>'
    )
    passed = record(row(evaluated=evaluated(disposition="pass")))
    report = decoded(feedback(passed, root=root, metadata=metadata, policy=policy))
    published = report.published
    assert (published.p, published.sp, published.np, published.pct) == ("reject", "quarantine", "reject", 100)
    assert (published.testing, published.discovery_method) == ("y", "treewalk")
    assert (report.generator, report.error) == ("Sample 1.0", "late")
    assert report.records[0].disposition == "none"
    assert report.warnings == ()


def test_what_is_optional_may_be_missing():
    policy = "<policy_published><domain>example.com</domain><p>quarantine</p><sp></sp></policy_published>"
    bare = f"<record>{row()}<identifiers><header_from>example.com</header_from></identifiers></record>"
    report = decoded(feedback(bare, policy=policy))
    assert report.published[1:6] == ("quarantine", "quarantine", "quarantine", "r", "r")
    assert (report.records[0].envelope_from, report.records[0].dkim, report.records[0].spf) == ("", (), ())


def test_many_results_stay_together_and_decide_nothing():
    results = "".join(
        f"<dkim><domain>{domain}</domain><result>{result}</result></dkim>"
        for domain, result in (("list.example", "fail"), ("example.com", "pass"), ("", ""))
    )
    spf = "".join(
        f"<spf><domain>{domain}</domain><result>{result}</result></spf>"
        for domain, result in (("a.example", "hardfail"), ("b.example", "pass"))
    )
    report = decoded(
        feedback(record(row(evaluated=evaluated(dkim="fail")), auth=f"<auth_results>{results}{spf}</auth_results>"))
    )
    (only,) = report.records
    assert [(each.domain, each.result) for each in only.dkim] == [
        ("list.example", "fail"),
        ("example.com", "pass"),
        ("", ""),
    ]
    assert [each.result for each in only.spf] == ["hardfail", "pass"]
    assert (only.dkim_aligned, only.spf_aligned) == (False, False)


@pytest.mark.parametrize(
    ("verdict", "passes", "is_a_verdict"),
    [
        ("Pass", True, True),
        (" pass ", True, True),
        ("none", False, True),
        ("softfail", False, True),
        ("hardfail", False, True),
        ("", False, False),
        ("not.evaluated", False, False),
        ("15", False, False),
    ],
)
def test_only_the_word_pass_passes_and_what_is_no_word_is_no_verdict(verdict, passes, is_a_verdict):
    report = decoded(feedback(record(row(evaluated=evaluated(dkim=verdict, spf="fail")))))
    assert (report.records[0].dkim_aligned, report.records[0].evaluated) == (passes, is_a_verdict)
    assert bool(report.warnings) is not passes


NO_VERDICT = "messages of which it says neither that they passed nor that they failed count as neither"


@pytest.mark.parametrize(
    "said",
    [
        "<policy_evaluated><disposition>none</disposition></policy_evaluated>",
        "<policy_evaluated/>",
        "",
        evaluated(dkim="", spf=""),
        evaluated(dkim="fail", spf=""),
        evaluated(dkim="15", spf="not.evaluated"),
    ],
)
def test_verdicts_that_are_missing_are_neither_a_pass_nor_a_failure(said, dmarc_rows):
    content = feedback(record(row(evaluated=said)))
    (only,) = dmarc_rows(content).parts[0]
    assert (only.messages, only.passed, only.dkim_aligned, only.spf_aligned, only.evaluated) == (3, *(False,) * 4)
    assert NO_VERDICT in decoded(content).warnings


@pytest.mark.parametrize(("dkim", "spf"), [("pass", ""), ("", "pass"), ("15", "PASS")])
def test_one_pass_is_a_verdict(dkim, spf):
    report = decoded(feedback(record(row(evaluated=evaluated(dkim=dkim, spf=spf)))))
    assert report.records[0].evaluated
    assert NO_VERDICT not in report.warnings


def test_overrides_keep_their_comments_and_unknown_types_are_other():
    reasons = (
        REASON.format("mailing_list", "list.example") + REASON.format("", "arc=pass") + REASON.format("Forwarded", "")
    )
    report = decoded(feedback(record(row(evaluated=evaluated(reason=reasons)))))
    assert report.records[0].reasons == (("mailing_list", "list.example"), ("other", "arc=pass"), ("forwarded", ""))


@pytest.mark.parametrize("root", ['ns1:feedback xmlns:ns1="http://dmarc.org/dmarc-xml/0.1"'])
def test_prefixes_are_ignored(root):
    content = feedback(root=root).replace(b"<record>", b"<ns1:record>").replace(b"</record>", b"</ns1:record>")
    assert decoded(content).records[0].messages == 3


def test_elements_of_extensions_that_are_named_like_ours_are_not_ours():
    foreign = "<x:ext xmlns:x='urn:x'><row><count>99</count></row></x:ext>"
    content = feedback(f"<record>{row()}{IDENTIFIERS}{foreign}<count>98</count></record>")
    assert [each.messages for each in decoded(content).records] == [3]


def test_no_records_are_a_sign_of_life():
    assert decoded(feedback(" ")).records == ()
    assert [each.messages for each in decoded(feedback("<record><row></row></record>")).records] == [0]


@pytest.mark.parametrize(
    ("written", "messages"), [("7.0", 7), ("-5", 0), ("", 0), ("many", 0), ("1e30", 10**12), ("007", 7)]
)
def test_odd_counts(written, messages):
    report = decoded(feedback(record(row(count=written))))
    assert report.records[0].messages == messages


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.1:25", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("108r.host", "::"),
        ("", "::"),
    ],
)
def test_odd_addresses(written, address):
    report = decoded(feedback(record(row(source_ip=written))))
    assert ip_address(report.records[0].source_ip) == ip_address(address)
    assert report.records[0].messages == 3


def test_times_with_a_fraction_are_floored():
    report = decoded(feedback(metadata=METADATA.replace("1772409600", "1772409600.0")))
    assert report.start == datetime(2026, 3, 2, tzinfo=UTC)


def test_a_long_period_is_kept_whole_and_marked():
    report = decoded(feedback(metadata=METADATA.replace("1772495999", str(1772409600 + 7 * 86400))))
    assert report.end - report.start == timedelta(days=7)
    assert any("7.0 days" in warning for warning in report.warnings)


def test_names_are_normalized():
    identifiers = (
        "<identifiers><header_from>News@EXAMPLE.com</header_from><envelope_from>&lt;&gt;</envelope_from></identifiers>"
    )
    only = decoded(feedback(record(identifiers=identifiers))).records[0]
    assert (only.header_from, only.envelope_from) == ("example.com", "")


def test_u_labels_are_names_too():
    named = POLICY.replace("example.com", "Bücher.example")
    of_subdomain = record(identifiers="<identifiers><header_from>laden.bücher.example</header_from></identifiers>")
    report = decoded(feedback(of_subdomain, policy=named))
    assert report.published.domain == "xn--bcher-kva.example"
    assert report.records[0].header_from == "laden.xn--bcher-kva.example"
    assert report.warnings == ()


def test_what_is_no_name_is_left_out_with_a_remark() -> None:
    odd = record(identifiers="<identifiers><header_from>a b</header_from></identifiers>")
    report = decoded(feedback(odd))
    assert (report.records[0].header_from, report.records[0].messages) == ("", 3)
    assert report.warnings == ("header_from 'a b' is no domain name and was left out",)


def test_only_so_many_names_in_u_labels_are_worked_out() -> None:
    """Each takes a part of a millisecond, and one message may hold a hundred thousand."""
    odd = [record(identifiers=f"<identifiers><header_from>ü{n}.de</header_from></identifiers>") for n in range(30)]
    read = [each.header_from for each in decoded(feedback(*odd)).records]
    assert (all(read[:20]), any(read[20:])) == (True, False)


def test_unusable_address_is_no_address():
    assert decoded(feedback(record(row(source_ip="nobody")))).records[0].source_ip == NO_ADDRESS


REPAIRABLE = {
    "white space before the declaration": b"\r\n  " + feedback(),
    "BEL in a comment": feedback(record(row(evaluated=evaluated(reason=REASON.format("other", "be\x07ll"))))),
    "references to characters that XML forbids": feedback(
        metadata=METADATA.replace("Receiver Example", "Rec&#7;eiver &#55357;&#xDE00; &amp;")
    ),
    "bare ampersand": feedback(metadata=METADATA.replace("Receiver Example", "Smith & Sons")),
    "address in angle brackets": feedback(
        metadata=METADATA.replace("dmarc@receiver.example", "<dmarc@receiver.example>")
    ),
    "Latin-1": feedback(metadata=METADATA.replace("Receiver", "Empf\xe4nger"), declared=' encoding="UTF-8"')
    .decode()
    .encode("latin-1"),
    "doubled quotes in the declaration": feedback(declared=' encoding=""utf-8""'),
    "a stray element": feedback().replace(b"<report_metadata>", b"<xs:schema a=b><report_metadata>", 1),
    "UTF-16 declared over UTF-8": feedback(declared=' encoding="utf-16"'),
    "text after the end": feedback() + b"\r\n\r\n-- \r\nScanned & clean <gateway>",
    "NULs after the end": feedback() + bytes(100),
}


@pytest.mark.parametrize("content", REPAIRABLE.values(), ids=REPAIRABLE)
def test_what_is_broken_in_a_known_way_is_repaired_and_loses_nothing(content):
    report = decoded(content)
    assert [(each.messages, each.dkim_aligned) for each in report.records] == [(3, True)]
    assert report.published.domain == "example.com"
    assert any(warning.startswith("the XML was repaired") for warning in report.warnings)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + feedback(),
        feedback(declared=' encoding="utf-16"').decode().encode("utf-16"),
        feedback(metadata=METADATA.replace("Receiver", "Empf\xe4nger"), declared=' encoding="windows-1252"')
        .decode()
        .encode("cp1252"),
    ],
    ids=["byte order mark", "UTF-16", "windows-1252"],
)
def test_encodings_that_say_what_they_are_need_no_repair(content):
    report = decoded(content)
    assert report.records[0].messages == 3
    assert report.warnings == ()


def test_the_policy_that_applied_is_that_of_the_subdomain(dmarc_rows):
    policy = POLICY.replace("<p>none</p>", "<p>reject</p><sp>none</sp>")
    subdomain = record(identifiers="<identifiers><header_from>news.example.com</header_from></identifiers>")
    records = dmarc_rows(feedback(record(), subdomain, policy=policy)).parts[0]
    assert [(each.header_from, each.published_policy) for each in records] == [
        ("example.com", "reject"),
        ("news.example.com", "none"),
    ]


@pytest.mark.parametrize(
    ("reservation", "applied", "by_disposition"),
    [
        ("<testing>y</testing>", ("quarantine", "none"), ("quarantine", "quarantine", "quarantine")),
        ("<testing>n</testing>", ("reject", "quarantine"), ("reject", "reject", "reject")),
        ("<pct>0</pct>", ("quarantine", "none"), ("quarantine", "quarantine", "quarantine")),
        ("<pct>50</pct>", ("quarantine", "none"), ("quarantine", "quarantine", "reject")),
        ("<pct>100</pct>", ("reject", "quarantine"), ("reject", "reject", "reject")),
        ("<pct>all</pct>", ("reject", "quarantine"), ("reject", "reject", "reject")),
        ("<pct>50</pct><testing>y</testing>", ("quarantine", "none"), ("quarantine", "quarantine", "quarantine")),
    ],
)
def test_in_a_test_or_for_a_part_of_the_mail_one_step_less_applies(dmarc_rows, reservation, applied, by_disposition):
    policy = POLICY.replace("<p>none</p><pct>100</pct>", f"<p>reject</p><sp>quarantine</sp>{reservation}")
    done = [record(row(evaluated=evaluated(disposition=each))) for each in ("none", "quarantine", "reject")]
    rows = dmarc_rows(feedback(*done, policy=policy))
    assert (rows.report.p, rows.report.sp) == ("reject", "quarantine")
    assert (rows.report.applied_policy, rows.report.applied_subdomain_policy) == applied
    assert tuple(each.published_policy for each in rows.parts[0]) == by_disposition


def test_record_of_a_subdomain_with_a_record_of_its_own_says_whose_policy_applied(dmarc_rows):
    policy = POLICY.replace("example.com", "shop.example.com").replace("<p>none</p>", "<p>reject</p><sp>none</sp>")
    subdomain = record(identifiers="<identifiers><header_from>shop.example.com</header_from></identifiers>")
    below = record(identifiers="<identifiers><header_from>eu.shop.example.com</header_from></identifiers>")
    records = dmarc_rows(feedback(subdomain, below, policy=policy)).parts[0]
    assert [(each.policy_domain, each.published_domain, each.published_policy) for each in records] == [
        ("example.com", "shop.example.com", "reject"),
        ("example.com", "shop.example.com", "none"),
    ]
    (usual,) = dmarc_rows(feedback()).parts[0]
    assert (usual.policy_domain, usual.published_domain) == ("example.com", "example.com")


def test_the_day_is_the_utc_day_of_the_middle(dmarc_rows):
    evening = METADATA.replace("1772409600", str(1772409600 - 9 * 3600)).replace(
        "1772495999", str(1772495999 - 9 * 3600)
    )
    assert dmarc_rows(feedback(metadata=evening)).report.day.isoformat() == "2026-03-02"


def test_identity_is_what_is_said_and_who_says_it(dmarc_rows):
    usual = dmarc_rows(feedback()).report
    again = dmarc_rows(gzip.compress(feedback())).report
    rewrapped = dmarc_rows(feedback().replace(b"><", b">\r\n  <")).report
    around = [
        *(b"\xef\xbb\xbf" + feedback(), feedback() + b"\r\nScanned <by> a gateway", feedback() + bytes(9)),
        *(feedback(declared=' encoding="utf-16"').decode().encode("utf-16"), b" \n" + feedback()),
    ]
    other_period = dmarc_rows(feedback(metadata=METADATA.replace("1772409600", "1772323200"))).report
    other_mail = dmarc_rows(feedback(metadata=METADATA.replace("dmarc@", "rua@"))).report
    assert usual.report_key == again.report_key == rewrapped.report_key
    assert {dmarc_rows(each).report.report_key for each in around} == {usual.report_key}
    assert len({usual.report_key, other_period.report_key, other_mail.report_key}) == 3
