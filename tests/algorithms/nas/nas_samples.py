"""Architecture searches that the tests share."""

from collections.abc import Mapping

from pykatib.algorithms import registry
from pykatib.algorithms.contract import FinishedTrial, Outcome, Proposal
from pykatib.algorithms.nas.space import ArchitectureSpace
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    GraphConfig,
    NasConfig,
    Operation,
    ParameterSpec,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting


def choice(name: str, *values: str) -> ParameterSpec:
    return ParameterSpec(name, "categorical", FeasibleSpace(values=values))


def integer(name: str, low: str, high: str, step: str = "") -> ParameterSpec:
    return ParameterSpec(name, "int", FeasibleSpace(min=low, max=high, step=step))


CONVOLUTION = Operation(
    "convolution", (choice("filter_size", "3", "5"), choice("num_filter", "16"), choice("stride", "1"))
)
REDUCTION = Operation("reduction", (choice("reduction_type", "max_pooling"), integer("pool_size", "2", "3")))


def nas_config(
    *operations: Operation,
    layers: int | None = 3,
    inputs: tuple[int, ...] = (32, 32, 3),
    outputs: tuple[int, ...] = (10,),
) -> NasConfig:
    return NasConfig(GraphConfig(layers, inputs, outputs), operations or (CONVOLUTION, REDUCTION))


def experiment(
    algorithm: str,
    config: NasConfig | None,
    *,
    settings: Mapping[str, str] | None = None,
    references: tuple[str, ...] = (),
) -> Experiment:
    stated = tuple(Setting(name, value) for name, value in (settings or {}).items())
    trial_parameters = tuple(TrialParameterSpec(f"p{index}", "", name) for index, name in enumerate(references))
    return Experiment(
        metadata=ObjectMeta(name="search"),
        spec=ExperimentSpec(
            objective=ObjectiveSpec(type="maximize", objective_metric_name="Validation-Accuracy"),
            algorithm=AlgorithmSpec(algorithm, stated),
            trial_template=TrialTemplate(trial_parameters=trial_parameters),
            nas_config=config,
        ),
    )


def problem(config: NasConfig, *, objective: str = "maximize") -> Problem:
    return Problem(
        space=ArchitectureSpace(config),
        objective=ObjectiveSpec(type=objective, objective_metric_name="accuracy"),
        nas_config=config,
    )


def errors_of(found: Experiment) -> list[str]:
    return [str(error) for error in registry.check(found)]


def finished(index: int, proposal: Proposal, objective: float | None, outcome: Outcome = "succeeded") -> FinishedTrial:
    return FinishedTrial(index, f"trial-{index}", proposal.values, outcome, objective)


def assignments(space: SearchSpace, proposal: Proposal) -> dict[str, str]:
    return {assignment.name: assignment.value for assignment in space.format(proposal.values)}
