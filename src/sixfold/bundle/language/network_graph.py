"""The forward pass of a language model as a graph of OpenVINO, from its GGUF file: what the engine generates with, and
what gives the hidden states of a text. OpenVINO GenAI reads such files as well, but neither scaled rotary embeddings
nor biases of a llama's query and key (2026.4).

Shape letters: B requests, T tokens, S tokens with those of the cache, D width, H heads, K heads of keys and values,
C width of a head, F width of the inner layer, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as ops

from sixfold.bundle.gguf_header import FACTORS, GgufHeader
from sixfold.bundle.language.gguf_weights import GgufWeights

Node = Any  # of the graph: OpenVINO has no types for them
END: Final = 2**31 - 1  # of a slice: all that follows
LEAST: Final = -1e30  # a score whose share is 0


class NetworkGraph:
    """Makes graphs of one file. It lives as long as a graph that it made is not compiled or written."""

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self._header, self._weights = header, GgufWeights(path, header)
        self._heads = header.number("attention.head_count")
        self._kv_heads = header.number("attention.head_count_kv")
        self._head = header.number("attention.key_length")
        self._architecture = str(header.facts["general.architecture"])

    def generator(self) -> Any:
        """Four inputs as OpenVINO GenAI names them → `logits` [B, T, V]; keys and values are its state."""
        inputs = [
            _input("input_ids", [-1, -1]),
            _input("attention_mask", [-1, -1]),
            _input("position_ids", [-1, -1]),
            _input("beam_idx", [-1], openvino.Type.i32),
        ]
        cache = _Cache(inputs[0], inputs[1], inputs[3], [self._kv_heads, self._head])
        x_BTD = self._hidden(inputs[0], inputs[2], cache)
        tied = "output.weight" not in self._weights
        head_VD = self._weights.matrix("token_embd.weight" if tied else "output.weight")
        logits = ops.matmul(x_BTD, head_VD, False, True)
        logits.output(0).get_tensor().set_names({"logits"})
        return openvino.Model([ops.result(logits)], cache.writes, inputs, "generator")

    def encoder(self) -> Any:
        """Ids [1, T] and their places → the hidden states after the last norm [1, T, D]."""
        inputs = [_input("input_ids", [1, -1]), _input("position_ids", [1, -1])]
        found = self._hidden(inputs[0], inputs[1], None)
        return openvino.Model([ops.result(found)], inputs, "encoder")

    def attention(self) -> Any:
        """Ids [1, T] and their places → how much each token of a layer takes from those up to it, the mean
        over heads, [layers, T, T].
        """
        inputs = [_input("input_ids", [1, -1]), _input("position_ids", [1, -1])]
        watched = _Watched(inputs[0], self._head)
        self._hidden(inputs[0], inputs[1], watched)
        return openvino.Model([ops.result(ops.concat(watched.means, 0))], inputs, "attention")

    def _hidden(self, ids_BT: Node, places_BT: Node, cache: _Cache | _Watched | None) -> Node:
        vectors_VD = self._weights.matrix("token_embd.weight")
        x_BTD = ops.gather(vectors_VD, ops.convert(ids_BT, openvino.Type.i32), _whole([0]))
        rotation = _Rotation(self.speeds(), places_BT)
        for layer in range(self._header.number("block_count")):
            own = f"blk.{layer}."
            mixed = self._attention(self._norm(x_BTD, f"{own}attn_norm"), own, rotation, cache)
            x_BTD = ops.add(x_BTD, self._linear(mixed, f"{own}attn_output"))
            h_BTD = self._norm(x_BTD, f"{own}ffn_norm")
            gate_BTF = ops.swish(self._linear(h_BTD, f"{own}ffn_gate"))
            inner_BTF = ops.multiply(gate_BTF, self._linear(h_BTD, f"{own}ffn_up"))
            x_BTD = ops.add(x_BTD, self._linear(inner_BTF, f"{own}ffn_down"))
        return self._norm(x_BTD, "output_norm")

    def _attention(
        self, x_BTD: Node, own: str, rotation: _Rotation, cache: _Cache | _Watched | None
    ) -> Node:
        q_BHTC = rotation.applied(self._of_heads(x_BTD, f"{own}attn_q", self._heads))
        k_BKTC = rotation.applied(self._of_heads(x_BTD, f"{own}attn_k", self._kv_heads))
        v_BKTC = self._of_heads(x_BTD, f"{own}attn_v", self._kv_heads)
        if cache is None:
            k_BHTC, v_BHTC = self._repeated(k_BKTC), self._repeated(v_BKTC)
            found = ops.scaled_dot_product_attention(q_BHTC, k_BHTC, v_BHTC, causal=True)
        elif isinstance(cache, _Watched):
            found = cache.mixed(q_BHTC, self._repeated(k_BKTC), self._repeated(v_BKTC))
        else:
            k_BKSC, v_BKSC = cache.longer(k_BKTC, f"{own}key"), cache.longer(v_BKTC, f"{own}value")
            k_BHSC, v_BHSC = self._repeated(k_BKSC), self._repeated(v_BKSC)
            found = ops.scaled_dot_product_attention(q_BHTC, k_BHSC, v_BHSC, cache.seen)
        return ops.reshape(ops.transpose(found, _whole([0, 2, 1, 3])), _whole([0, 0, -1]), True)

    def _of_heads(self, x_BTD: Node, name: str, heads: int) -> Node:
        found = ops.reshape(self._linear(x_BTD, name), _whole([0, 0, heads, self._head]), True)
        if f"{name}_norm.weight" in self._weights:
            found = self._norm(found, f"{name}_norm")
        return ops.transpose(found, _whole([0, 2, 1, 3]))

    def _repeated(self, x_BKSC: Node) -> Node:
        """[B, H, S, C] the heads that share keys and values, side by side."""
        shared = self._heads // self._kv_heads
        if shared == 1:
            return x_BKSC
        shape = _whole([1, 1, shared, 1, 1])
        apart = ops.broadcast(
            ops.unsqueeze(x_BKSC, _whole([2])), shape, broadcast_spec="BIDIRECTIONAL"
        )
        return ops.reshape(apart, _whole([0, self._heads, -1, self._head]), True)

    def _linear(self, x: Node, name: str) -> Node:
        found = ops.matmul(x, self._weights.matrix(f"{name}.weight"), False, True)
        if f"{name}.bias" not in self._weights:
            return found
        return ops.add(found, ops.constant(self._weights.vector(f"{name}.bias")))

    def _norm(self, x: Node, name: str) -> Node:
        """Of the last axis, by its mean square."""
        fact = f"{self._architecture}.attention.layer_norm_rms_epsilon"
        mean = ops.reduce_mean(ops.power(x, _number(2)), _whole([-1]), True)
        size = ops.sqrt(ops.add(mean, _number(float(self._header.facts[fact]))))
        found = ops.multiply(ops.divide(_number(1), size), x)
        return ops.multiply(found, ops.constant(self._weights.vector(f"{name}.weight")))

    def speeds(self) -> npt.NDArray[np.float32]:
        """[C / 2] by how much the angle of each pair grows from place to place. Scaled ones are those of
        transformers' `llama3` and `linear`.
        """
        base = np.float32(self._header.facts[f"{self._architecture}.rope.freq_base"])
        shares = np.arange(0, self._head, 2, dtype=np.float32) / np.float32(self._head)
        found = np.float32(1) / base**shares
        if FACTORS in self._weights:
            found /= self._weights.vector(FACTORS)
        scale = self._header.facts.get(f"{self._architecture}.rope.scaling.factor", 1.0)
        return np.asarray(found / np.float32(scale), dtype=np.float32)


class _Rotation:
    """The rotary embedding: each pair of numbers of a head, half a head apart, turned by its angle."""

    def __init__(self, speeds: npt.NDArray[np.float32], places_BT: Node) -> None:
        self._half = len(speeds)
        places = ops.convert(ops.unsqueeze(places_BT, _whole([2])), openvino.Type.f32)
        half = ops.matmul(places, ops.constant(speeds.reshape(1, 1, -1)), False, False)
        angles_BTC = ops.concat([half, half], -1)
        self._cos = ops.unsqueeze(ops.cos(angles_BTC), _whole([1]))
        self._sin = ops.unsqueeze(ops.sin(angles_BTC), _whole([1]))

    def applied(self, x_BHTC: Node) -> Node:
        first = ops.slice(x_BHTC, _whole([0]), _whole([self._half]), _whole([1]), _whole([3]))
        second = ops.slice(x_BHTC, _whole([self._half]), _whole([END]), _whole([1]), _whole([3]))
        turned = ops.concat([ops.multiply(second, _number(-1)), first], -1)
        return ops.add(ops.multiply(x_BHTC, self._cos), ops.multiply(turned, self._sin))


class _Cache:
    """Keys and values of the tokens before, as a state. `shape`: of a token's, [K, C]; `seen`: which of
    all tokens each new one looks at; `writes`: what keeps the state.
    """

    def __init__(self, ids_BT: Node, mask_BS: Node, beams: Node, shape: list[int]) -> None:
        self._beams, self._shape = beams, shape
        self._batch = ops.gather(ops.shape_of(ids_BT), _whole([0]), _whole([0]))
        new = ops.gather(ops.shape_of(ids_BT), _whole([1]), _whole([0]))
        all_tokens = ops.gather(ops.shape_of(mask_BS), _whole([1]), _whole([0]))
        here, end = (ops.squeeze(each, _whole([0])) for each in (new, all_tokens))
        places_S = ops.range(_whole(0), end, _whole(1), "i64")
        places_T = ops.range(ops.subtract(end, here), end, _whole(1), "i64")
        before = ops.less_equal(
            ops.unsqueeze(places_S, _whole([0])), ops.unsqueeze(places_T, _whole([1]))
        )
        given = ops.unsqueeze(ops.convert(mask_BS, "boolean"), _whole([1, 2]))
        self.seen = ops.logical_and(ops.unsqueeze(before, _whole([0, 1])), given)
        self.writes: list[Node] = []

    def longer(self, new_BKTC: Node, name: str) -> Node:
        """[B, K, S, C] those before, and the new ones."""
        heads, width = self._shape
        info = openvino.op.util.VariableInfo()
        info.data_shape = openvino.PartialShape([-1, heads, -1, width])
        info.data_type, info.variable_id = openvino.Type.f32, name
        variable = openvino.op.util.Variable(info)
        none = ops.broadcast(
            _number(0), ops.concat([self._batch, _whole([heads]), _whole([0, width])], 0)
        )
        before = ops.gather(ops.read_value(none, variable), self._beams, _whole(0))
        found = ops.concat([before, new_BKTC], 2)
        self.writes.append(ops.assign(found, variable))
        return found


class _Watched:
    """Attention written out, so that its weights can be looked at. `means`: of each layer [1, T, T], over
    the heads.
    """

    def __init__(self, ids_BT: Node, head: int) -> None:
        self._scale = _number(head**-0.5)
        count = ops.gather(ops.shape_of(ids_BT), _whole([1]), _whole([0]))
        places = ops.range(_whole(0), ops.squeeze(count, _whole([0])), _whole(1), "i64")
        self._before = ops.less_equal(
            ops.unsqueeze(places, _whole([0])), ops.unsqueeze(places, _whole([1]))
        )
        self.means: list[Node] = []

    def mixed(self, q_BHTC: Node, k_BHTC: Node, v_BHTC: Node) -> Node:
        """What every token takes of the others [B, H, T, C]."""
        scores = ops.multiply(ops.matmul(q_BHTC, k_BHTC, False, True), self._scale)
        weights_BHTT = ops.softmax(ops.select(self._before, scores, _number(LEAST)), 3)
        self.means.append(ops.reduce_mean(weights_BHTT, _whole([1]), False))
        return ops.matmul(weights_BHTT, v_BHTC, False, False)


def _input(name: str, shape: list[int], kind: Any = openvino.Type.i64) -> Node:
    found = ops.parameter(shape, kind, name=name)
    found.output(0).get_tensor().set_names({name})
    return found


def _whole(values: list[int] | int) -> Node:
    return ops.constant(np.array(values, dtype=np.int64))


def _number(value: float) -> Node:
    return ops.constant(np.float32(value))
