"""sixfold explain: a row in three forms, a table for people and JSON for programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sixfold.bundle.load import load
from sixfold.cli import group
from sixfold.cli.explained_pieces import pieces_shown
from sixfold.core.errors import BundleError, RowError

sys.path.insert(0, str(Path(__file__).parents[1] / "bundle"))
sys.path.insert(0, str(Path(__file__).parents[1] / "bundle" / "explain"))
import bright_images
import linear_bundle
import loud_recordings
import spoken_letters
import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_bundle.make(tmp_path_factory.mktemp("explain") / "bundle")


def explained(*arguments: object, stdin: str = "") -> str:
    done = CliRunner().invoke(group, ["explain", *map(str, arguments)], input=stdin)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_a_row_may_be_an_object_a_file_or_stdin(bundle: Path, tmp_path: Path) -> None:
    row = json.dumps(tiny_bundle.raw())
    (tmp_path / "rows.jsonl").write_text(f"{row}\n{row}\n")
    found = json.loads(explained(bundle, row, "--json"))
    assert json.loads(explained(bundle, "-", "--json", stdin=row)) == found
    assert json.loads(explained(bundle, tmp_path / "rows.jsonl", "--json")) == found
    (record,) = found["explanations"]
    answer = record.pop("answer")
    loaded = load(bundle)
    assert record == loaded.explain([tiny_bundle.raw()]).records()[0]
    assert answer == loaded.predict([tiny_bundle.raw()]).records()[0]
    two = json.loads(explained(bundle, tmp_path / "rows.jsonl", "--rows", 2, "--json"))
    assert len(two["explanations"]) == 2


def test_the_table_has_signs_base_sum_and_method(bundle: Path) -> None:
    text = explained(bundle, json.dumps(tiny_bundle.raw()), "--output", "<toss>")
    lines = text.splitlines()
    assert lines[0].startswith("<toss>: log-odds ")
    assert lines[1].split()[:2] == ["base", "value"]
    assert "exact: weight times distance from the mean" in lines[-1]
    red = next(line for line in lines if line.strip().startswith("colour"))
    assert "+1.75" in red
    assert red.rstrip().endswith("= red")
    sampled = explained(bundle, json.dumps(tiny_bundle.raw()), "--method", "sampled")
    assert "±" in sampled


@pytest.mark.parametrize(("row", "message"), [("{", "a JSON object"), ("{}", "the column 'size'")])
def test_what_is_no_row_is_refused(bundle: Path, row: str, message: str) -> None:
    with pytest.raises(RowError, match=message):
        explained(bundle, row)
    with pytest.raises(RowError, match="a JSON object"):
        explained(bundle, "-", stdin="[1]")


def test_faithfulness_of_a_file(bundle: Path, tmp_path: Path) -> None:
    rows = [json.dumps(tiny_bundle.raw(size=size)) for size in (1, 2, 7)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    arguments = (bundle, "--faithfulness", tmp_path / "rows.jsonl")
    found = json.loads(explained(*arguments, "--json"))["faithfulness"]
    assert found["rows"] == 3
    assert set(found["areas"]) == {"deletion", "insertion", "random_deletion", "random_insertion"}
    assert explained(*arguments).startswith("Faithfulness over 3 rows")
    with pytest.raises(click.UsageError, match="Give a ROW, or --faithfulness"):
        group.main(["explain", str(bundle)], standalone_mode=False)


def test_the_least_change_and_the_nearest_rows(bundle: Path) -> None:
    row = json.dumps(tiny_bundle.raw(size=-8.0, colour="café"))
    arguments = (bundle, row, "--counterfactual", "--fixed", "colour,label", "--nearest", 2)
    found = json.loads(explained(*arguments, "--json"))
    assert len(found["nearest"]) == 2
    moved = {each["column"] for each in found["counterfactual"]["changes"]}
    assert moved
    assert not moved & {"colour", "label"}
    text = explained(*arguments)
    assert " → " in text
    assert " away, answered " in text
    everything = "size,label,new,since,colour"
    assert "No change" in explained(bundle, row, "--counterfactual", "--fixed", everything)
    with pytest.raises(click.UsageError, match="are of --counterfactual"):
        group.main(["explain", str(bundle), row, "--fixed", "size"], standalone_mode=False)


def test_pieces_of_texts_images_and_recordings(tmp_path: Path) -> None:
    bright = bright_images.make(tmp_path / "bright")
    (tmp_path / "shot.png").write_bytes(bright_images.photo(200))
    (tmp_path / "rows.csv").write_text("photo,weight,note\nshot.png,2,a late night\n")
    text = explained(bright, tmp_path / "rows.csv")
    assert "note: words, those that change the answer most first" in text
    assert "photo: patches of the 4 × 4 pixels that the model sees" in text
    assert "columns, each against its usual value" in text
    (record,) = json.loads(explained(bright, tmp_path / "rows.csv", "--json"))["explanations"]
    assert record["pieces"]["note"]["words"][-1]["text"] == "night"
    loud = loud_recordings.make(tmp_path / "loud")
    (tmp_path / "tone.wav").write_bytes(loud_recordings.sound(0.5))
    text = explained(loud, tmp_path / "tone.wav")
    assert "sound: windows of time of the recording" in text
    assert "Faithfulness: taking windows of time away in this order" in text
    text = explained(loud, tmp_path / "tone.wav", "--method", "bands")
    assert "sound: bands of frequency in windows of time of the recording" in text
    assert "2,722 to 4,000 Hz" in text
    assert "Faithfulness: taking bands in windows of time away in this order" in text
    found = explained(bright, "--faithfulness", tmp_path / "rows.csv")
    assert found.startswith("Faithfulness over 1 row: taking words and patches away")


def test_pixels_are_added_up_to_patches() -> None:
    changes = [[1.0] * 30 for _ in range(20)]
    told = {"photo": {"kind": "image", "height": 20, "width": 30, "changes": changes}}
    head, *lines = pieces_shown({"pieces": told})
    assert head == "photo: patches of the 20 × 30 pixels that the model sees"
    shown = [[float(each) for each in line.split()] for line in lines]
    assert (len(shown), {len(row) for row in shown}) == (8, {8})
    assert sum(map(sum, shown)) == 600.0


def test_where_a_text_is_said_in_a_recording(bundle: Path, tmp_path: Path) -> None:
    letters = spoken_letters.make(tmp_path / "letters")
    (tmp_path / "said.wav").write_bytes(spoken_letters.said("a--  --b"))
    text = explained(letters, tmp_path / "said.wav")
    assert text.startswith("a b: log-probability")
    assert "sound: windows of time of the recording" in text
    assert "'b', 0.700 to 0.800 s: most from 0.7" in text
    given = explained(letters, tmp_path / "said.wav", "--answer", "ab", "--json")
    (record,) = json.loads(given)["explanations"]
    assert record["output"] == "ab"
    assert [each["word"] for each in record["pieces"]["sound"]["words"]] == ["ab"]
    told = explained(letters, "--faithfulness", tmp_path / "said.wav")
    assert told.startswith("Faithfulness over 1 row: taking windows of time away")
    with pytest.raises(RowError, match="characters among"):
        explained(letters, tmp_path / "said.wav", "--answer", "xyz")
    with pytest.raises(click.UsageError, match=r"--answer is of --prompt, or of a recording\."):
        group.main(["explain", str(bundle), "{}", "--answer", "a"], standalone_mode=False)


GIVEN = {
    "--output": "a",
    "--method": "exact",
    "--rows": "2",
    "--counterfactual": None,
    "--nearest": "1",
    "--seconds": "5",
    "--answer": "a",
}


def test_what_an_answer_says_nothing_of_is_refused(bundle: Path, tmp_path: Path) -> None:
    letters = spoken_letters.make(tmp_path / "letters")
    (tmp_path / "said.wav").write_bytes(spoken_letters.said("a--  --b"))
    (tmp_path / "rows.jsonl").write_text(json.dumps(tiny_bundle.raw()) + "\n")
    row = json.dumps(tiny_bundle.raw())
    modes: list[tuple[list[object], set[str]]] = [
        ([letters, tmp_path / "said.wav"], {"--seconds", "--answer"}),
        ([bundle, row, "--nearest", 1], {"--nearest", "--counterfactual"}),
        ([bundle, "--faithfulness", tmp_path / "rows.jsonl"], {"--method", "--seconds"}),
        ([bundle, "--prompt", "Hi"], {"--method", "--seconds", "--answer"}),
    ]
    for asked, taken in modes:
        for option, value in GIVEN.items():
            if option in taken:
                continue
            words = [option] if value is None else [option, value]
            with pytest.raises(click.UsageError, match=option):
                group.main(["explain", *map(str, asked), *words], standalone_mode=False)


def test_a_prompt_is_of_language_models_alone(bundle: Path) -> None:
    with pytest.raises(BundleError, match="a language model's bundle, for --prompt"):
        explained(bundle, "--prompt", "Hi")
    with pytest.raises(RowError, match="a network with attention over the tokens of a text"):
        explained(bundle, json.dumps(tiny_bundle.raw()), "--method", "rollout")
