"""Of which kind a document is, where several kinds are written in the same form."""

from __future__ import annotations

import dataclasses

import pytest

from reports import kinds
from reports.document import Form
from reports.tls.kind import TLS

BATCH = b'{"batch": 1, "policies": []}'
TLS_REPORT = b'{"organization-name": "x", "date-range": {}, "policies": []}'


@pytest.fixture(params=["first", "last"])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of one more kind written in JSON, which begins or ends the list of kinds."""
    other = dataclasses.replace(TLS, name="batch", is_evident=lambda content: b'"batch"' in content)
    listed = (other, *kinds.KINDS) if request.param == "first" else (*kinds.KINDS, other)
    monkeypatch.setattr(kinds, "KINDS", listed)
    return other.name


def name_of(content: bytes) -> str:
    kind = kinds.recognize(Form.JSON, content)
    assert kind is not None
    return kind.name


def test_a_document_is_of_the_kind_that_it_evidently_is(batches: str) -> None:
    assert (name_of(BATCH), name_of(TLS_REPORT)) == (batches, "tls")


@pytest.mark.usefixtures("batches")
def test_what_is_evidently_of_none_is_of_the_first_that_it_could_be() -> None:
    assert name_of(b"{}") == next(kind.name for kind in kinds.KINDS if kind.recognize(Form.JSON, b"{}"))


def test_what_no_kind_is_written_in_is_of_none() -> None:
    assert kinds.recognize(Form.XML, b"<html/>") is None
