"""Reading YAML: what stands where, what is refused, and that nothing in a file can hang or crash
the reader.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixfold.core.errors import RecipeError
from sixfold.recipe.yaml_nodes import parse

TEXT = """name: a
build:
  - {family: mlp, hidden: [64,
      32]}
  - family: svm
"""


def test_every_key_and_item_has_its_line_and_column() -> None:
    document = parse(TEXT, "r.yaml")
    assert document.value == {
        "name": "a",
        "build": [{"family": "mlp", "hidden": [64, 32]}, {"family": "svm"}],
    }
    assert document.marks[("build",)] == (2, 1)
    assert document.marks[("build", 0, "hidden")] == (3, 19)
    assert document.marks[("build", 0, "hidden", 1)] == (4, 7)
    assert document.marks[("build", 1, "family")] == (5, 5)
    assert (
        document.place(("build", 0, "hidden", 1)) == "r.yaml, line 4, column 7: build[0].hidden[1]"
    )
    assert document.place(("build", 1, "C")) == "r.yaml, line 5, column 5: build[1].C"
    assert document.place(()) == "r.yaml, line 1, column 1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("1.5", 1.5),
        ("12", 12),
        ("-0.5e+2", -50.0),
        ("true", True),
        ("~", None),
        ("2026-11-23", "2026-11-23"),
        ("2024-99-99", "2024-99-99"),
        ("10:30 Uhr", "10:30 Uhr"),
        ("'12'", "12"),
        ("1e", "1e"),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("190:20:30", "190:20:30"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("tRUE", "tRUE"),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.INF", -math.inf),
        ("1e400", math.inf),
        ("9" * 100, int("9" * 100)),
        ("=", "="),
        ("0b1", "0b1"),
        ("NULL", None),
        ("nULL", "nULL"),
        ("''", ""),
        ("", None),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    document = parse(f"a: {text}", "r")
    assert (document.value, type(document.value["a"])) == ({"a": value}, type(value))
    assert document.faults == []


@pytest.mark.parametrize(
    "text",
    [
        "!!int abc",
        "!!bool foo",
        "!!timestamp x",
        "!!str 5",
        "! 5",
        "!!python/name:os.system",
        "!x [a]",
    ],
)
def test_no_tag_is_taken(text: str) -> None:
    tag = text.split()[0]
    assert [str(fault) for fault in parse(f"b: 1\na: {text}", "r").faults] == [
        f"r, line 2, column 1: a: expected a plain value, list or mapping; found the tag {tag}. Remove the tag."
    ]


@pytest.mark.parametrize("digits", ["9" * 101, "9" * 5000, "0." + "1" * 99, "0x" + "f" * 99])
def test_long_numbers_are_refused_with_their_place(digits: str) -> None:
    [fault] = parse(f"a:\n  - {digits}", "r").faults
    assert str(fault) == (
        f"r, line 2, column 5: a[0]: expected a number of at most 100 characters; found {len(digits):,}, which begin with "
        f"{digits[:12]}. Shorten it, or put it in quotes."
    )


@pytest.mark.parametrize(
    "text", ['a: "\\U00110000"', "%YAML " + "1" * 5000 + ".1\n---\na: 1", "%YAML 2.0\n---\na: 1"]
)
def test_what_pyyaml_stumbles_over_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(RecipeError, match=r"r, line 1.*: expected YAML; found "):
        parse(text, "r")


def test_a_merge_is_overruled_by_what_stands_beside_it() -> None:
    document = parse(
        "one: &one {epochs: 3, batch_size: 8}\ntwo: &two {epochs: 4, warm_up: 0}\n"
        "train:\n  <<: [*one, *two]\n  batch_size: 16\n",
        "r.yaml",
    )
    assert document.faults == []
    assert document.value["train"] == {"epochs": 3, "warm_up": 0, "batch_size": 16}
    assert document.place(("train", "epochs")) == "r.yaml, line 1, column 12: train.epochs"
    assert document.place(("train", "batch_size")) == "r.yaml, line 5, column 3: train.batch_size"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n",
            [
                "r, line 4, column 3: b.c: expected each key once; found 'c' again. Remove one of the two.",
                "r, line 5, column 1: a: expected each key once; found 'a' again. Remove one of the two.",
            ],
        ),
        (
            "a: 1\n? [x, y]\n: 2\n",
            [
                "r, line 2: expected a key that is text; found a list or a mapping. Write one word before the colon."
            ],
        ),
        (
            "a: 1\n<<: 5\n",
            [
                "r, line 2: expected a mapping to merge with <<; found something else. Merge an anchor of a mapping."
            ],
        ),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            [
                "r, line 1, column 1: a: expected a plain value, list or mapping; found the tag "
                "!!python/object/apply:os.system. Remove the tag."
            ],
        ),
        (
            "a: !secret x\nb: !!set {c}\n",
            [
                "r, line 1, column 1: a: expected a plain value, list or mapping; found the tag !secret. Remove the tag.",
                "r, line 2, column 1: b: expected a plain value, list or mapping; found the tag !!set. Remove the tag.",
            ],
        ),
    ],
)
def test_faults_do_not_end_the_reading(text: str, faults: list[str]) -> None:
    document = parse(text, "r")
    assert [str(fault) for fault in document.faults] == faults
    assert document.value["a"] is not None


DEEP = "r: expected at most 40 levels; found more. Look for unclosed brackets, or an anchor inside itself."
MANY = "r: expected at most 20,000 values; found more. Look for repeated anchors."
LEVELS = range(1, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: [1, 2",
            "r, line 1, column 9: expected YAML; found expected ',' or ']', but got '<stream end>'. "
            "Look at indentation, colons and quotes.",
        ),
        (
            "a: 1\n b: 2",
            "r, line 2, column 3: expected YAML; found mapping values are not allowed here. Look at indentation, "
            "colons and quotes.",
        ),
        (
            "a: *b",
            "r, line 1, column 4: expected YAML; found undefined alias 'b'. Look at indentation, colons and quotes.",
        ),
        (
            "a: 1\n---\nb: 2",
            "r, line 2, column 1: expected YAML; found another document. Look at indentation, colons and quotes.",
        ),
        (
            "a: 1\nb: \x01",
            "r, line 2: expected YAML; found unacceptable character #x0001: special characters are not "
            "allowed. Remove the character.",
        ),
        ("[" * 100_000, DEEP),
        ("a: " + "[" * 50 + "]" * 50, DEEP),
        ("a: &a [*a]", DEEP),
        ("a: &a {<<: *a}", DEEP),
        (
            "a0: &a0 [x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in LEVELS),
            MANY,
        ),
        (
            "a0: &a0 {x: 1}\n"
            + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in LEVELS),
            MANY,
        ),
    ],
)
def test_files_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "r")
    assert str(caught.value) == message


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab:-[]{}&*!<>|?#'\"\n \t,.019e~%@`\x00\ufeff"), max_size=60)
)
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    try:
        parse(text, "r")
    except RecipeError as error:
        assert error.where.startswith("r")
