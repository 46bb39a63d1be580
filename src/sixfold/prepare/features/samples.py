"""Recordings as their samples, all of one rate and length."""

from __future__ import annotations

from sixfold.parts.table import Table
from sixfold.prepare.sound_block import SampleBlock
from sixfold.prepare.sound_settings import SoundSettings


class Settings(SoundSettings):
    """The samples of a recording, one channel, whole numbers of 16 bits. Left out, the rate is the
    commonest of the training recordings (16 kHz at most), the length such that 95% of them fit (10
    s at most). For audio_cnn, whose network begins with their log-mel spectrogram.
    """

    def block(self, name: str, table: Table) -> SampleBlock:
        """Fit on the recordings of `table`."""
        return SampleBlock((name,), self.form(table.columns[name].strings()))
