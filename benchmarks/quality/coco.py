"""The functions of COCO: bbob, and bbob-mixint with its ints (needs the package coco-experiment).

Functions with even numbers are held out. COCO does not tell the value of an optimum; it writes the optimum itself to a
file in the working directory, so each function is evaluated there, in a directory of its own that is then removed.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cocoex
import numpy as np
from problem import Problem, Wanted, double, integer

from pykatib.algorithms.contract import ParameterValue

_BEST = "._bbob_problem_best_parameter.txt"
_SIZES = {"bbob": (2, 5, 10, 20), "bbob-mixint": (5, 10, 20)}
_QUICK = {"bbob": 5, "bbob-mixint": 5}


class Function:
    """One function; a suite has to live as long as its functions."""

    def __init__(self, suite: object, problem: object) -> None:
        self._suite = suite
        self._problem = problem

    def __call__(self, values: Sequence[ParameterValue]) -> float:
        return float(self._problem(np.array(values, dtype=float)))  # type: ignore[operator]


def problems(wanted: Wanted) -> Iterator[Problem]:
    """One instance of each function in a few sizes."""
    for name, sizes in _SIZES.items():
        for size in sizes:
            suite = cocoex.Suite(name, "", f"dimensions:{size} instance_indices:1")
            for problem in suite:
                number = problem.id_function
                chosen = number % 4 in (1, 2)
                quick = chosen and size == _QUICK[name]
                standard = chosen and size == sizes[number // 4 % len(sizes)]  # all sizes, each function once
                if not wanted(held_out=number % 2 == 0, quick=quick, standard=standard):
                    continue
                function = Function(suite, suite.get_problem(problem.id))
                whole = problem.number_of_integer_variables
                bounds = list(zip(problem.lower_bounds, problem.upper_bounds, strict=True))
                yield Problem(
                    name=f"{name}-f{number:02}-{size}d",
                    family=name,
                    specs=tuple(
                        integer(f"x{k}", int(low), int(high)) if k < whole else double(f"x{k}", float(low), float(high))
                        for k, (low, high) in enumerate(bounds)
                    ),
                    function=function,
                    optimum=_optimum(problem, function),
                    held_out=number % 2 == 0,
                    quick=quick,
                    standard=standard,
                )


def _optimum(problem: object, function: Function) -> float:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            problem._best_parameter("print")  # type: ignore[attr-defined]
            best = [float(text) for text in Path(_BEST).read_text().split()]
        finally:
            os.chdir(before)
    return function(best)
