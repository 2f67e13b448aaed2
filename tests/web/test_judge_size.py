"""How much memory a request with cases is counted for."""

from snekhouse.evaluation import Job
from snekhouse.judging.verdicts import Expected
from snekhouse.registry.models import Registry
from snekhouse.service.cases import Case
from snekhouse.web.judge_routes import _size_of

_MIB = 1 << 20


def _case(registry: Registry, stdin: bytes, expected: str = "") -> Case:
    runtime = registry.resolve(registry.default)
    return Case(runtime, Job(args=("-c", ""), limits=runtime.limits, stdin=stdin), Expected(expected))


def test_each_case_that_runs_has_a_copy_of_its_input(registry: Registry) -> None:
    stdin = bytes(10 * _MIB)
    cases = [_case(registry, stdin)] * 5
    assert 40 * _MIB <= _size_of(cases, slots=3) < 41 * _MIB
    assert 60 * _MIB <= _size_of(cases, slots=9) < 61 * _MIB


def test_a_text_counts_for_what_it_takes_in_memory(registry: Registry) -> None:
    assert 5 * _MIB <= _size_of([_case(registry, b"", "\U0001f600" + "x" * _MIB)], slots=1) < 6 * _MIB
    assert 2 * _MIB <= _size_of([_case(registry, b"", "x" * _MIB)], slots=1) < 3 * _MIB
