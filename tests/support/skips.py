"""Which tests may be skipped in CI, and why: any other skip is a failure there."""

from __future__ import annotations

import pytest

#: What a reason begins with.
ALLOWED = (
    "../shared is not here",  # recordings and labelled texts, which no checkout holds
    "the OpenFst tools are not installed",  # this machine compares with a graph made by them
    "flite is not installed",  # likewise
    "kubectl is not here",  # kustomize is built in its place
    "this machine has a promtool",  # then fetching one is not tried
    "the broker of KAFKA_BROKERS is not ours to break",  # and there is no Java for another
)


class Skips:
    """Notes why tests were skipped, prints it, and fails a run of CI for a reason on no list."""

    def __init__(self, *, is_ci):
        self._is_ci = is_ci
        self._reasons = []

    def pytest_runtest_logreport(self, report):
        """Note a skip."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._reasons.append(reason_of(report))

    def pytest_terminal_summary(self, terminalreporter):
        """Print each reason, with how many tests it skipped."""
        for reason in sorted(set(self._reasons)):
            count = self._reasons.count(reason)
            terminalreporter.write_line(f"skipped {count}: {reason}")
        for reason in surprising(self._reasons) if self._is_ci else ():
            terminalreporter.write_line(f"CI must not skip for this: {reason}", red=True)

    def pytest_sessionfinish(self, session):
        """Fail the run."""
        if self._is_ci and surprising(self._reasons) and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def surprising(reasons):
    """Return those of *reasons* that are on no list."""
    return sorted({each for each in reasons if not each.startswith(ALLOWED)})


def reason_of(report):
    """Return why a test was skipped, without pytest's own word for it."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")
