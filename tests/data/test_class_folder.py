"""A folder with a subfolder a class: what is taken, what is left out, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixfold.bundle.audio import ENDINGS as SOUNDS
from sixfold.bundle.images import ENDINGS
from sixfold.core.errors import DataError
from sixfold.data.class_folder import FileKind, labeled_files


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


IMAGES = FileKind("image", ENDINGS)


def test_images_are_labeled_by_their_folder_in_a_fixed_order(tmp_path: Path) -> None:
    made(tmp_path, "dog/b.JPG", "cat/2.png", "cat/deep/1.webp", "dog/a.tif")
    found = labeled_files(tmp_path, IMAGES)
    assert found.paths == ("cat/2.png", "cat/deep/1.webp", "dog/a.tif", "dog/b.JPG")
    assert found.labels == ("cat", "cat", "dog", "dog")
    assert found.describe() == ""


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    made(
        tmp_path,
        "cat/1.png",
        "dog/1.png",
        "cat/.DS_Store",
        ".git/x.png",
        "dog/._1.png",
        "__MACOSX/1.png",
    )
    assert labeled_files(tmp_path, IMAGES).paths == ("cat/1.png", "dog/1.png")
    assert labeled_files(tmp_path, IMAGES).skipped == ()


def test_other_files_are_left_out_and_named(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png", "dog/notes.txt")
    assert labeled_files(tmp_path, IMAGES).describe() == (
        "1 file is no image by its name and is left out: dog/notes.txt."
    )


def test_recordings_are_labeled_alike(tmp_path: Path) -> None:
    made(tmp_path, "yes/1.wav", "yes/2.FLAC", "no/1.ogg", "no/2.mp3", "no/1.png")
    found = labeled_files(tmp_path, FileKind("recording", SOUNDS))
    assert found.paths == ("no/1.ogg", "no/2.mp3", "yes/1.wav", "yes/2.FLAC")
    assert found.describe() == ("1 file is no recording by its name and is left out: no/1.png.")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png"], "expected a subfolder for each class; found image files without subfolders"),
        (["readme.txt"], "expected a subfolder for each class; found no subfolders"),
        (
            ["cat/1.png", "dog/1.png", "1.png"],
            "images in subfolders alone; found images beside them: 1.png",
        ),
        (["cat/1.png", "dog/x.txt"], "dog: expected images; found none"),
        (["cat/1.png"], "two classes or more; found one, 'cat'"),
    ],
)
def test_what_is_no_such_folder_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        labeled_files(made(tmp_path, *names), IMAGES)


def test_links_that_go_round_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "again").symlink_to(tmp_path)
    assert labeled_files(tmp_path, IMAGES).paths == ("cat/1.png", "dog/1.png")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="none: expected a folder that can be read; found No such file"
    ):
        labeled_files(tmp_path / "none", IMAGES)
