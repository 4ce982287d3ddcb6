"""What a gate says: one result per check, one report per sealed file or load. Nothing in here holds a source's text."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["passed", "warned", "failed", "error"]
RED: tuple[State, ...] = ("failed", "error")


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    `observed` counts (it never quotes), `samples` are up to five surrogate keys, `sql` shows the violations again.
    """

    check_id: str
    severity: str
    owner: str
    subject: str
    state: State
    observed: str
    because: str
    fix: str
    sql: str
    samples: tuple[str, ...] = ()

    @property
    def is_red(self) -> bool:
        """Whether this result alone keeps the gate closed."""
        return self.state in RED


@dataclass(frozen=True)
class GateReport:
    """All results of one gate over one subject (a load id, or the sealed file).

    `results` also holds what the gate found wrong with itself (a deleted suite, a check that did not run); `declared`
    and `executed` count the checks of the YAML files only. `sha256` is the hash of the sealed file (marts only).
    """

    gate: str
    subject: str
    results: tuple[CheckResult, ...]
    declared: int
    executed: int
    sha256: str | None = None

    @property
    def verdict(self) -> Literal["pass", "fail"]:
        """`fail` when a result is red, when a declared check did not run, or when nothing was declared."""
        if self.declared == 0 or self.executed != self.declared or self.first_failure is not None:
            return "fail"
        return "pass"

    @property
    def first_failure(self) -> CheckResult | None:
        """The first red result."""
        return next((result for result in self.results if result.is_red), None)

    @property
    def counts(self) -> dict[str, int]:
        """{declared, executed, passed, warned, failed}; errors are failures."""
        states = Counter(result.state for result in self.results)
        return {
            "declared": self.declared,
            "executed": self.executed,
            "passed": states["passed"],
            "warned": states["warned"],
            "failed": states["failed"] + states["error"],
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the manifest and the ledger."""
        return {
            "gate": self.gate,
            "subject": self.subject,
            "verdict": self.verdict,
            "sha256": self.sha256,
            "checks": self.counts,
            "results": [asdict(result) | {"samples": list(result.samples)} for result in self.results],
        }
