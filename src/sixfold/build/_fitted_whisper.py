"""A fine-tuned Whisper: samples → tokens, one after the other, each the most probable one, as a module, as
arrays, and as nodes of the graph, in which the decoder is the body of a loop.
"""

# Letters: B rows, L samples, M bands, T frames, P positions of the encoder, R rounds of the decoder, D width,
# V tokens of the vocabulary.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sixfold.build._fitted_images import stored_weights
from sixfold.build.networks.whisper import NEVER, Attended, Whisper
from sixfold.bundle.transcription.tokens import TokenTexts
from sixfold.parts.draws import own_draws
from sixfold.parts.fit import Matrix, OutputKind
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.node_trace import traced_several
from sixfold.parts.state import State
from sixfold.parts.table import FloatArray
from sixfold.parts.transcripts import code_points
from sixfold.parts.whisper_checkpoint import WhisperDecoding, WhisperShape
from sixfold.parts.whisper_mel import WhisperMel
from sixfold.recipe.token_decoder import TokenDecoder
from sixfold.train import threads

AT_ONCE: Final = 8  # recordings that are heard at once
FREE: Final = -1  # where no token is given


class GreedyRounds(nn.Module):
    """A network that writes at most `most` tokens behind the prompt. A round takes the token at its place and
    gives the next one; behind the end of a text there is nothing but ends.
    """

    def __init__(self, network: Whisper, asked: WhisperDecoding, most: int) -> None:
        super().__init__()
        self.network, self.asked, self.most = network, asked, most
        given = [*asked.prompt[1:], *[FREE] * most]
        self.given_R1 = torch.tensor(given)[:, None]
        self.hidden_V, self.hidden_first_V = (
            _hidden(numbers, network.shape.vocabulary)
            for numbers in (asked.suppressed, asked.suppressed_first)
        )

    @property
    def count(self) -> int:
        """R: places of the prompt but its last, and of the tokens."""
        return len(self.given_R1)

    def heard(self, x_BMT: torch.Tensor) -> list[Attended]:
        """What each layer of the decoder looks at."""
        return self.network.decoder.heard(self.network.encoder(x_BMT))

    def start(self, zero_B1: torch.Tensor) -> list[torch.Tensor]:
        """The states before the first round: a token, what is written, and what each layer keeps of it.
        `zero_B1`: zeros, one a row.
        """
        shape, end = self.network.shape, float(self.asked.end)
        heads = shape.decoder.heads
        empty = [heads, shape.width // heads, self.count]
        keys = zero_B1.reshape(-1, 1, 1, 1).add(torch.zeros(empty))
        values = zero_B1.reshape(-1, 1, 1, 1).add(torch.zeros([empty[0], empty[2], empty[1]]))
        token = zero_B1.add(float(self.asked.prompt[0])).long()
        written = zero_B1.add(torch.full((1, self.count), end)).long()
        return [token, written, *[keys, values] * shape.decoder.layers]

    def scores(
        self, place_1: torch.Tensor, heard: Sequence[Attended], states: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Of the next token [B, V], and what the layers keep now."""
        token_B1, _, *kept = states
        scores, now = self.network.decoder.step(token_B1, place_1, heard, pairs(kept))
        first = place_1.eq(len(self.asked.prompt) - 1)
        scores = torch.where(first, scores.add(self.hidden_first_V), scores).add(self.hidden_V)
        return scores, [one for each in now for one in each]

    def forward(
        self, place_1: torch.Tensor, heard: Sequence[Attended], states: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Whether another round follows, and the states. `place_1`: the round's number."""
        scores, kept = self.scores(place_1, heard, states)
        going, token_B1, written_BR = self.following(place_1, scores, *states[:2])
        return going, [token_B1, written_BR, *kept]

    def following(
        self,
        place_1: torch.Tensor,
        scores: torch.Tensor,
        token_B1: torch.Tensor,
        written_BR: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whether another round follows, the next token, and what is written."""
        end = torch.tensor(self.asked.end)
        given_11 = functional.embedding(place_1, self.given_R1)
        likely_B1 = scores.argmax(1, keepdim=True)
        following_B1 = torch.where(given_11.ne(FREE), given_11, likely_B1)
        following_B1 = torch.where(token_B1.eq(end), end, following_B1)
        here_R = torch.arange(self.count).eq(place_1)
        written_BR = torch.where(here_R, following_B1, written_BR)
        going = following_B1.ne(end).to(scores.dtype).amax((0, 1)).to(torch.bool)
        return going, following_B1, written_BR


@dataclass(frozen=True)
class FittedWhisper(State):
    """`weights`: of a Whisper, float32; `digest`: of the folder that they came from; of a recording `samples`;
    `most`: tokens of a text; `decoder`: what makes a text of them.
    """

    shape: WhisperShape
    digest: str
    samples: int
    asked: WhisperDecoding
    most: int
    decoder: TokenDecoder
    weights: dict[str, npt.NDArray[Any]]

    @classmethod
    def weights_of(cls, module: nn.Module) -> dict[str, npt.NDArray[Any]]:
        """What a trained network holds."""
        return stored_weights(module)

    @property
    def output(self) -> OutputKind:
        """Code points."""
        return "value"

    @property
    def mel(self) -> WhisperMel:
        """Makes spectrograms of samples."""
        return WhisperMel(self.shape.bands, self.samples, self.shape.samples)

    @cached_property
    def _texts(self) -> TokenTexts:
        return TokenTexts(self.decoder)

    @cached_property
    def _rounds(self) -> GreedyRounds:
        return GreedyRounds(self.module(), self.asked, self.most).eval()

    def module(self) -> Whisper:
        """The network, in evaluation; a new one each time."""
        with own_draws():  # it fills itself, in whatever thread
            made = Whisper(self.shape)
        made.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()}
        )
        return made.eval()

    def predict(self, x: Matrix) -> FloatArray:
        """[rows, samples], whole numbers of 16 bits → float64 [rows, characters] code points, 0 behind a
        text's end.
        """
        texts = [self._texts.text_of_values(row) for tokens, _ in self._heard(x) for row in tokens]
        return code_points(texts, self.decoder.longest).astype(np.float64)

    def margins(self, x: Matrix) -> FloatArray:
        """[rows] as in `parts.fit.Decodes`: the least difference of the two most probable tokens, in ln of
        their probability.
        """
        return np.concatenate([np.zeros(0), *(margins for _, margins in self._heard(x))])

    def tokens(self, x: Matrix) -> npt.NDArray[np.int64]:
        """[rows, tokens], ends behind the end."""
        return np.concatenate([tokens for tokens, _ in self._heard(x)])

    def _heard(self, x: Matrix) -> Iterator[tuple[npt.NDArray[np.int64], FloatArray]]:
        """Of some recordings after the others tokens and margins, on one thread, whose sums are the same on
        any machine's number of cores.
        """
        for start in range(0, len(x), AT_ONCE):
            samples = torch.from_numpy(np.asarray(x[start : start + AT_ONCE]).astype(np.float32))
            with threads.busy(0), torch.no_grad():
                tokens, margins = written(self._rounds, self.mel.spectrograms(samples))
            yield tokens.numpy(), margins.double().numpy()

    def export(self, graph: Graph, x: str) -> str:
        """Double [rows, tokens], as the decoder takes them."""
        samples = graph.cast(x, TensorProto.FLOAT)
        with threads.one_thread(), torch.no_grad():
            return self._exported(graph, samples)

    def _exported(self, graph: Graph, samples: str) -> str:
        rounds, layers = self._rounds, self.shape.decoder.layers

        def before(x_BL: torch.Tensor) -> list[torch.Tensor]:
            heard = rounds.heard(self.mel.spectrograms(x_BL))
            return [*flat(heard), *rounds.start(x_BL[:, :1].mul(0.0))]

        def example(rows: int) -> list[torch.Tensor]:
            return [torch.zeros(rows, self.samples)]

        found = traced_several(before, graph, [samples], example)
        heard, states = found[: 2 * layers], found[2 * layers :]

        def one_round(place_1: torch.Tensor, *given: torch.Tensor) -> list[torch.Tensor]:
            going, left = rounds(place_1, pairs(given[: 2 * layers]), given[2 * layers :])
            return [going, *left]

        def examples(rows: int) -> list[torch.Tensor]:
            return [torch.zeros(1, dtype=torch.int64), *before(*example(rows))]

        def body(number: str, given: list[str]) -> list[str]:
            place = graph.op("Unsqueeze", number, graph.constant([0], np.int64))
            return traced_several(one_round, graph, [place, *heard, *given], examples)

        types = [TensorProto.INT64] * 2 + [TensorProto.FLOAT] * 2 * layers
        _, tokens, *_ = graph.loop(rounds.count, states, types, body)
        last = graph.span(tokens, rounds.count - self.most, rounds.count)
        return graph.cast(last, TensorProto.DOUBLE)


def written(rounds: GreedyRounds, x_BMT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [B, most], and of each row how far the most probable one was from another one, at least."""
    heard, states = rounds.heard(x_BMT), rounds.start(torch.zeros(len(x_BMT), 1))
    margins = torch.full((len(x_BMT),), torch.inf)
    for number in range(rounds.count):
        place_1 = torch.tensor([number])
        token_B1, written_BR, *_ = states
        scores, kept = rounds.scores(place_1, heard, states)
        if rounds.given_R1[number] == FREE:
            two = scores.topk(2, dim=1).values
            ended = token_B1[:, 0] == rounds.asked.end
            margins = torch.minimum(margins, torch.where(ended, torch.inf, two[:, 0] - two[:, 1]))
        going, *now = rounds.following(place_1, scores, token_B1, written_BR)
        states = [*now, *kept]
        if not going:
            break
    return states[1][:, -rounds.most :], margins


def pairs(flat_values: Sequence[torch.Tensor]) -> list[Attended]:
    """Keys and values, one after the other, as what layers look at."""
    return [
        Attended(keys, values)
        for keys, values in zip(flat_values[::2], flat_values[1::2], strict=True)
    ]


def flat(attended: Sequence[Attended]) -> list[torch.Tensor]:
    """As `pairs` takes them."""
    return [one for each in attended for one in each]


def _hidden(numbers: Sequence[int], vocabulary: int) -> torch.Tensor:
    """[V]: what is added to scores."""
    found = torch.zeros(vocabulary)
    found[list(numbers)] = NEVER
    return found
