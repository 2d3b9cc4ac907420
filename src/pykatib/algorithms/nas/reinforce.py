"""How ENAS's controller learns: REINFORCE with a moving baseline (Pham et al. 2018; Williams 1992), and its state.

A `Learner` is a value. `learn` takes architectures with the rewards that these very architectures earned, and gives the
Learner after `train_steps` steps of Adam. So its state is a function of where it started and what it was told, in that
order, and any earlier one can be kept and gone on from. `dump` and `load` write and read all of it: weights,
optimiser, baseline, and the key of its random numbers, which are addressed by number and have no other state.

Three choices where Katib's formulas leave one:

* The baseline is the moving mean of the rewards so far, corrected for its start at nothing; uncorrected, with Katib's
  decay of 0.999, everything would be better than the baseline for the first thousand results, the worst included.
* Rewards greater than one are scaled by their median magnitude, so that percentages and losses mean to the weights of
  entropy and skip penalty what shares do; and what is then beyond ten is cut, so that one diverged Trial is not all.
* The gradient is taken anew as soon as weights may have moved by `STALENESS`, not at each step: with Katib's learning
  rate of 5e-5 that is every twentieth step, and the twenty are taken at once. Adam moves no weight faster than about
  the learning rate, and with one above 5e-4 each step has a gradient of its own.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np

from pykatib.algorithms.nas.controller import Batch, Controller, ControllerShape, Floats
from pykatib.algorithms.randomness import generator, key_of

STALENESS: Final = 1e-3
MOST_STALE_STEPS: Final = 20
REWARD_LIMIT: Final = 10.0
MAGNITUDES: Final = 101
FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as Kingma and Ba have them
_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """ENAS's settings of learning; None leaves a term out."""

    learning_rate: float = 5e-5
    train_steps: int = 50
    baseline_decay: float = 0.999
    entropy_weight: float | None = 1e-5
    skip_target: float = 0.4
    skip_weight: float | None = 0.8

    @property
    def gradient_steps(self) -> int:
        """How many steps are taken with one gradient."""
        return max(1, min(MOST_STALE_STEPS, int(STALENESS / self.learning_rate)))


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A controller and all that its learning depends on."""

    shape: ControllerShape
    settings: LearningSettings
    key: int
    weights: Floats
    mean: Floats
    square: Floats
    steps: int = 0
    reward_total: float = 0.0
    reward_weight: float = 0.0
    magnitudes: tuple[float, ...] = ()

    @classmethod
    def start(cls, shape: ControllerShape, settings: LearningSettings, *, seed: int) -> "Learner":
        """A fresh one; all of its randomness comes from the seed."""
        weights = shape.initial(generator(key_of(seed, "enas weights"), 0))
        return cls(
            shape=shape,
            settings=settings,
            key=key_of(seed, "enas proposals"),
            weights=weights,
            mean=np.zeros_like(weights),
            square=np.zeros_like(weights),
        )

    @property
    def nbytes(self) -> int:
        """How much memory it takes, nearly."""
        return 3 * self.weights.nbytes

    @property
    def controller(self) -> Controller:
        """The network with its present weights."""
        return Controller(self.shape, self.weights)

    def units(self, index: int, attempts: int) -> Floats:
        """The random numbers of proposal `index`, a row an attempt."""
        shape = self.shape
        count = shape.layers + math.comb(shape.layers, 2)
        return generator(self.key, index).random((attempts, count))

    def learn(self, batch: Batch, rewards: Sequence[float], *, train_steps: int | None = None) -> "Learner":
        """The learner after it has heard what these architectures earned. Greater is better; all must be finite."""
        settings = self.settings
        magnitudes = (*self.magnitudes, *map(abs, rewards))[-MAGNITUDES:]
        scale = max(1.0, statistics.median(magnitudes))
        scaled = np.clip(np.array(rewards) / scale, -REWARD_LIMIT, REWARD_LIMIT)
        controller = self.controller
        if settings.entropy_weight is not None:
            entropy = controller.judge(batch, skip_target=settings.skip_target).entropy
            scaled = scaled + settings.entropy_weight * entropy
        total, weight = self.reward_total, self.reward_weight
        for reward in scaled:
            total = settings.baseline_decay * total + float(reward)
            weight = settings.baseline_decay * weight + 1
        advantage = scaled - total / weight
        weights, mean, square, steps = self.weights.copy(), self.mean.copy(), self.square.copy(), self.steps
        left = settings.train_steps if train_steps is None else train_steps
        while left > 0:
            gradient = Controller(self.shape, weights).gradient(
                batch, advantage, skip_target=settings.skip_target, skip_weight=settings.skip_weight
            )
            count = min(left, settings.gradient_steps)
            _adam(weights, mean, square, gradient, rate=settings.learning_rate, first_step=steps + 1, count=count)
            steps += count
            left -= count
        return replace(
            self,
            weights=weights,
            mean=mean,
            square=square,
            steps=steps,
            reward_total=total,
            reward_weight=weight,
            magnitudes=magnitudes,
        )

    def dump(self) -> bytes:
        """All of its state, for `load`."""
        state = {
            "format": _FORMAT,
            "sizes": [list(size) for size in self.shape.sizes.values()],
            "layers": self.shape.layers,
            "type": str(self.weights.dtype),
            "key": self.key,
            "weights": self.weights.tobytes(),
            "mean": self.mean.tobytes(),
            "square": self.square.tobytes(),
            "steps": self.steps,
            "reward_total": self.reward_total,
            "reward_weight": self.reward_weight,
            "magnitudes": self.magnitudes,
        }
        return msgspec.msgpack.encode(state)

    @classmethod
    def load(cls, data: bytes, shape: ControllerShape, settings: LearningSettings) -> "Learner":
        """The very learner that was dumped; ValueError where it was one of another shape."""
        try:
            state: dict[str, Any] = msgspec.msgpack.decode(data, type=dict[str, Any])
            found = state["format"], state["sizes"], state["layers"]
        except (msgspec.DecodeError, KeyError) as error:
            raise ValueError(f"this is no dump of a controller: {error}") from error
        if found != (_FORMAT, [list(size) for size in shape.sizes.values()], shape.layers):
            raise ValueError("this is the dump of a controller for another search space, or of another pykatib")

        def vector(name: str) -> Floats:
            return np.frombuffer(state[name], dtype=state["type"])

        return cls(
            shape=shape,
            settings=settings,
            key=state["key"],
            weights=vector("weights"),
            mean=vector("mean"),
            square=vector("square"),
            steps=state["steps"],
            reward_total=state["reward_total"],
            reward_weight=state["reward_weight"],
            magnitudes=tuple(state["magnitudes"]),
        )


def _adam(
    weights: Floats, mean: Floats, square: Floats, gradient: Floats, *, rate: float, first_step: int, count: int
) -> None:
    """Some steps of Adam with one gradient, in place.

    One step is Adam's. Several are taken at once: the gradient's mean after each is a sum of what it was and of the
    gradient, and the root of its square, which hardly changes meanwhile, is taken from the middle one.
    """
    of_mean = of_gradient = 0.0
    for step in range(1, count + 1):
        corrected = rate / (1 - FIRST_DECAY ** (first_step + step - 1))
        of_mean += corrected * FIRST_DECAY**step
        of_gradient += corrected * (1 - FIRST_DECAY**step)
    change = of_mean * mean + of_gradient * gradient
    squared = gradient * gradient
    middle = (count + 1) // 2
    kept = SECOND_DECAY**middle
    root = kept * square + (1 - kept) * squared
    root /= 1 - SECOND_DECAY ** (first_step + middle - 1)
    np.sqrt(root, out=root)
    root += EPSILON
    change /= root
    weights -= change
    for moment, towards, decay in ((mean, gradient, FIRST_DECAY**count), (square, squared, SECOND_DECAY**count)):
        moment *= decay
        moment += (1 - decay) * towards
