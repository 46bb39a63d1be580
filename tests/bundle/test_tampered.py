"""One fact of a bundle changed and sealed again: `verify` finds it, or it is in the written list of
what no file can prove.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle

from sixfold.bundle import manifest
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError

Place = tuple[str | int, ...]
# What `verify` cannot know, by file and place (numbers of items as *): words, measurements that
# would have to be made again, and facts about rows that are not in the bundle. All of a receipt's
# are found where the report does not say the same.
NOT_PROVEN = (
    r"signature\.json inputs\.\*\.(minimum|median|maximum|optional)",  # for `unfamiliar` and the example row alone
    r"signature\.json inputs\.4\.levels\.\*|signature\.json inputs\.4\.levels",  # counted as unseen; the graph has its own
    r"signature\.json fields.*",  # of a file without a header; names are those of the columns
    r"report\.json (verdict|said|warnings).*",
    r"report\.json columns\.\*\.(missing|distinct|detail)",
    r"report\.json leaderboard\.\*\.(family|fit_s|why|compared|dropped|folds).*",
    r"report\.json importances\.\*\.(mean|spread)",
    r"report\.json confusion\.counts.*",
    r"report\.json (columns|leaderboard)",  # in another order, or a candidate said twice
    r"report\.json layers.*",
    r"report\.json (curves|figures|importances|baseline|confusion)",  # left out as a whole
)


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """Of every value: leaves, lists and mappings."""
    if path:
        yield path
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inside:
        yield from places(item, (*path, key))


def changed(value: Any) -> Iterator[Any]:
    """Other values of the same type, and none."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, -1)
    elif isinstance(value, float):
        yield from (value + 0.125, -1.5, float("inf"))
    elif isinstance(value, str):
        yield from (f"{value}x", "")
    elif isinstance(value, list):
        yield from (value[:-1], [*value, *value[:1]], value[::-1])
    elif isinstance(value, dict):
        yield {}
    if value is not None:
        yield None


def put(value: Any, path: Place, new: Any) -> Any:
    """A copy with `new` at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def shown(file: str, path: Place) -> str:
    numbered = file == "signature.json" and path[:1] == ("inputs",) and path[2:3] == ("levels",)
    parts = [
        str(part) if not isinstance(part, int) or (numbered and at == 1) else "*"
        for at, part in enumerate(path)
    ]
    return f"{file} {'.'.join(parts)}"


def tampered(file: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    whole = json.loads(content)
    for path in places(whole):
        old = whole
        for part in path:
            old = old[part]
        for new in changed(old):
            if new != old:
                yield shown(file, path), json.dumps(put(whole, path, new)).encode()


FILES = ["signature.json", "receipt.json", "report.json"]


@pytest.mark.parametrize("file", FILES)
def test_some_changed_facts_are_found(tmp_path: Path, file: str) -> None:
    find_all(tmp_path, file, "classification", step=11)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_changed_fact_is_found(tmp_path: Path, file: str, task: str) -> None:
    find_all(tmp_path, file, task)


def find_all(tmp_path: Path, file: str, task: str, step: int = 1) -> None:
    folder = tiny_bundle.make(tmp_path / "bundle", task)
    files = manifest.read(folder).files
    tried, unfound = 0, set()
    for name, content in list(tampered(file, files[file]))[::step]:
        (folder / file).write_bytes(content)
        rendered = manifest.make("0.1.0", {**files, file: content}).rendered()
        (folder / manifest.MANIFEST).write_bytes(rendered)
        tried += 1
        try:
            verify(folder)
        except BundleError:
            continue
        unfound.add(name)
    assert tried > 100 / step
    print(f"{file}, {task}: {tried} changes, {len(unfound)} places that are not proven")
    assert (
        sorted(
            name for name in unfound if not any(re.fullmatch(known, name) for known in NOT_PROVEN)
        )
        == []
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: tiny", "name: other"),
        ("target: fate", "target: size"),
        ("target: fate", "target: other"),
        ("'?'", "'!'"),
        ("version: 1", "task: regression"),
        ("version: 1", "version: 2"),
        ("missing:", "drop: [size], missing:"),
        ("missing:", "types: {size: category}, missing:"),
        ("missing:", "read: {decimal: ','}, missing:"),
        ("version: 1", "evaluate: {metrics: [f1]}"),
    ],
)
def test_a_changed_recipe_is_found(tmp_path: Path, old: str, new: str) -> None:
    assert old in tiny_bundle.RECIPE
    folder = tiny_bundle.make(tmp_path / "bundle")
    files = manifest.read(folder).files
    content = tiny_bundle.RECIPE.replace(old, new).encode()
    (folder / "recipe.yaml").write_bytes(content)
    (folder / manifest.MANIFEST).write_bytes(
        manifest.make("0.1.0", {**files, "recipe.yaml": content}).rendered()
    )
    with pytest.raises(BundleError):
        verify(folder)
