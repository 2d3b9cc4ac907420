"""ENAS's controller: an LSTM that writes an architecture layer by layer (Pham et al. 2018, section 2.3).

For each layer it takes two steps: from the first comes the choice of the operation, from the second, by attention over
what was written before, a bit for each earlier layer. This module is the network alone, in numpy: sampling, the
chances of given architectures, and the gradient of the loss, by hand (a test holds it against torch's). The network has
some ten thousand weights, and a framework would spend its time on calls; here a step of eight layers is under a
millisecond, and the operator needs no torch.

What differs from Katib's graph, and why: bit i is scored against the layer that it stands for (there, against the one
after it), with the embedding of the start standing for the image; and the distance to the wanted share of skip
connections is that of the chances which are drawn from (there, of others).

All architectures of a call are computed side by side. An architecture that is given makes the inputs of every step
known, so only the LSTM itself is a loop; choices and attention of all layers are computed at once.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
"""Single precision as `ControllerShape.initial` makes weights; everything follows the type of the weights."""
Ints: TypeAlias = NDArray[np.int64]

INITIAL_RANGE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class ControllerShape:
    """The size of the network and what its choices are squeezed by; None leaves a squeeze out."""

    layers: int
    operations: int
    hidden_size: int = 64
    temperature: float | None = 5.0
    tanh_const: float | None = 2.25
    skip_connections: bool = True

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The weights by name, in the order in which they lie in one flat vector."""
        size, count = self.hidden_size, self.operations
        return {
            "lstm": (2 * size, 4 * size),
            "start": (size,),
            "embedding": (count, size),
            "choice": (size, count),
            "key": (size, size),
            "query": (size, size),
            "score": (size,),
        }

    @cached_property
    def weight_count(self) -> int:
        """How many weights there are."""
        return sum(math.prod(size) for size in self.sizes.values())

    def views(self, vector: Floats) -> Iterator[tuple[str, Floats]]:
        """The weights as parts of a flat vector."""
        begin = 0
        for name, size in self.sizes.items():
            end = begin + math.prod(size)
            yield name, vector[begin:end].reshape(size)
            begin = end

    def initial(self, generator: np.random.Generator) -> Floats:
        """Fresh weights."""
        return generator.uniform(-INITIAL_RANGE, INITIAL_RANGE, self.weight_count).astype(np.float32)


@dataclass(frozen=True)
class Batch:
    """Architectures side by side: `operations` [n, layers]; `bits` [n, layers, layers], of which [:, k, :k] count."""

    operations: Ints
    bits: Floats

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> "Batch":
        """The batch of (operations, bits of each layer) pairs."""
        layers = len(rows[0][0])
        bits = np.zeros((len(rows), layers, layers), dtype=np.float32)
        for number, (_, of_layers) in enumerate(rows):
            for layer, of_layer in enumerate(of_layers):
                bits[number, layer, : len(of_layer)] = of_layer
        return cls(np.array([operations for operations, _ in rows], dtype=np.int64), bits)


@dataclass(frozen=True)
class Judgement:
    """What the controller thinks of architectures: `surprise` is -log of their chance, `entropy` the term of ENAS."""

    surprise: Floats
    entropy: Floats
    skip_penalty: Floats


class Controller:
    """The network with some weights. Nothing in it changes."""

    def __init__(self, shape: ControllerShape, weights: Floats) -> None:
        self.shape = shape
        named = dict(shape.views(weights))
        self._lstm, self._start = named["lstm"], named["start"]
        self._embedding, self._choice = named["embedding"], named["choice"]
        self._key, self._query, self._score = named["key"], named["query"], named["score"]
        size = shape.hidden_size
        # sigmoid(x) = (1 + tanh(x / 2)) / 2, so that one tanh serves all four gates: input, forget, output, candidate.
        self._type = weights.dtype
        self._inner = np.concatenate([np.full(3 * size, 0.5), np.ones(size)]).astype(self._type)
        self._outer = self._inner
        self._offset = np.concatenate([np.full(3 * size, 0.5), np.zeros(size)]).astype(self._type)

    def sample(self, units: Floats) -> Batch:
        """An architecture for each row of `units`, numbers of [0, 1): one a layer, then one a bit."""
        shape = self.shape
        count, layers, size = len(units), shape.layers, shape.hidden_size
        operations = np.zeros((count, layers), dtype=np.int64)
        bits = np.zeros((count, layers, layers), dtype=np.float32)
        remembered = np.zeros((layers + 1, count, size), dtype=self._type)
        remembered[0] = self._start
        hidden, cell = np.zeros((2, count, size), dtype=self._type)
        given, next_bit = remembered[0], layers
        for layer in range(layers):
            hidden, cell = self._step(given, hidden, cell)
            operations[:, layer] = self._pick(hidden, units[:, layer])
            hidden, cell = self._step(self._embedding[operations[:, layer]], hidden, cell)
            if layer > 0 and shape.skip_connections:
                # [earlier, n, size] -> [n, earlier]
                scores = np.tanh(hidden @ self._query + remembered[:layer] @ self._key) @ self._score
                chances = _sigmoid(2 * self._squeezed(scores)[0]).T
                bits[:, layer, :layer] = units[:, next_bit : next_bit + layer] < chances
                next_bit += layer
            given = self._next_input(bits, remembered, layer)
            remembered[layer + 1] = hidden
        return Batch(operations, bits)

    def judge(self, batch: Batch, *, skip_target: float) -> Judgement:
        """Chances, entropies and skip penalties of given architectures."""
        return _Pass(self, batch, skip_target).judgement

    def gradient(self, batch: Batch, advantage: Floats, *, skip_target: float, skip_weight: float | None) -> Floats:
        """Of the mean over the batch of surprise · advantage + skip_weight · skip penalty, by the weights."""
        return _Pass(self, batch, skip_target).gradient(advantage, skip_weight)

    def _step(self, given: Floats, hidden: Floats, cell: Floats) -> tuple[Floats, Floats]:
        size = self.shape.hidden_size
        gates = np.tanh((np.concatenate([given, hidden], axis=1) @ self._lstm) * self._inner) * self._outer
        gates += self._offset
        cell = gates[:, :size] * gates[:, 3 * size :] + gates[:, size : 2 * size] * cell
        hidden = gates[:, 2 * size : 3 * size] * np.tanh(cell)
        return hidden, cell

    def _pick(self, hidden: Floats, units: Floats) -> Ints:
        chances = np.exp(_log_softmax(self._squeezed(hidden @ self._choice)[0]))
        edges = np.cumsum(chances, axis=1)
        picked: Ints = np.minimum((edges <= units[:, None]).sum(axis=1), self.shape.operations - 1)
        return picked

    def _squeezed(self, scores: Floats) -> tuple[Floats, Floats | float]:
        """Scores after temperature and tanh, and the derivative."""
        shape = self.shape
        scale = 1.0 if shape.temperature is None else 1 / shape.temperature
        if shape.tanh_const is None:
            return scores * scale, scale
        bent: Floats = np.tanh(scores * scale)
        return shape.tanh_const * bent, shape.tanh_const * scale * (1 - bent * bent)

    def _next_input(self, bits: Floats, remembered: Floats, layer: int) -> Floats:
        """The mean, nearly, of what the layer takes; the start where there is nothing before."""
        if layer == 0:
            start: Floats = remembered[0]
            return start
        taken = bits[:, layer, :layer]
        total: Floats = np.einsum("nj,jnh->nh", taken, remembered[:layer])
        mixed: Floats = total / (1 + taken.sum(axis=1, keepdims=True))
        return mixed


class _Pass:
    """One pass over given architectures: forward when made, backward when the gradient is asked for."""

    def __init__(self, controller: Controller, batch: Batch, skip_target: float) -> None:
        self._of = controller
        self._batch = batch
        self._skips = controller.shape.skip_connections and controller.shape.layers > 1
        self._recur()
        self._choose()
        count = len(batch.operations)
        surprise = self._choice_surprise.sum(axis=0)
        entropy = (self._choice_surprise * np.exp(-self._choice_surprise)).sum(axis=0)
        penalty: Floats = np.zeros(count)
        if self._skips:
            self._attend(skip_target)
            surprise = surprise + self._bit_surprise.sum(axis=(0, 1))
            entropy = entropy + (self._bit_surprise * np.exp(-self._bit_surprise) * self._below).sum(axis=(0, 1))
            penalty = self._distance.sum(axis=(0, 1)) / (controller.shape.layers - 1)
        self.judgement = Judgement(surprise, entropy, penalty)

    def _recur(self) -> None:
        of, batch = self._of, self._batch
        shape = of.shape
        layers, size, count = shape.layers, shape.hidden_size, len(batch.operations)
        steps = 2 * layers
        kind = of._type
        self._seen = seen = np.empty((steps, count, 2 * size), kind)  # what each step gets: input, then hidden
        self._gates = np.empty((steps, count, 4 * size), kind)
        self._cells = np.zeros((steps + 1, count, size), kind)
        self._bent_cells = np.empty((steps, count, size), kind)
        self._hidden = np.empty((steps, count, size), kind)
        self._remembered = remembered = np.empty((layers + 1, count, size), kind)
        remembered[0] = of._start
        embedded = of._embedding[batch.operations.T]
        hidden: Floats = np.zeros((count, size), kind)
        given = remembered[0]
        for step in range(steps):
            layer, second = divmod(step, 2)
            seen[step, :, :size] = embedded[layer] if second else given
            seen[step, :, size:] = hidden
            gates = self._gates[step]
            np.matmul(seen[step], of._lstm, out=gates)
            gates *= of._inner
            np.tanh(gates, out=gates)
            gates *= of._outer
            gates += of._offset
            cell = self._cells[step + 1]
            np.multiply(gates[:, :size], gates[:, 3 * size :], out=cell)
            cell += gates[:, size : 2 * size] * self._cells[step]
            np.tanh(cell, out=self._bent_cells[step])
            hidden = self._hidden[step]
            np.multiply(gates[:, 2 * size : 3 * size], self._bent_cells[step], out=hidden)
            if second:
                given = of._next_input(batch.bits, remembered, layer)
                remembered[layer + 1] = hidden

    def _choose(self) -> None:
        of = self._of
        logits, self._choice_slope = of._squeezed(self._hidden[0::2] @ of._choice)  # [layers, n, operations]
        self._log_chances = _log_softmax(logits)
        picked = self._batch.operations.T[:, :, None]
        self._choice_surprise: Floats = -np.take_along_axis(self._log_chances, picked, axis=2)[:, :, 0]

    def _attend(self, skip_target: float) -> None:
        of, layers = self._of, self._of.shape.layers
        self._below = np.tril(np.ones((layers, layers), of._type), -1)[:, :, None]  # [layer, earlier, n]
        queries = self._hidden[1::2] @ of._query
        keys = self._remembered[:layers] @ of._key
        self._bent = np.tanh(queries[:, None] + keys[None, :])  # [layer, earlier, n, size]
        squeezed, self._bit_slope = of._squeezed(self._bent @ of._score)
        self._bit_chance = _sigmoid(2 * squeezed)
        signs = 2 * self._batch.bits.transpose(1, 2, 0) - 1
        self._bit_surprise: Floats = np.logaddexp(0, -2 * squeezed * signs) * self._below
        # The Kullback-Leibler divergence from the target, written with log-chances so that certainty gives no nan.
        log_yes, log_no = -np.logaddexp(0, -2 * squeezed), -np.logaddexp(0, 2 * squeezed)
        self._log_ratio = (log_yes - math.log(skip_target)) - (log_no - math.log1p(-skip_target))
        distance = self._bit_chance * self._log_ratio + log_no - math.log1p(-skip_target)
        self._distance: Floats = distance * self._below

    def gradient(self, advantage: Floats, skip_weight: float | None) -> Floats:
        of = self._of
        gradient = np.zeros(of.shape.weight_count, of._type)
        self._by = dict(of.shape.views(gradient))
        weights = (advantage / len(advantage)).astype(of._type)
        self._by_hidden = np.zeros_like(self._hidden)
        self._by_remembered = np.zeros_like(self._remembered)
        self._choose_back(weights)
        if self._skips:
            self._attend_back(weights, 0.0 if skip_weight is None else skip_weight / len(advantage))
        self._recur_back()
        return gradient

    def _choose_back(self, weights: Floats) -> None:
        by_logits = np.exp(self._log_chances)
        picked = self._batch.operations.T[:, :, None]
        np.put_along_axis(by_logits, picked, np.take_along_axis(by_logits, picked, axis=2) - 1, axis=2)
        by_logits *= weights[None, :, None]
        by_logits *= self._choice_slope
        first = self._hidden[0::2]
        size, operations = self._of._choice.shape
        self._by["choice"][...] = first.reshape(-1, size).T @ by_logits.reshape(-1, operations)
        self._by_hidden[0::2] = by_logits @ self._of._choice.T

    def _attend_back(self, weights: Floats, skip_weight: float) -> None:
        of, layers, size = self._of, self._of.shape.layers, self._of.shape.hidden_size
        bits = self._batch.bits.transpose(1, 2, 0)
        by_score = 2 * (self._bit_chance - bits) * weights
        if skip_weight:
            chance = self._bit_chance
            by_score += skip_weight / (layers - 1) * self._log_ratio * 2 * chance * (1 - chance)
        by_score *= self._below
        by_score *= self._bit_slope
        self._by["score"][...] = np.einsum("kjn,kjnh->h", by_score, self._bent)
        by_sum = by_score[..., None] * (of._score * (1 - self._bent * self._bent))
        by_queries, by_keys = by_sum.sum(axis=1), by_sum.sum(axis=0)
        second, remembered = self._hidden[1::2], self._remembered[:layers]
        self._by["query"][...] = second.reshape(-1, size).T @ by_queries.reshape(-1, size)
        self._by["key"][...] = remembered.reshape(-1, size).T @ by_keys.reshape(-1, size)
        self._by_hidden[1::2] += by_queries @ of._query.T
        self._by_remembered[:layers] += by_keys @ of._key.T

    def _recur_back(self) -> None:
        of, bits, layers, size = self._of, self._batch.bits, self._of.shape.layers, self._of.shape.hidden_size
        steps, count = 2 * layers, len(bits)
        gates, cells, bent = self._gates, self._cells, self._bent_cells
        by_gates = np.empty_like(gates)
        # The derivative of what comes out of a gate by what goes in: of a sigmoid a (1 - a), of the tanh 1 - a².
        slope = gates * (1 - gates)
        slope[:, :, 3 * size :] = 1 - gates[:, :, 3 * size :] ** 2
        cell_slope = gates[:, :, 2 * size : 3 * size] * (1 - bent * bent)
        by_hidden, by_cell, by_given = np.zeros((3, count, size), of._type)
        for step in reversed(range(steps)):
            layer, second = divmod(step, 2)
            if second:
                self._mixed_back(by_given, layer)
                by_hidden = by_hidden + self._by_remembered[layer + 1]
            by_hidden = by_hidden + self._by_hidden[step]
            by_cell = by_cell + by_hidden * cell_slope[step]
            by = by_gates[step]
            np.multiply(by_cell, gates[step, :, 3 * size :], out=by[:, :size])
            np.multiply(by_cell, cells[step], out=by[:, size : 2 * size])
            np.multiply(by_hidden, bent[step], out=by[:, 2 * size : 3 * size])
            np.multiply(by_cell, gates[step, :, :size], out=by[:, 3 * size :])
            by *= slope[step]
            by_cell = by_cell * gates[step, :, size : 2 * size]
            by_seen = by @ of._lstm.T
            by_hidden = by_seen[:, size:]
            if second:
                np.add.at(self._by["embedding"], self._batch.operations[:, layer], by_seen[:, :size])
            else:
                by_given = by_seen[:, :size]
        self._by["lstm"][...] = self._seen.reshape(-1, 2 * size).T @ by_gates.reshape(-1, 4 * size)
        self._by["start"][...] = (by_given + self._by_remembered[0]).sum(axis=0)

    def _mixed_back(self, by_given: Floats, layer: int) -> None:
        """Takes the gradient by the input of the next layer to what it was mixed from."""
        if layer == 0:
            self._by_remembered[0] += by_given
            return
        taken = self._batch.bits[:, layer, :layer]
        share = taken / (1 + taken.sum(axis=1, keepdims=True))
        self._by_remembered[:layer] += share.T[:, :, None] * by_given


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 0.5 + 0.5 * np.tanh(0.5 * values)
    return result


def _log_softmax(values: Floats) -> Floats:
    values = values - values.max(axis=-1, keepdims=True)
    result: Floats = values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
    return result
