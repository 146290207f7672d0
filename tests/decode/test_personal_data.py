"""Somebody's mail: nothing of it goes into a table, not even with the reason why it was rejected."""

from __future__ import annotations

import pytest

from collector.documents.message import open_message
from reports.rejection import Reason, RejectedError

HEADERS = "From: Jane Doe <jane@private.example>\r\nTo: bob@private.example\r\nSubject: secret\r\n"
MAIL = (
    "From: fbl@receiver.example\r\nSubject: FW: FailureReport\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/report;\r\n report-type={}; boundary="b0"\r\n\r\n'
    '--b0\r\nContent-Type: text/rfc822-headers; name="headers.txt"\r\n\r\n{}\r\n--b0--\r\n'
)


@pytest.mark.parametrize("written", ["feedback-report", '"Feedback-Report"'])
def test_a_failure_report_is_refused_by_what_its_header_says(written: str) -> None:
    with pytest.raises(RejectedError) as refused:
        open_message(MAIL.format(written, HEADERS).encode())
    assert refused.value.fault.reason is Reason.FAILURE_REPORT


@pytest.mark.parametrize("text", [HEADERS, "Liebe Jane, hier die Börsenzahlen", "<html><p>Dear Jane</p>"])
def test_what_is_no_report_is_not_quoted(text: str) -> None:
    with pytest.raises(RejectedError) as refused:
        open_message(MAIL.format("delivery-status", text).encode())
    detail = refused.value.fault.detail
    assert "'headers.txt' is text" in detail
    assert "Jane" not in detail


def test_what_is_called_as_a_report_is_shown() -> None:
    mail = MAIL.format("tlsrpt", "<html>Not found</html>").replace("headers.txt", "a.example!b.example!1!2.xml")
    with pytest.raises(RejectedError) as refused:
        open_message(mail.encode())
    assert "begins with '<html>Not found" in refused.value.fault.detail
