"""The algorithm `default`: another one, picked by the Experiment.

What it is picked by may be edited later (`maxTrialCount`, `parallelTrialCount`), and an algorithm must not change in
the middle of a search. So the pick is made when proposals are first asked for, and recorded with them, as the setting
`pick` in the Suggestion's status, from where it comes back with every question (`settled`). Katib's controller does the
same for a service. An Experiment that is asked about without one, to be validated, is judged by what would be picked.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from pykatib.algorithms.description import Settings
from pykatib.algorithms.parameters import Choice
from pykatib.algorithms.problem import Problem
from pykatib.api.experiment import Experiment
from pykatib.api.objectives import OBJECTIVES_SETTING
from pykatib.api.shared import AlgorithmSpec, Setting

DEFAULT: Final = "default"
PICK: Final = "pick"
PICK_REASON: Final = "pick_reason"

FEW: Final = 10  # Trials, of which a model learns nothing
DEAR: Final = 200  # so many Trials are worth the time of a Gaussian process
NARROW: Final = 20  # parameters, of which a Gaussian process can learn from so few Trials
MANY: Final = 1000  # Trials, with which an evolution strategy or an evolution comes into its own


class Pick(NamedTuple):
    """An algorithm, and the reason in words."""

    name: str
    why: str


def pick(problem: Problem, settings: Settings) -> Pick:
    """What `default` stands for: what was picked before, else what the first rule that holds says."""
    recorded = settings.get(PICK)
    if recorded is not None:
        return Pick(str(recorded), str(settings.get(PICK_REASON) or ""))
    space, budget = problem.space, problem.max_trial_count
    varied = [parameter for parameter in space.parameters if parameter.count != 1]
    lists = sum(isinstance(parameter, Choice) and not parameter.ordinal for parameter in varied)
    trials = "no limit of Trials" if budget is None else f"{budget} Trials"
    size = _words(len(varied), "parameter")
    if settings.get(OBJECTIVES_SETTING) is not None:
        if budget is not None and budget > MANY:
            return Pick("nsga2", f"several objectives and {trials}, more than {MANY}")
        return Pick("motpe", f"several objectives and {trials}")
    if space.size is not None and budget is not None and space.size <= budget and not space.restricted:
        return Pick("grid", f"{_words(space.size, 'point')} in all, no more than {trials}: each of them is tried")
    if budget is not None and (budget <= FEW or (problem.parallel_trial_count or 1) >= budget):
        at_a_time = problem.parallel_trial_count or 1
        return Pick("sobol", f"{trials}, {at_a_time} at a time: there are too few results to learn from")
    if space.restricted:
        return Pick("multivariate-tpe", f"{size} with conditions or constraints")
    if budget is not None and budget <= DEAR and len(varied) <= NARROW and 2 * lists <= len(varied):
        return Pick("bayesianoptimization", f"{trials}, no more than {DEAR}, and {size}, no more than {NARROW}")
    if budget is not None and budget >= MANY and not lists and len(varied) > 1:
        return Pick("cmaes", f"{trials}, at least {MANY}, and {size}, all of numbers")
    return Pick("multivariate-tpe", f"{trials} and {size}, of which {lists} are lists")


def _words(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def is_default(experiment: Experiment) -> bool:
    """Whether the Experiment leaves its algorithm open."""
    return experiment.spec.algorithm is not None and experiment.spec.algorithm.algorithm_name == DEFAULT


def recorded_in(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """What of some settings, a Suggestion's or an Experiment's, records a pick."""
    return tuple(setting for setting in settings if setting.name in (PICK, PICK_REASON))


def recorded(picked: Pick) -> tuple[Setting, ...]:
    """What is kept of a pick."""
    return (Setting(PICK, picked.name), Setting(PICK_REASON, picked.why))


def with_settings(experiment: Experiment, added: Sequence[Setting]) -> Experiment:
    """The Experiment with further settings of its algorithm."""
    algorithm = experiment.spec.algorithm or AlgorithmSpec()
    changed = AlgorithmSpec(algorithm.algorithm_name, (*algorithm.algorithm_settings, *added))
    return msgspec.structs.replace(experiment, spec=msgspec.structs.replace(experiment.spec, algorithm=changed))
