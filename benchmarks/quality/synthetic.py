"""Functions of our own writing: classical shapes with shifts and rotations, and mixed spaces like those of training.

Functions are numbered; those with even numbers are held out. Each comes in a few instances, which differ in where the
optimum lies.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from problem import Problem, Wanted, choice, double, integer, numbers

from pykatib.algorithms.contract import ParameterValue

Floats: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Function: TypeAlias = Callable[[Sequence[ParameterValue]], float]

_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(x: Floats) -> float:
    """Two parameters, three optima."""
    a, b = x
    inner = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return float(inner * inner + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10)


def hartmann(x: Floats) -> float:
    """Six parameters, six optima."""
    return float(-np.array([1, 1.2, 3, 3.2]) @ np.exp(-np.sum(_A * (x - _P) ** 2, axis=1)))


def ackley(z: Floats) -> float:
    """Many shallow optima on the way to a funnel."""
    return float(-20 * np.exp(-0.2 * np.sqrt(np.mean(z * z))) - np.exp(np.mean(np.cos(2 * np.pi * z))) + 20 + math.e)


def rosenbrock(z: Floats) -> float:
    """A bent valley."""
    return float(np.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2))


def rastrigin(z: Floats) -> float:
    """A bowl with as many optima as an egg box."""
    return float(np.sum(z * z - 10 * np.cos(2 * np.pi * z) + 10))


def bowl(z: Floats) -> float:
    """One optimum, each parameter ten times as important as the one before."""
    return float(np.sum(z * z * 10.0 ** np.arange(len(z))))


def powers(z: Floats) -> float:
    """Different powers: flat near the optimum."""
    return float(np.sum(np.abs(z) ** (2 + 4 * np.arange(len(z)) / max(len(z) - 1, 1))))


def griewank(z: Floats) -> float:
    """A wide bowl with ripples."""
    return float(np.sum(z * z) / 40 - np.prod(np.cos(z / np.sqrt(np.arange(1, len(z) + 1)))) + 1)


def rotation(size: int, generator: np.random.Generator) -> Floats:
    """A random rotation."""
    return np.linalg.qr(generator.normal(size=(size, size)))[0]


def placed(
    shape: Callable[[Floats], float], size: int, generator: np.random.Generator, *, rotated: bool, at: float = 0.0
) -> Function:
    """The shape over [-5, 5]**size with its optimum, which is at (at, at, …), moved to a random place."""
    centre = generator.uniform(-3.5, 3.5, size)
    turn = rotation(size, generator) if rotated else np.eye(size)
    return lambda values: shape(turn @ (np.array(values, dtype=float) - centre) + at)


def training(generator: np.random.Generator) -> tuple[Function, float]:
    """An error rate as training gives one: the best rate of learning depends on optimizer and batch size."""
    best = {name: generator.uniform(-4, -1) for name in ("sgd", "adam", "rmsprop", "ftrl")}
    floor = {name: generator.uniform(0, 0.06) for name in best}
    width = generator.uniform(5, 8)
    decay = generator.uniform(-6, -3)

    def error(values: Sequence[ParameterValue]) -> float:
        rate, weight_decay, optimizer, batch, units, dropout = values
        size = float(batch)
        place = best[str(optimizer)] + 0.3 * (math.log2(size) - 6)
        miss = 0.04 * (math.log10(float(rate)) - place) ** 2
        miss += 0.01 * (math.log10(float(weight_decay)) - decay) ** 2
        miss += 0.02 * (math.log2(float(units)) - width) ** 2 + 0.1 * (float(dropout) - 0.03 * width) ** 2
        return 1 - math.exp(-miss) * (1 - floor[str(optimizer)] - 0.003 * abs(math.log2(size) - 6))

    units = min(range(4, 1025), key=lambda n: abs(math.log2(n) - width))
    dropout = min((0.05 * k for k in range(19)), key=lambda d: abs(d - 0.03 * width))
    optimum = min(error([10 ** best[name], 10**decay, name, 64, units, dropout]) for name in best)
    return error, optimum


TRAINING = (
    double("lr", 1e-6, 1.0, log=True),
    double("decay", 1e-8, 1e-1, log=True),
    choice("optimizer", "sgd", "adam", "rmsprop", "ftrl"),
    numbers("batch", 16, 32, 64, 128, 256),
    integer("units", 4, 1024, log=True),
    double("dropout", 0.0, 0.9, step="0.05"),
)


def layers(generator: np.random.Generator) -> tuple[Function, float]:
    """Lists and ints only, some of which matter in pairs."""
    pairs = generator.uniform(0, 1, (3, 4, 4))
    alone = generator.uniform(0, 1, (3, 4))
    aims = generator.integers(1, 21, 3)

    def error(values: Sequence[ParameterValue]) -> float:
        places = ["abcd".index(str(value)) for value in values[:3]]
        total = sum(alone[k, place] for k, place in enumerate(places))
        total += sum(pairs[k, places[k], places[(k + 1) % 3]] for k in range(3))
        return float(total + sum(abs(float(v) - a) / 10 for v, a in zip(values[3:], aims, strict=True)))

    optimum = min(error([a, b, c, *aims.tolist()]) for a in "abcd" for b in "abcd" for c in "abcd")
    return error, optimum


LAYERS = (*(choice(f"op{k}", "a", "b", "c", "d") for k in range(3)), *(integer(f"n{k}", 1, 20) for k in range(3)))


def learning_rates(generator: np.random.Generator) -> tuple[Function, float]:
    """Three parameters over many decades; beyond a cliff nothing is learned."""
    best = generator.uniform(-5, -2, 3)
    cliff = best[0] + 1.0

    def error(values: Sequence[ParameterValue]) -> float:
        logs = np.log10(np.array(values, dtype=float))
        return 10.0 if logs[0] > cliff else float(np.sum(np.abs(logs - best) * [1, 0.5, 0.2]))

    return error, 0.0


RATES = tuple(double(f"rate{k}", 1e-8, 1.0, log=True) for k in range(3))

_INSTANCES = 3


def problems(wanted: Wanted) -> Iterator[Problem]:
    """All of them: they cost nothing until they are wanted."""
    shapes: list[tuple[str, Callable[[Floats], float], int, bool, float, float]] = [
        # name, shape, parameters, rotated, where its optimum is, noise
        ("bowl", bowl, 4, False, 0.0, 0.0),
        ("powers", powers, 5, False, 0.0, 0.0),
        ("rosenbrock", rosenbrock, 4, False, 1.0, 0.0),
        ("ackley", ackley, 5, False, 0.0, 0.0),
        ("rastrigin", rastrigin, 5, False, 0.0, 0.0),
        ("rotated-rastrigin", rastrigin, 5, True, 0.0, 0.0),
        ("rotated-bowl", bowl, 3, True, 0.0, 0.0),
        ("rotated-rosenbrock", rosenbrock, 6, True, 1.0, 0.0),
        ("noisy-ackley", ackley, 4, False, 0.0, 0.5),
        ("noisy-griewank", griewank, 4, False, 0.0, 0.1),
        ("griewank", griewank, 8, True, 0.0, 0.0),
        ("wide-ackley", ackley, 12, True, 0.0, 0.0),
    ]
    for number, (name, shape, size, rotated, at, noise) in enumerate(shapes, start=1):
        for instance in range(1, _INSTANCES + 1):
            generator = np.random.default_rng((number, instance))
            yield Problem(
                name=f"{name}-{size}d-{instance}",
                family="synthetic",
                specs=tuple(double(f"x{k}", -5.0, 5.0) for k in range(size)),
                function=placed(shape, size, generator, rotated=rotated, at=at),
                optimum=0.0,
                held_out=number % 2 == 0,
                noise=noise,
                quick=instance == 1,
                standard=instance == 1,
            )
    mixed = [("training", training, TRAINING), ("noisy-training", training, TRAINING), ("layers", layers, LAYERS)]
    mixed += [("noisy-layers", layers, LAYERS), ("rates", learning_rates, RATES)]
    for number, (name, make, specs) in enumerate(mixed, start=len(shapes) + 1):
        for instance in range(1, _INSTANCES + 1):
            function, optimum = make(np.random.default_rng((number, instance)))
            noise = 0.0 if not name.startswith("noisy") else 0.02 if specs is TRAINING else 0.2
            held_out = number % 2 == 0
            chosen = instance == 1
            yield Problem(f"{name}-{instance}", "synthetic", specs, function, optimum, held_out, noise, chosen, chosen)
    plane = (double("x0", -5.0, 10.0), double("x1", 0.0, 15.0))
    yield Problem(
        "branin",
        "synthetic",
        plane,
        lambda v: branin(np.array(v)),
        0.39788735772973816,
        held_out=False,
        quick=True,
        standard=True,
    )
    cube = tuple(double(f"x{k}", 0.0, 1.0) for k in range(6))
    yield Problem(
        "hartmann",
        "synthetic",
        cube,
        lambda v: hartmann(np.array(v)),
        -3.322368011391339,
        held_out=True,
        quick=True,
        standard=True,
    )
