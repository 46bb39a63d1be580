"""Recordings as their samples, so long that none is cut."""

from __future__ import annotations

from collections.abc import Sequence

from sixfold.parts.sound_store import survey
from sixfold.parts.table import Table
from sixfold.prepare.sound_block import SampleBlock, SoundForm
from sixfold.prepare.sound_settings import SoundSettings
from sixfold.recipe.audio import LONGEST_S


class Settings(SoundSettings):
    """The samples of a recording, one channel, whole numbers of 16 bits, for recognition, of which nothing
    may be cut. Left out, the rate is the commonest of the training recordings (16 kHz at most), the length
    that of the longest (a minute at most). For ctc, whose network begins with their log-mel spectrogram.
    """

    def form(self, names: Sequence[str]) -> SoundForm:
        """What every recording becomes, of these training recordings."""
        if self.seconds != "auto":
            return super().form(names)
        _, seconds, _ = survey(names, share=1.0, longest_s=LONGEST_S)
        return self.model_copy(update={"seconds": seconds}).form(names)

    def block(self, name: str, table: Table) -> SampleBlock:
        """Fit on the recordings of `table`."""
        return SampleBlock((name,), self.form(table.columns[name].strings()))
