"""For authors of plugins: the contract of each kind of component as a check, and small helpers.

Example:
    from harness.testing import check_rewarder, completion

    def test_rouge() -> None:
        check_rewarder("rouge:stem=true", [completion("a cat", "the cat"), completion("", "x")])

What calls a model's service is tested against `harness.testing.faults`, in pytest through the
fixture `fault_server`.
"""

from harness.testing._checks import (
    TOLERANCE,
    check_generator,
    check_retriever,
    check_rewarder,
    completion,
    installed,
)

__all__ = [
    "TOLERANCE",
    "check_generator",
    "check_retriever",
    "check_rewarder",
    "completion",
    "installed",
]
