"""What a notebook shows of a bundle, of its answers and of an estimator is text, whatever the names
are.
"""

from __future__ import annotations

from pathlib import Path

import tiny_bundle
from sklearn.utils import estimator_html_repr

from sixfold.bundle.load import load
from sixfold.bundle.predictions import Predictions
from sixfold.recipe.signature import Signature
from sixfold.sklearn import SixfoldClassifier

TAGS = "<script>alert('1')</script>\"'&<img src=x onerror=alert(1)>"


def harmless(html: str) -> bool:
    return "alert(1)" in html and "<script>alert" not in html and "<img" not in html


def test_names_of_a_bundle_are_text(tmp_path: Path) -> None:
    receipt = tiny_bundle.parts().receipt.model_copy(update={"candidate": TAGS})
    bundle = load(tiny_bundle.make(tmp_path / "bundle", receipt=receipt))
    assert harmless(bundle._repr_html_())
    inputs = tuple(
        each.model_copy(update={"name": f"{each.name}{TAGS}"}) for each in bundle.signature.inputs
    )
    object.__setattr__(bundle, "signature", bundle.signature.model_copy(update={"inputs": inputs}))
    object.__setattr__(bundle, "receipt", tiny_bundle.RECEIPT)
    assert harmless(bundle._repr_html_())


def test_classes_and_labels_are_text(tmp_path: Path) -> None:
    answers = load(tiny_bundle.make(tmp_path / "bundle")).predict(tiny_bundle.ROWS)
    content = answers.signature.model_dump_json().replace("keep", TAGS.replace('"', '\\"'))
    outputs = {
        "label": answers.outputs["probability"][:, 0].astype(object),
        "probability": answers.outputs["probability"],
    }
    outputs["label"][:] = TAGS
    assert harmless(Predictions(Signature.model_validate_json(content), outputs)._repr_html_())


def test_what_an_estimator_was_told_is_text() -> None:
    assert harmless(
        estimator_html_repr(SixfoldClassifier(build={"family": TAGS}, prepare={TAGS: TAGS}))
    )
