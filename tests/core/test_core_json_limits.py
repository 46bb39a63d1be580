"""JSON looked at before it is read: the counts agree with what Python's reader makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.core import json_limits
from sixfold.core.json_limits import JsonLimits, violation

VALUES = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=40,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def count(value: Any) -> int:
    """Items; an empty list or mapping counts as one."""
    inside = (
        list(value.values())
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else []
    )
    own = max(1, len(inside)) if isinstance(value, dict | list) else 0
    return own + sum(map(count, inside))


@pytest.mark.parametrize("at_once", [1 << 20, 0])
@given(value=VALUES, indent=st.sampled_from([None, 1]), escaped=st.booleans())
def test_counts_and_depth_are_those_of_the_value(
    at_once: int, value: Any, indent: int | None, escaped: bool
) -> None:
    content = json.dumps(value, indent=indent, ensure_ascii=escaped).encode(
        "utf-8", "surrogatepass"
    )
    size, values, deep = len(content), count(value), depth(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "AT_ONCE", at_once)  # at 0 strings are taken out piece by piece
        assert violation(content, JsonLimits(size, values, deep)) is None
        assert violation(content, JsonLimits(size - 1, values, deep)) == (
            f"at most {size - 1:,} bytes",
            f"{size:,}",
        )
        if values:
            assert violation(content, JsonLimits(size, values - 1, deep)) == (
                f"at most {values - 1:,} values",
                f"{values:,}",
            )
            assert violation(content, JsonLimits(size, values, deep - 1)) == (
                f"at most {deep - 1} levels",
                "more",
            )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"1" * 41, ("numbers of at most 40 characters", "111111111111…")),
        (b'{"a": ' + b"9" * 5000, None),
        (b'"' + b"9" * 5000 + b'"', ""),
        (b'"\\"' + b"9" * 5000 + b'"', ""),
        (b'"\\\\"' + b"9" * 5000, None),
        (b"1" * 40, ""),
        (b"0." + b"1" * 40, None),
        (b"1e" + b"0" * 60, None),
    ],
)
def test_long_numbers_outside_of_strings(content: bytes, found: Any) -> None:
    assert (violation(content, JsonLimits(10_000, 10)) is None) == (found == "")
