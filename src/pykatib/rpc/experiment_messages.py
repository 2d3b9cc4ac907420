"""Experiments as messages and back: the part of one that its algorithm needs.

The wire knows neither strategies of metrics nor a goal of exactly 0, and shows no difference between a count that is
0 and none; the rest comes back as it went. Words that the wire has no number for become its "unknown", and that
becomes an empty word, which validation names.
"""

from collections.abc import Iterable, Mapping, Sequence

from pykatib.api import names
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    GraphConfig,
    NasConfig,
    Operation,
    ParameterSpec,
)
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, EarlyStoppingSpec, MetricStrategy, ObjectiveSpec, Setting
from pykatib.rpc import messages

_PARAMETER_TYPES = {
    names.DOUBLE: messages.DOUBLE,
    names.INT: messages.INT,
    names.DISCRETE: messages.DISCRETE,
    names.CATEGORICAL: messages.CATEGORICAL,
}
_DISTRIBUTIONS = {
    names.UNIFORM: messages.UNIFORM,
    names.LOG_UNIFORM: messages.LOG_UNIFORM,
    names.NORMAL_DISTRIBUTION: messages.NORMAL,
    names.LOG_NORMAL: messages.LOG_NORMAL,
}
_OBJECTIVES = {names.MINIMIZE: messages.MINIMIZE, names.MAXIMIZE: messages.MAXIMIZE}
_PARAMETER_TYPE_NAMES = {number: name for name, number in _PARAMETER_TYPES.items()}
_DISTRIBUTION_NAMES = {number: name for name, number in _DISTRIBUTIONS.items()}
_OBJECTIVE_NAMES = {number: name for name, number in _OBJECTIVES.items()}


def experiment_message(experiment: Experiment, *, settings: Iterable[Setting] = ()) -> messages.Experiment:
    """The message of an Experiment; `settings` replace its own of the same names, and are added otherwise."""
    spec = experiment.spec
    message = messages.Experiment(name=experiment.metadata.name)
    to = message.spec
    to.parallel_trial_count = spec.parallel_trial_count or 0
    to.max_trial_count = spec.max_trial_count or 0
    to.parameter_specs.SetInParent()  # Katib's services read it without asking whether it is there
    to.parameter_specs.parameters.extend(_parameter_message(parameter) for parameter in spec.parameters)
    if spec.objective is not None:
        to.objective.CopyFrom(objective_message(spec.objective))
    if spec.algorithm is not None:
        to.algorithm.algorithm_name = spec.algorithm.algorithm_name
        for name, value in _merged(spec.algorithm.algorithm_settings, settings).items():
            to.algorithm.algorithm_settings.add(name=name, value=value)
    if spec.early_stopping is not None:
        to.early_stopping.CopyFrom(early_stopping_message(spec.early_stopping))
    if spec.nas_config is not None:
        to.nas_config.CopyFrom(_nas_message(spec.nas_config))
    return message


def experiment_from(message: messages.Experiment) -> Experiment:
    """The Experiment of a message."""
    spec = message.spec
    return Experiment(
        metadata=ObjectMeta(name=message.name),
        spec=ExperimentSpec(
            parameters=tuple(_parameter_from(parameter) for parameter in spec.parameter_specs.parameters),
            objective=objective_from(spec.objective) if spec.HasField("objective") else None,
            algorithm=algorithm_from(spec.algorithm) if spec.HasField("algorithm") else None,
            early_stopping=early_stopping_from(spec.early_stopping) if spec.HasField("early_stopping") else None,
            parallel_trial_count=spec.parallel_trial_count or None,
            max_trial_count=spec.max_trial_count or None,
            nas_config=_nas_from(spec.nas_config) if spec.HasField("nas_config") else None,
        ),
    )


def _merged(settings: Sequence[Setting], replacing: Iterable[Setting]) -> Mapping[str, str]:
    merged = {setting.name: setting.value for setting in settings}
    merged.update({setting.name: setting.value for setting in replacing})
    return merged


def algorithm_from(message: messages.AlgorithmSpec) -> AlgorithmSpec:
    """The algorithm and its settings."""
    return AlgorithmSpec(
        message.algorithm_name, tuple(Setting(setting.name, setting.value) for setting in message.algorithm_settings)
    )


def early_stopping_message(spec: EarlyStoppingSpec) -> messages.EarlyStoppingSpec:
    """The message of an early stopping algorithm and its settings."""
    message = messages.EarlyStoppingSpec(algorithm_name=spec.algorithm_name)
    for setting in spec.algorithm_settings:
        message.algorithm_settings.add(name=setting.name, value=setting.value)
    return message


def early_stopping_from(message: messages.EarlyStoppingSpec) -> EarlyStoppingSpec:
    """The early stopping algorithm and its settings."""
    return EarlyStoppingSpec(
        message.algorithm_name, tuple(Setting(setting.name, setting.value) for setting in message.algorithm_settings)
    )


def objective_message(objective: ObjectiveSpec) -> messages.ObjectiveSpec:
    """The message of an objective."""
    return messages.ObjectiveSpec(
        type=_OBJECTIVES.get(objective.type, messages.UNKNOWN),
        goal=objective.goal or 0.0,
        objective_metric_name=objective.objective_metric_name,
        additional_metric_names=objective.additional_metric_names,
    )


def objective_from(message: messages.ObjectiveSpec) -> ObjectiveSpec:
    """The objective. On the wire a metric has one value, which is the latest there is."""
    metrics = (message.objective_metric_name, *message.additional_metric_names)
    return ObjectiveSpec(
        type=_OBJECTIVE_NAMES.get(message.type, ""),
        goal=message.goal or None,
        objective_metric_name=message.objective_metric_name,
        additional_metric_names=tuple(message.additional_metric_names),
        metric_strategies=tuple(MetricStrategy(name, names.LATEST) for name in metrics),
    )


def _parameter_message(spec: ParameterSpec) -> messages.ParameterSpec:
    space = spec.feasible_space
    return messages.ParameterSpec(
        name=spec.name,
        parameter_type=_PARAMETER_TYPES.get(spec.parameter_type, messages.UNKNOWN_TYPE),
        feasible_space=messages.FeasibleSpace(
            max=space.max,
            min=space.min,
            list=space.values,
            step=space.step,
            distribution=_DISTRIBUTIONS.get(space.distribution, messages.DISTRIBUTION_UNSPECIFIED),
        ),
    )


def _parameter_from(message: messages.ParameterSpec) -> ParameterSpec:
    space = message.feasible_space
    return ParameterSpec(
        name=message.name,
        parameter_type=_PARAMETER_TYPE_NAMES.get(message.parameter_type, ""),
        feasible_space=FeasibleSpace(
            max=space.max,
            min=space.min,
            values=tuple(space.list),
            step=space.step,
            distribution=_DISTRIBUTION_NAMES.get(space.distribution, ""),
        ),
    )


def _nas_message(config: NasConfig) -> messages.NasConfig:
    graph = config.graph_config
    message = messages.NasConfig(
        graph_config=messages.GraphConfig(
            num_layers=graph.num_layers or 0, input_sizes=graph.input_sizes, output_sizes=graph.output_sizes
        )
    )
    message.operations.SetInParent()
    for operation in config.operations:
        to = message.operations.operation.add(operation_type=operation.operation_type)
        to.parameter_specs.SetInParent()
        to.parameter_specs.parameters.extend(_parameter_message(parameter) for parameter in operation.parameters)
    return message


def _nas_from(message: messages.NasConfig) -> NasConfig:
    graph = message.graph_config
    return NasConfig(
        graph_config=GraphConfig(graph.num_layers or None, tuple(graph.input_sizes), tuple(graph.output_sizes)),
        operations=tuple(
            Operation(operation.operation_type, tuple(map(_parameter_from, operation.parameter_specs.parameters)))
            for operation in message.operations.operation
        ),
    )
