"""Which category and severity the failure details of one message have, in bounded time."""

from __future__ import annotations

from functools import lru_cache

from reports.tls.failures import classify
from reports.tls.limits import REASONS


class Classifier:
    """Classifies the failure details of a message.

    A reason code is free text that a dozen patterns search, a tenth of a millisecond for each. The same few fill real
    reports; of one message only so many different ones are searched, the others are what their result type says.
    """

    def __init__(self, *, reasons: int = REASONS) -> None:
        self._reasons = reasons
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    @property
    def full(self) -> bool:
        """Whether there were more different reasons than are searched."""
        return len(self._known) > self._reasons

    def __call__(self, result_type: str, reason_code: str) -> tuple[str, str]:
        """Category and severity."""
        found = self._known.get((result_type, reason_code))
        if found is not None:
            return found
        if len(self._known) > self._reasons:
            return _category_and_severity(result_type, "")
        if len(self._known) == self._reasons:
            self._known[result_type, reason_code] = _category_and_severity(result_type, "")
        else:
            self._known[result_type, reason_code] = _category_and_severity(result_type, reason_code)
        return self._known[result_type, reason_code]


@lru_cache(maxsize=16_384)
def _category_and_severity(result_type: str, reason_code: str) -> tuple[str, str]:
    classification = classify(result_type, reason_code)
    return classification.category.value, classification.severity.value
