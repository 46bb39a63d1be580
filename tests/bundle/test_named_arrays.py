"""Named arrays in a safetensors file: what is written is read, by us and by the reference, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from sixfold.bundle import named_arrays
from sixfold.bundle.named_arrays import ArrayForm, NamedArrays
from sixfold.core.errors import BundleError
from sixfold.core.json_limits import JsonLimits

LIMITS = JsonLimits(64 << 10, values=100)
FORMS = {f"a{size}": ArrayForm(tuple(named_arrays.TYPES), size) for size in (1, 2, 3)}
array = st.sampled_from(sorted(named_arrays.TYPES.values())).flatmap(
    lambda kind: st.tuples(*(arrays_of.arrays(kind, shape(size)) for size in (1, 2, 3)))
)


def shape(size: int) -> st.SearchStrategy[Any]:
    return arrays_of.array_shapes(min_dims=size, max_dims=size, min_side=0, max_side=4)


def read(content: bytes) -> NamedArrays:
    return named_arrays.read(content, FORMS, LIMITS, lambda found: found, "f", "a file")


@given(array, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_what_is_written_is_read(found: tuple[Any, ...], texts: dict[str, str]) -> None:
    held = dict(zip(FORMS, found, strict=True))
    content = named_arrays.pack(texts, held)
    back = read(content)
    assert back.texts == texts
    assert list(held) == sorted(back.arrays)
    for name, own in held.items():
        assert (back.arrays[name].dtype, back.arrays[name].shape) == (own.dtype, own.shape)
        assert back.arrays[name].tobytes() == own.tobytes()
    assert content == named_arrays.pack(texts, dict(reversed(held.items())))


@given(array)
def test_the_reference_reads_it_too(found: tuple[Any, ...]) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    held = dict(zip(FORMS, found, strict=True))
    back = safetensors.load(named_arrays.pack({"kind": "some"}, held))
    assert {name: each.tobytes() for name, each in back.items()} == {
        name: each.tobytes() for name, each in held.items()
    }


@given(array, st.data())
def test_a_file_that_is_cut_or_longer_is_refused(found: tuple[Any, ...], data: Any) -> None:
    content = named_arrays.pack({}, dict(zip(FORMS, found, strict=True)))
    for changed in (content[: data.draw(st.integers(0, len(content) - 1))], content + b"\0"):
        with pytest.raises(BundleError, match=r"f: .*expected a file"):
            read(changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [("other", np.zeros(3)), ("a1", np.zeros((3, 1))), ("a2", np.zeros(3, dtype=np.float32))],
)
def test_other_names_and_dimensions_are_refused(name: str, value: Any) -> None:
    with pytest.raises(BundleError):
        read(named_arrays.pack({}, {name: value}))


def test_a_type_that_it_has_not_is_no_array_of_it() -> None:
    with pytest.raises(KeyError):
        named_arrays.pack({}, {"a1": np.zeros(3, dtype=np.complex128)})
