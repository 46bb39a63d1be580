"""Fitted things are frozen dataclasses of arrays and plain values; this writes and reads them
without pickle.

Arrays go to `state.safetensors`, everything else to `state.json`; or several states go into one
file (`write_several`), each of which can be read without the others. A class is found again by its
dotted name among the States and Sections that exist: a file makes nothing be imported but modules
of Sixfold's that hold such classes, installed plug-ins, and modules of their packages in whose text
that class stands.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as packed

from sixfold.core.errors import BundleError
from sixfold.core.plugins import PACKAGE_ROOT, foreign_modules
from sixfold.recipe.kinds import KINDS
from sixfold.recipe.section import Section

# Folders of Sixfold whose modules hold fitted classes and do nothing when they are imported: no
# command line, no server.
FOLDERS: Final = (
    "build",
    "compress",
    "evaluate",
    "initialize",
    "parts",
    "prepare",
    "recipe",
    "train",
)
DAMAGED: Final = "The file is damaged, or was changed by hand: delete its folder and run again."
HEADER = 128  # bytes that safetensors takes to name an array and its shape, and to round them up


class State:
    """Base of every fitted dataclass: fields are arrays, plain values, Sections, States, or tuples,
    lists, dicts.
    """


T = TypeVar("T", bound=State)


def save(state: State, folder: Path) -> None:
    """Write `state` into `folder` as state.json and state.safetensors."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tree = _pack(state, arrays)
    _write(arrays, folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(tree, indent=1))


# Of safetensors' kinds of numbers, those that numpy has, in the order in which it lays them out.
KINDS_OF_NUMBERS: Final = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "uint16": "U16",
    "float16": "F16",
    "int32": "I32",
    "uint32": "U32",
    "float32": "F32",
    "float64": "F64",
    "int64": "I64",
    "uint64": "U64",
}


def _write(arrays: dict[str, np.ndarray[Any, Any]], file: Path) -> None:
    """The same bytes as safetensors, array after array: none is copied. By Python: a full disk is an OSError then."""
    kinds = list(KINDS_OF_NUMBERS)
    if any(
        array.dtype.name not in kinds or array.dtype.byteorder == ">" for array in arrays.values()
    ):
        file.write_bytes(packed(arrays))
        return
    order = sorted(arrays, key=lambda name: (-kinds.index(arrays[name].dtype.name), name))
    header, end = dict[str, Any](), 0
    for name in order:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": KINDS_OF_NUMBERS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little"))
        stream.write(text)
        for name in order:
            stream.write(arrays[name].reshape(-1).view(np.uint8).data)


@dataclasses.dataclass(frozen=True)
class PackedState:
    """A state as it is written: `text` is everything but its arrays, as JSON in ASCII."""

    text: str
    arrays: dict[str, np.ndarray[Any, Any]]

    @property
    def size_bytes(self) -> int:
        """Bytes of arrays and of text."""
        return sum(array.nbytes for array in self.arrays.values()) + len(self.text)

    @property
    def file_bytes(self) -> int:
        """What it adds to a file of several, rather more than less."""
        return self.size_bytes + HEADER * (1 + len(self.arrays))


def packed_state(state: State) -> PackedState:
    """Ready for `write_several`; its arrays are those of `state` itself."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    return PackedState(json.dumps(_pack(state, arrays)), arrays)


def write_several(states: Sequence[PackedState], file: Path) -> None:
    """One safetensors file: of state number n the arrays `n.a0`, `n.a1`, …, and its text as bytes,
    `n.text`.
    """
    content = {}
    for number, one in enumerate(states):
        content[f"{number}.text"] = np.frombuffer(one.text.encode("ascii"), dtype=np.uint8)
        content |= {f"{number}.{name}": array for name, array in one.arrays.items()}
    file.write_bytes(packed(content))


def load_one(file: Path, number: int, expected: type[T]) -> T:
    """State `number` of what `write_several` wrote; no other is read. Raises as `load`."""
    with _told(file), safe_open(file, framework="numpy") as stored:
        tree = json.loads(stored.get_tensor(f"{number}.text").tobytes())
        state = _unpack(tree, _StoredArrays(stored, number))
    return _checked(state, file, expected)


class _StoredArrays:
    """The arrays of one state of several, each read when it is asked for."""

    def __init__(self, stored: Any, number: int) -> None:
        self.stored, self.number = stored, number

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return np.asarray(self.stored.get_tensor(f"{self.number}.{name}"))


def size_bytes(state: State) -> int:
    """Bytes of arrays and of text that `save` would write: how much a fitted thing holds."""
    return packed_state(state).size_bytes


def file_bytes(state: State) -> int:
    """Bytes of the files that `save` would write, rather more than less."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    text = json.dumps(_pack(state, arrays), indent=1)
    return sum(array.nbytes + HEADER for array in arrays.values()) + HEADER + len(text)


def digest(state: State) -> str:
    """SHA-256 of what `save` would write: equal states have equal ones."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    sha = hashlib.sha256(json.dumps(_pack(state, arrays)).encode())
    sha.update(packed(arrays))
    return sha.hexdigest()


def load(folder: Path, expected: type[T]) -> T:
    """Read what `save` wrote. Raises BundleError when the folder holds something else, or what it
    holds is damaged.
    """
    with _told(folder, folder / "state.json"):
        tree = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        state = _unpack(tree, load_file(folder / "state.safetensors"))
    return _checked(state, folder, expected)


@contextlib.contextmanager
def _told(place: Path, file: Path | None = None) -> Iterator[None]:
    """What goes wrong while a state is read from `place`, in the words of a BundleError; `file`:
    which names the class.
    """
    try:
        yield
    except BundleError as error:
        raise BundleError(str(file or place), error.expected, error.found, error.remedy) from None
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        SafetensorError,
    ) as error:
        text = str(error).splitlines()[0][:200] if str(error) else ""
        problem = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise BundleError(str(place), "the state of a fitted thing", problem, DAMAGED) from None


def _checked(state: Any, place: Path, expected: type[T]) -> T:
    if not isinstance(state, expected):
        raise BundleError(
            str(place), expected.__name__, type(state).__name__, "Delete the folder and run again."
        )
    return state


def _pack(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if isinstance(value, Section):
        said = value.model_dump(mode="json", exclude_unset=True)  # some sections ask what was said
        return {"section": _dotted(type(value)), "fields": said}
    if isinstance(value, State):
        names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
        fields = {name: _pack(getattr(value, name), arrays) for name in names}
        return {"state": _dotted(type(value)), "fields": fields}
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, arrays) for item in value]}
    if isinstance(value, list):
        return [_pack(item, arrays) for item in value]
    if isinstance(value, dict):
        return {"dict": [[_pack(k, arrays), _pack(v, arrays)] for k, v in value.items()]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a State")


def _unpack(tree: Any, arrays: Mapping[str, np.ndarray[Any, Any]] | _StoredArrays) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(_unpack(item, arrays) for item in tree["tuple"])
    if "dict" in tree:
        return {_unpack(k, arrays): _unpack(v, arrays) for k, v in tree["dict"]}
    if "section" in tree:
        return _find(tree["section"], Section)(**tree["fields"])
    fields = {name: _unpack(item, arrays) for name, item in tree["fields"].items()}
    return _find(tree["state"], State)(**fields)


def _dotted(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


@cache
def _find(dotted: Any, base: type) -> Any:
    """The class of this name that is a State, or a Section. Raises BundleError; TypeError for what
    is no name.
    """
    found = _known(base).get(dotted)
    if found is None and isinstance(dotted, str):
        for module in _holders(*dotted.partition(":")[::2]):
            _import(module)
            found = _known(base).get(dotted)
            if found is not None:
                break
    if found is None:
        remedy = "Install the plug-in that it is of, or delete the folder and run again."
        raise BundleError(
            "state.json",
            f"a {base.__name__} of Sixfold or of a plug-in",
            repr(dotted)[:100],
            remedy,
        )
    return found


def _import(module: str) -> None:
    """Raises BundleError for a plug-in that is broken."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        found, remedy = (
            f"{type(error).__name__}: {error}",
            "Repair the package that brings it, or install it again.",
        )
        raise BundleError(
            "state.json", f"the module {module}, which can be imported", found, remedy
        ) from error


def _known(base: type) -> dict[str, type]:
    """Every class below `base` that exists, by its dotted name."""
    return {_dotted(cls): cls for cls in _below(base)}


def _below(base: type) -> Iterator[type]:
    classes: list[type] = type.__subclasses__(base)
    for cls in classes:
        yield cls
        yield from _below(cls)


def _holders(module: str, name: str) -> Iterator[str]:
    """Modules whose import may bring the class `name` of `module`: itself where it is Sixfold's,
    else plug-ins, those of its own package first, as they may import it; in the end itself, where a
    plug-in's package defines the class in it.
    """
    if module.partition(".")[0] == "sixfold":
        yield from {module} & _own_modules()
        return
    plugins = foreign_modules(KINDS.values())
    package = module.partition(".")[0]
    yield from sorted(plugins, key=lambda plugin: plugin.partition(".")[0] != package)
    packages = {plugin.partition(".")[0] for plugin in plugins}
    if package in packages and not module.endswith("__main__") and _defines(module, name):
        yield module


def _defines(module: str, name: str) -> bool:
    """Whether the class stands in the module's text: what has none (a command line, say) is not
    imported to look.
    """
    package, *inner = module.split(".")
    spec = importlib.util.find_spec(package)  # without dots it imports nothing
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = [
        Path(folder, *inner).with_suffix(".py")
        for folder in folders
        if inner and all(map(str.isidentifier, inner))
    ]
    files += [Path(folder, *inner, "__init__.py") for folder in folders]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return False
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in body)


@cache
def _own_modules() -> frozenset[str]:
    """By the listing of FOLDERS."""
    files = [file for folder in FOLDERS for file in (PACKAGE_ROOT / folder).rglob("*.py")]
    parts = [file.relative_to(PACKAGE_ROOT).with_suffix("").parts for file in files]
    return frozenset(".".join(("sixfold", *each)) for each in parts if each[-1] != "__init__")
