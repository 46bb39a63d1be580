"""Corpora that are larger than the memory that reading, cleaning and tokenizing them may take: each in
a process of its own whose peak is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MB = 1_000_000
READ = """
import json, re, sys
from pathlib import Path
from sixfold.core.memory import MemoryLimit, held_bytes
from sixfold.data.load import load
from sixfold.parts.modality import every_modality
from sixfold.parts.stored_tokens import plain_rows, store
from sixfold.parts.text_tokenizer import learned
from sixfold.parts.token_windows import PackedTexts
from sixfold.prepare.text.filtered_texts import kept_texts
from sixfold.recipe.schema import Data, Denoise
import numpy as np

def work(source, memory):
    data = load(Data(source=source), "generation", Path("."), memory)
    texts = data.table.columns["text"].strings()
    keep = {"duplicates": "drop", "texts": {"least": 10, "symbols": 0.5, "bad_unicode": 0.1}}
    rows, _ = kept_texts(texts, Denoise.model_validate(keep))
    tokenizer = learned(texts[:400], 2_048)
    tokens = store(texts.take(rows), tokenizer, plain_rows(tokenizer))
    packed, ids = PackedTexts(tokens, 256), 0
    for first in range(0, len(packed), 4096):
        batch = packed.read(np.arange(first, min(first + 64, len(packed))), None)
        ids += int((batch.y >= 0).sum())
    return data.table.rows, len(rows), tokens.of_file, ids

every_modality()
work(sys.argv[1], MemoryLimit.of(None))  # a small one: what is imported and started is no corpus
begun = held_bytes()
memory = MemoryLimit(begun + int(sys.argv[3]), "of this test")
rows, kept, tokens, ids = work(sys.argv[2], memory)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"rows": rows, "kept": kept, "tokens": tokens, "ids": ids, "grown": peak - begun}))
"""


def write(path: Path, size: int) -> int:
    """A text of paragraphs of drawn words, of which one in eight stands twice; how many these are."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(map(chr, rng.integers(97, 123, 2 + n % 9))) for n in range(20_000)])
    count = 0
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            drawn = words[rng.integers(0, len(words), (64, 300))].tolist()
            some = [" ".join(row) for row in drawn]
            file.write("\n\n".join([*some, *some[:8]]) + "\n\n")
            count += len(some)
    return count


@pytest.mark.slow
def test_a_corpus_is_read_cleaned_and_tokenized_in_a_part_of_its_size(tmp_path: Path) -> None:
    size, most = 64 * MB, 40 * MB
    write(tmp_path / "small.txt", MB)
    write(tmp_path / "large.txt", size)
    done = subprocess.run(
        [sys.executable, "-c", READ, "small.txt", "large.txt", str(most)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["rows"] > size / 8_000
    assert found["tokens"] > size / 10
    assert 0 < found["kept"] <= found["rows"]
    assert found["ids"] > 0
    assert found["grown"] < most
