"""GPTQ: four bits that keep a layer's answers better than rounding to the nearest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sixfold.compress.language.calibration import Moments, distance
from sixfold.compress.language.fewer_bits import FewerBits, quantized
from sixfold.compress.language.gptq import Gptq, Passage, Readings, quantized_layers, rounded
from sixfold.compress.language.scale_fit import ScaleFit
from sixfold.compress.language.structure import LAYERS, STAGES
from sixfold.parts.gguf_blocks import decoded, encoded, four_bits
from tiny_decoders import KINDS, decoder, windows


def correlated(rows: int, columns: int) -> torch.Tensor:
    """Inputs that are few numbers mixed, and some noise."""
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(rows, columns // 8, generator=generator)
    mixed = few @ torch.randn(columns // 8, columns, generator=generator)
    return mixed + 0.3 * torch.randn(rows, columns, generator=generator)


def matrix(rows: int = 48, columns: int = 128) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1))


def moments(x: torch.Tensor) -> torch.Tensor:
    found = Moments(x.shape[1])
    for some in x.split(100):
        found.add(some)
    return found.mean()


def lost(weight: torch.Tensor, kept: np.ndarray, x: torch.Tensor) -> float:
    return float(((weight - torch.from_numpy(kept)) @ x.T).square().mean())


def test_moments_are_those_of_all_rows() -> None:
    x = correlated(350, 32)
    assert torch.allclose(moments(x), x.T @ x / 350, rtol=1e-4)


@pytest.mark.parametrize("by_size", [True, False])
def test_answers_stay_nearer_than_by_rounding_to_the_nearest(by_size: bool) -> None:
    weight, every = matrix(), correlated(1300, 128)
    x, other = every[:1000], every[1000:]  # one mixture
    nearest = decoded(encoded("w", weight.numpy(), "q4_0"))
    four = rounded(weight, moments(x), Gptq(by_size=by_size))
    assert four.codes.dtype == np.uint8
    assert four.codes.max() <= 15
    assert four.scales.dtype == np.float16
    assert lost(weight, four.values(), x) < 0.4 * lost(weight, nearest, x)
    assert lost(weight, four.values(), other) < 0.4 * lost(weight, nearest, other)


def test_of_inputs_that_have_nothing_in_common_it_is_rounding() -> None:
    """H = I: no column can make up for another, and the best scale alone is chosen."""
    weight = matrix()
    four = rounded(weight, torch.eye(128))
    error = (weight - torch.from_numpy(four.values())).square().sum()
    nearest = torch.from_numpy(decoded(encoded("w", weight.numpy(), "q4_0")))
    assert error <= (weight - nearest).square().sum()
    scales = torch.from_numpy(four.scales.astype(np.float32)).repeat_interleave(32, dim=1)
    plain = (weight / scales).round().clamp(-8, 7) + 8
    assert np.array_equal(four.codes, plain.numpy().astype(np.uint8))


def test_columns_by_hand() -> None:
    """The formula, column by column, with the inverse itself: what each loses goes to the rest."""
    weight, h = matrix(5, 32), moments(correlated(400, 32)).double()
    four = rounded(weight, h.float(), Gptq(by_size=False, sweeps=0))
    scales = torch.from_numpy(four.scales.astype(np.float64)).expand(5, 32)
    w, damped = weight.double(), h + 0.01 * h.diagonal().mean() * torch.eye(32)
    for column in range(32):
        inverse = torch.linalg.inv(damped[column:, column:])
        integer = (w[:, column] / scales[:, column]).round().clamp(-8, 7)
        assert torch.equal(integer + 8, torch.from_numpy(four.codes[:, column]).double())
        share = (w[:, column] - integer * scales[:, column]) / inverse[0, 0]
        w[:, column:] -= torch.outer(share, inverse[0])


def test_columns_that_are_never_read_and_rows_of_zeros() -> None:
    x = correlated(300, 64)
    x[:, 5] = 0
    x[:, 32:] = 0
    weight = matrix(8, 64)
    weight[3] = 0
    four = rounded(weight, moments(x))
    values = torch.from_numpy(four.values())
    assert values.isfinite().all()
    assert not values[:, 32:].any()
    assert not values[3].any()
    assert lost(weight, four.values(), x) < 0.02 * float((weight @ x.T).square().mean())


def test_same_bits_again() -> None:
    weight, h = matrix(), moments(correlated(500, 128))
    assert np.array_equal(rounded(weight, h).packed(), rounded(weight, h).packed())


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_of_every_layer(kind: str) -> None:
    four = quantized_layers(decoder(kind), windows())
    names = {f"{LAYERS}{n}.{name}.weight" for n in range(3) for s in STAGES for name in s}
    assert set(four) == names
    assert all(four[name].codes.shape == decoder(kind).arrays[name].shape for name in names)


def test_layers_are_called_as_the_model_calls_them() -> None:
    types = ["full_attention", "sliding_attention", "full_attention"]
    model = decoder("qwen3", use_sliding_window=True, sliding_window=8, layer_types=types)
    network = model.network()
    with torch.inference_mode():
        passage = Passage(network, windows())
        for layer in range(3):
            passage.go_on(layer)
        stream = torch.cat(passage.streams)
        found = network.network.lm_head(network.network.model.norm(stream))
        assert torch.equal(found, network(windows().x))


def test_what_was_lost_before_is_made_up_for() -> None:
    """Where what is read is the whole network's, times a matrix: its inverse undoes it."""
    weight, x = matrix(16, 32), correlated(400, 32)
    mixed = torch.eye(32) + 0.1 * matrix(32, 32)
    whole = x @ mixed
    readings = Readings(32)
    for some, wanted in zip(x.split(100), whole.split(100), strict=True):
        readings.add(some, wanted)
    assert torch.equal(readings.inputs.mean(), moments(x))
    goal = readings.goal(weight, 1e-9)
    assert torch.allclose(goal @ x.T, weight @ whole.T, atol=1e-2)
    assert torch.allclose(readings.goal(weight, 1e9), weight, atol=1e-5)


def test_later_matrices_make_up_for_earlier_ones() -> None:
    model = decoder()
    apart = []
    for ridge in (0.1, 1e9):
        config = FewerBits("gptq", Gptq(ridge=ridge), ScaleFit(passes=0))
        served = quantized(model, config, windows(60))
        apart.append(distance(served.network(), model.network(), windows(60)).divergence)
    assert apart[0] < 0.9 * apart[1]


def test_scales_and_norms_are_fitted_to_the_answers() -> None:
    model, batch = decoder(), windows(60)
    plain = quantized(model, FewerBits("gptq", fit=ScaleFit(passes=0)), batch)
    fitted = quantized(model, FewerBits("gptq", fit=ScaleFit(passes=4, tokens=240)), batch)
    apart = [distance(one.network(), model.network(), batch).divergence for one in (fitted, plain)]
    assert apart[0] < 0.95 * apart[1]
    for one, other in zip(fitted.blocks, plain.blocks, strict=True):
        assert np.array_equal(fitted.arrays[one.name], decoded(one))
        if one.type == "q4_0":
            assert np.array_equal(four_bits(one).codes, four_bits(other).codes)
    assert not np.array_equal(fitted.arrays["model.norm.weight"], plain.arrays["model.norm.weight"])


def test_rows_of_no_whole_blocks_are_left_out() -> None:
    four = quantized_layers(decoder(hidden_size=48, head_dim=12), windows(2))
    assert set(four) == {f"{LAYERS}{n}.mlp.down_proj.weight" for n in range(3)}
