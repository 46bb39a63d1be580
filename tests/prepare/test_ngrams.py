"""N-grams as features: against scikit-learn, against the graph, and against rows that were held
out.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from preparing import session
from scipy.sparse import hstack, issparse
from sklearn.feature_extraction.text import TfidfVectorizer

from sixfold.bundle.modality_reader import described_input, reader_of
from sixfold.bundle.texts import LIMITS, TextEncoder
from sixfold.core.errors import BundleError, DataError
from sixfold.core.texts import TextForm, hashed, words
from sixfold.parts import state
from sixfold.parts.fit import Needs
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare.features.ngrams import NGrams, Settings
from sixfold.prepare.preparer import Preparer
from sixfold.prepare.preparer import fit as preparer_of
from sixfold.prepare.step import Training
from sixfold.recipe.schema import Prepare
from sixfold.recipe.texts import TermWeights, TextInput

TRAINING = Training(("body",), np.zeros((0, 1)), "classification", 0)
ODD = [
    "",
    " ",
    "e\u0301t\u00e9 \u00c9T\u00c9",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643",
    "\U0001f600\U0001f600 free!!!",
    "\ud800 half",
    "a\u200bb ab",
    "नमस्ते दुनिया",
]


def some_texts(count: int = 60, seed: int = 0) -> list[str]:
    """Sentences of a few words, some of them repeated, with odd ones between."""
    rng = random.Random(seed)
    pool = [
        "free",
        "Prize",
        "call",
        "me",
        "o'clock",
        "ünder",
        "now!",
        "1,000",
        "£5",
        "x",
        "日本語",
        "WINNER",
    ]
    made = [" ".join(rng.choice(pool) for _ in range(rng.randint(1, 12))) for _ in range(count)]
    return [*made, *ODD]


def fit(texts: list[str], **options: Any) -> NGrams:
    return Settings(**options).fit(texts, TRAINING)


def served(step: NGrams, texts: list[str]) -> Any:
    """What the front end of a bundle makes of texts."""
    return TextEncoder(TextInput(name="text_0", column="body", terms=step.parts)).encode(texts)


def sk(options: dict[str, Any], **more: Any) -> TfidfVectorizer:
    form = TextForm()
    unit = {"tokenizer": words, "token_pattern": None} if options["analyzer"] == "word" else {}
    return TfidfVectorizer(preprocessor=form.normalized, lowercase=False, **unit, **options, **more)


@pytest.mark.parametrize("sublinear", [True, False])
@pytest.mark.parametrize("weight", ["idf", "none"])
@pytest.mark.parametrize(
    ("own", "other"),
    [
        ({"words": (1, 2), "characters": None}, {"analyzer": "word", "ngram_range": (1, 2)}),
        ({"words": (2, 3), "characters": None}, {"analyzer": "word", "ngram_range": (2, 3)}),
        ({"words": None, "characters": (2, 5)}, {"analyzer": "char_wb", "ngram_range": (2, 5)}),
        (
            {"words": None, "characters": (1, 3), "across_words": True},
            {"analyzer": "char", "ngram_range": (1, 3)},
        ),
    ],
)
def test_as_scikit_learn(
    own: dict[str, Any], other: dict[str, Any], weight: str, sublinear: bool
) -> None:
    texts, new = some_texts(), some_texts(seed=1)
    ours = fit(texts, **own, weight=weight, sublinear=sublinear, features=100_000)
    theirs = sk(other, min_df=2, use_idf=weight == "idf", sublinear_tf=sublinear).fit(texts)
    assert list(ours.parts[0].terms) == theirs.get_feature_names_out().tolist()
    for rows in (texts, new):
        np.testing.assert_allclose(
            ours.transform(rows).toarray(), theirs.transform(rows).toarray(), rtol=0, atol=1e-12
        )


def test_words_beside_characters_have_norm_one_each() -> None:
    texts = some_texts()
    ours = fit(texts, words=(1, 2), characters=(2, 4)).transform(texts)
    parts = [
        sk({"analyzer": "word", "ngram_range": (1, 2)}, min_df=2, sublinear_tf=True).fit_transform(
            texts
        ),
        sk(
            {"analyzer": "char_wb", "ngram_range": (2, 4)}, min_df=2, sublinear_tf=True
        ).fit_transform(texts),
    ]
    np.testing.assert_allclose(ours.toarray(), hstack(parts).toarray(), rtol=0, atol=1e-12)


def test_the_most_frequent_are_kept_and_ties_go_by_the_alphabet() -> None:
    texts = ["b a", "b a", "b c", "d c"]
    found = fit(texts, words=(1, 1), characters=None, features=2, min_rows=1)
    assert found.parts[0].terms == ("a", "b")  # b in three texts, a before c with two each


@pytest.mark.parametrize(
    "options", [{}, {"hashed": True, "features": 64}, {"unit_norm": False, "weight": "none"}]
)
def test_serving_gives_the_same_bits(options: dict[str, Any]) -> None:
    texts, new = some_texts(), some_texts(seed=1)
    step = fit(texts, **options)
    np.testing.assert_array_equal(served(step, new), step.transform(new).toarray())


def test_one_text_after_the_other_gives_the_same_bits() -> None:
    step, new = fit(some_texts()), some_texts(seed=1)
    encoder = TextEncoder(TextInput(name="text_0", column="body", terms=step.parts))
    np.testing.assert_array_equal(
        np.concatenate([encoder.encode_in_place([text]).copy() for text in new]),
        encoder.encode(new),
    )


def test_a_hash_counts_what_its_places_share() -> None:
    texts = ["a b c d", "a"]
    step = fit(
        texts,
        words=(1, 1),
        characters=None,
        features=2,
        hashed=True,
        weight="none",
        sublinear=False,
        unit_norm=False,
    )
    place = hashed(2)
    expected = np.zeros((2, 2))
    for row, text in enumerate(texts):
        for word in text.split():
            expected[row, place(word)] += 1
    np.testing.assert_array_equal(step.transform(texts).toarray(), expected)


def test_hashed_places_are_spread_evenly() -> None:
    place, counts = hashed(50), np.zeros(50)
    for number in range(20_000):
        counts[place(f"w{number}")] += 1
    chi_square = float(((counts - 400) ** 2 / 400).sum())
    assert chi_square < 85.4  # 49 degrees of freedom: once in a thousand


def test_nothing_of_a_text_that_was_held_out_is_learned(tmp_path: Any) -> None:
    texts = some_texts()
    digests = {state.digest(fit(texts)) for _ in range(2)}
    held_out = [text.upper() + " secret" for text in some_texts(seed=9)]
    step = fit(texts)
    before = step.transform(texts).toarray()
    step.transform(held_out)
    assert {state.digest(step)} == digests
    np.testing.assert_array_equal(step.transform(texts).toarray(), before)
    assert not any("secret" in term for part in step.parts for term in part.terms)


def test_it_is_stored_and_read_again(tmp_path: Any) -> None:
    step = fit(some_texts())
    state.save(step, tmp_path)
    again = state.load(tmp_path, NGrams)
    assert state.digest(again) == state.digest(step)
    np.testing.assert_array_equal(again.transform(ODD).toarray(), step.transform(ODD).toarray())


def test_a_text_without_a_known_term_is_zero() -> None:
    step = fit(["a b", "a b"])
    found = step.transform(["", "zzz", "a"]).toarray()
    assert not found[:2].any() and found[2].any()


def test_features_are_named_by_their_terms() -> None:
    step = fit(["free now", "free now"], words=(1, 1), characters=(3, 3))
    names = [feature.name for feature in step.features(["body"])]
    assert names[:2] == ["body has 'free'", "body has 'now'"]
    assert "body spells ' fr'" in names


def test_nothing_often_enough_is_an_error() -> None:
    with pytest.raises(DataError) as error:
        fit(["a", "b"])
    assert str(error.value) == (
        "prepare, ngrams: expected n-grams that 2 training texts have; found none. "
        "Lower min_rows, or look whether the column holds text (data.types)."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": None, "characters": None}, "words, or characters, or both"),
        ({"words": (3, 2)}, "two sizes from 1 to 20, the smaller one first"),
        ({"characters": (0, 2)}, "two sizes from 1 to 20, the smaller one first"),
    ],
)
def test_options_that_say_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": ()}, "one of terms and hashed"),
        ({"hashed": 5}, "one of terms and hashed"),
        ({"high": 1, "low": 2}, "high below low"),
        ({"rows": (1,)}, "rows that are not one for each term"),
        ({"rows": (1, 3)}, "rows that are not one for each term"),
        ({"texts": 0}, "rows that are not one for each term"),
    ],
)
def test_terms_of_a_bundle_that_contradict_each_other_are_refused(
    change: dict[str, Any], message: str
) -> None:
    fields = fit(["a b", "a b"], characters=None, words=(1, 1)).parts[0].model_dump()
    with pytest.raises(ValueError, match=message):
        TermWeights(**{**fields, **change})


def table_of(texts: list[str]) -> Table:
    """A column of text beside one of numbers."""
    levels = tuple(sorted(set(texts) - {""}))
    codes = np.array([levels.index(text) if text else -1 for text in texts], dtype=np.int32)
    number = np.array([float(len(text)) for text in texts])
    return Table(
        {"body": Column("text", codes, levels), "size": Column("number", number)}, len(texts)
    )


@pytest.mark.parametrize("sparse", [True, False])
def test_a_preparer_of_text_and_numbers(sparse: bool, tmp_path: Any) -> None:
    texts = some_texts(40)
    table = table_of(texts)
    target = Target("classification", np.arange(len(texts)) % 2, ("y",), ("n", "p"))
    needs = Needs(sparse=sparse)
    preparer, x, _ = preparer_of(table, target, Prepare(), needs, 0)
    assert issparse(x) is sparse
    dense_x = x.toarray() if sparse else x
    np.testing.assert_array_equal(preparer.transform(table), dense_x)
    assert preparer.texts == {"body"} and preparer.feature_sources.count("body") == x.shape[1] - 1
    state.save(preparer, tmp_path)
    np.testing.assert_array_equal(state.load(tmp_path, Preparer).transform(table), dense_x)
    graph = Graph()
    y = preparer.export(graph, RawInputs(graph, ["size"], ()))
    graph.output("y", y, TensorProto.DOUBLE, ["rows", x.shape[1]])
    (content,) = [prop.value for prop in graph.model().metadata_props if prop.key == "text_0"]
    encoder = reader_of("text").encoder("text_0", content.encode(), "model.onnx")
    feeds = {"numbers": table.columns["size"].values[:, None], "text_0": encoder.encode(texts)}
    np.testing.assert_allclose(
        session(graph, feeds).run(None, feeds)[0], dense_x, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("sparse", [True, False])
def test_held_out_texts_change_no_bit(sparse: bool) -> None:
    """Whatever stands in them, and whichever levels the whole table has."""
    texts, rows = some_texts(60), np.arange(40)
    other = [*texts[:40], *(f"!{text} leaked words leaked words" for text in texts[40:])]
    target = Target("classification", np.arange(len(texts)) % 2, ("y",), ("n", "p"))
    found = []
    for some in (texts, other):
        preparer, x, _ = preparer_of(
            table_of(some).take(rows), target.take(rows), Prepare(), Needs(sparse=sparse), 0
        )
        found.append((state.digest(preparer), (x.toarray() if sparse else x).tobytes()))
    assert found[0] == found[1]
    inside, _, _ = preparer_of(table_of(other), target, Prepare(), Needs(sparse=sparse), 0)
    assert any("leaked" in name for name in inside.feature_names)  # the perturbation is one


def test_equal_texts_enter_the_graph_once() -> None:
    step, graph = fit(["a b", "a b"]), Graph()
    inputs = RawInputs(graph, [], ())
    names = [inputs.encoded("text", step.described(column)) for column in ("one", "one", "two")]
    assert names == ["text_0", "text_0", "text_1"]


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("nul", "expected text_0 described as Sixfold does; found Invalid JSON"),
        ("{}", "expected text_0 described as Sixfold does; found Field required"),
        (
            '{"name": "text_1", "column": "a", "terms": []}',
            "expected text_0 described as Sixfold does; found Value error, one of terms and tokens",
        ),
        (
            TextInput(name="text_1", column="a", terms=fit(["a b", "a b"]).parts).model_dump_json(),
            "expected the description of text_0; found text_1",
        ),
        ("[" * 100 + "]" * 100, "expected text_0: "),
    ],
)
def test_descriptions_that_sixfold_never_writes_are_refused(described: str, message: str) -> None:
    with pytest.raises(BundleError) as error:
        described_input(TextInput, "text_0", described.encode(), LIMITS, "model.onnx")
    assert str(error.value).startswith(f"model.onnx: {message}")
