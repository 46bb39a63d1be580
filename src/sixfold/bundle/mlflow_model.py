"""A bundle as an MLflow model: a folder that MLflow's `python_function` loads, with the bundle in it as it is.

MLflow calls `_load_pyfunc` of this module, named in the file MLmodel; nothing is unpickled.
"""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from sixfold import __version__
from sixfold.bundle.load import Bundle, load
from sixfold.bundle.manifest import read
from sixfold.core import strict_json
from sixfold.core.errors import BundleError, SystemFault
from sixfold.core.paths import sync_folder, system_fault
from sixfold.recipe.signature import Input, Signature

DATA: Final = "bundle"
PYTHON: Final = "python_env.yaml"
# Tasks whose models answer no rows: whose a bundle is, and what to do.
OTHERS: Final = {
    "generation": (
        "a language model's",
        "Serve it with sixfold serve, or export it with --gguf or --hf.",
    ),
    "recommendation": ("a recommender's", "Serve it with sixfold serve."),
}
TYPES: Final = {"number": "double", "boolean": "boolean", "text": "string", "date": "string"}
CLASSES: Final = {"text": "string", "date": "string", "boolean": "boolean"}
PINNED: Final = ("numpy", "onnxruntime", "pandas")  # pandas: MLflow asks with its tables


class PyfuncRows(Protocol):
    """What a pandas DataFrame can do, which the base install does not have."""

    def to_dict(self, orient: str) -> list[dict[Any, Any]]:
        """A record a row."""


class PyfuncModel:
    """What MLflow asks."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: PyfuncRows, params: object = None) -> list[dict[str, Any]]:
        """A record a row: its label and probabilities, or its value. Raises RowError."""
        return self.bundle.predict(model_input.to_dict("records")).records()


def _load_pyfunc(path: str) -> PyfuncModel:
    """MLflow's name for it. Raises BundleError where a byte is not what was sealed."""
    return PyfuncModel(load(path))


def export_mlflow(bundle: Path, out: Path) -> list[str]:
    """Write the new folder `out`; returns the names of its files. Raises BundleError, also for a language model's bundle
    and for one that needs a plug-in of another package, and SystemFault.
    """
    loaded = load(bundle)
    if loaded.signature.task in OTHERS:
        raise BundleError(str(bundle), "a bundle that answers rows", *OTHERS[loaded.signature.task])
    if out.exists() or out.is_symlink():
        remedy = "Choose another name, or remove it yourself."
        raise SystemFault(str(out), "a name that is free", "something of this name", remedy)
    aside = out.with_name(out.name + ".tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(bundle, aside / DATA)
        read(aside / DATA)
        for name, text in _files(loaded.signature).items():
            (aside / name).write_text(text, encoding="utf-8")
        sync_folder(aside)
        aside.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise system_fault(out, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sorted(one.relative_to(out).as_posix() for one in out.rglob("*") if one.is_file())


def _files(signature: Signature) -> dict[str, str]:
    pins = [f"sixfold=={__version__}", *(f"{name}=={_version(name)}" for name in PINNED)]
    requirements = [pin for pin in pins if not pin.endswith("==")]
    python = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    flavor = {
        "data": DATA,
        "env": {"virtualenv": PYTHON},
        "loader_module": __name__,
        "python_version": platform.python_version(),
    }
    model = {
        "flavors": {"python_function": flavor},
        "signature": {
            "inputs": strict_json.text([_column(one) for one in signature.inputs], None),
            "outputs": strict_json.text(_outputs(signature), None),
            "params": None,
        },
    }
    return {
        "MLmodel": yaml.safe_dump(model, allow_unicode=True),
        PYTHON: yaml.safe_dump(python),
        "requirements.txt": "\n".join(requirements) + "\n",
    }


def _version(name: str) -> str:
    """ "" where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _column(one: Input) -> dict[str, Any]:
    """`required`: a column that was never empty in training. A level that is no text, and a file, are taken in every
    form that a bundle takes.
    """
    is_text = one.type == "category" and one.level_type == "text"
    kind = "string" if is_text else TYPES.get(one.type, "any")
    return {"type": kind, "name": one.name, "required": not one.optional}


def _outputs(signature: Signature) -> list[dict[str, Any]]:
    """As MLflow writes a record's fields: a number for each class or value."""
    found: list[dict[str, Any]] = []
    for output in signature.outputs:
        if output.name == "label":
            kind = CLASSES.get(signature.class_type, "any")
            found.append({"type": kind, "name": output.name, "required": True})
        elif output.name == "text":
            found.append({"type": "string", "name": output.name, "required": True})
        elif output.name == "value" and len(output.columns) == 1:
            found.append({"type": "double", "name": output.name, "required": True})
        else:
            numbers = {name: {"type": "double", "required": True} for name in output.columns}
            each = {"type": "object", "properties": numbers}
            found.append({**each, "name": output.name, "required": True})
    return found
