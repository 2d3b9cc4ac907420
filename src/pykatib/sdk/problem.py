"""An Experiment made from Python arguments: what `tune` and a session of one's own have in common."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec, RetryPolicy, TrialParameterSpec, TrialTemplate
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import (
    AlgorithmSpec,
    CollectorSpec,
    EarlyStoppingSpec,
    MetricsCollectorSpec,
    ObjectiveSpec,
    Setting,
)
from pykatib.embedded.algorithm_services import address_problem, with_service
from pykatib.sdk.search import Dimension

Objective: TypeAlias = Callable[[dict[str, Any]], Any]
Settings: TypeAlias = Mapping[str, Any] | Sequence[Setting]

SUCCESS_CONDITION = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
FAILURE_CONDITION = 'status.conditions.#(type=="Failed")#|#(status=="True")#'


class SearchProblem(msgspec.Struct, frozen=True):
    """The parameters of a tuning: those that are searched and those that are given."""

    dimensions: dict[str, Dimension]
    constants: dict[str, Any]

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "SearchProblem":
        """Splits what the user gave.

        Raises:
            ValueError: nothing is to be searched.
        """
        dimensions = {name: value for name, value in parameters.items() if isinstance(value, Dimension)}
        constants = {name: value for name, value in parameters.items() if name not in dimensions}
        if not dimensions:
            raise ValueError(
                "parameters names nothing to search; give at least one as search.double(…), search.int(…), "
                "search.categorical(…) or search.discrete(…)"
            )
        return cls(dimensions, constants)

    def values(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """What the function gets: searched values by their types, given ones as they were given."""
        dimensions = self.dimensions
        found = self.constants.copy()
        for name, text in texts.items():
            found[name] = dimensions[name].value_of(text)
        return found


def check_objective(objective: Any) -> None:
    """Says at once when a function cannot be called with one dict of parameters.

    Raises:
        ValueError: it cannot.
    """
    if not callable(objective):
        raise ValueError(f"Objective function must be callable, got function type: {type(objective)}")
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):
        return  # a builtin that does not say; the first Trial will
    try:
        signature.bind({})
    except TypeError as error:
        raise ValueError(
            f"Invalid args in the Objective function. It is called with one argument, the dict of parameters ({error})"
        ) from error


def experiment_of(
    problem: SearchProblem,
    *,
    name: str,
    namespace: str,
    algorithm_name: str,
    algorithm_settings: Settings | None,
    algorithm_service: str | None = None,
    early_stopping: EarlyStoppingSpec | None = None,
    objective_metric_name: str,
    additional_metric_names: Sequence[str],
    objective_type: str,
    objective_goal: float | None,
    max_trial_count: int | None,
    parallel_trial_count: int | None,
    max_failed_trial_count: int | None,
    retain_trials: bool = False,
    trial_active_deadline_seconds: int | None = None,
    active_deadline_seconds: int | None = None,
    retries: RetryPolicy | None = None,
    resume_policy: Literal["Never", "LongRunning", "FromVolume"] = "LongRunning",
) -> Experiment:
    """The Experiment that a tuning runs. Its Trials may be resumed with a larger budget unless the policy says no.

    Raises:
        InvalidInput: `algorithm_service` is no address.
    """
    body = {
        "apiVersion": names.CALLABLE_API_VERSION,
        "kind": names.CALLABLE_JOB,
        "spec": {"parameters": {name: f"${{trialParameters.{name}}}" for name in problem.dimensions}},
    }
    if algorithm_service is not None and (wrong := address_problem(algorithm_service)):
        raise InvalidInput([FieldError("algorithm_service", wrong)])
    experiment = Experiment(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=ExperimentSpec(
            parameters=tuple(dimension.spec(name) for name, dimension in problem.dimensions.items()),
            objective=ObjectiveSpec(
                type=objective_type,
                goal=objective_goal,
                objective_metric_name=objective_metric_name,
                additional_metric_names=tuple(additional_metric_names),
            ),
            algorithm=AlgorithmSpec(algorithm_name, _settings(algorithm_settings)),
            early_stopping=early_stopping,
            trial_template=TrialTemplate(
                retain=retain_trials,
                trial_spec=msgspec.Raw(msgspec.json.encode(body)),
                trial_parameters=tuple(TrialParameterSpec(name, "", name) for name in problem.dimensions),
                primary_container_name="training-container",
                success_condition=SUCCESS_CONDITION,
                failure_condition=FAILURE_CONDITION,
                active_deadline_seconds=trial_active_deadline_seconds,
                retries=retries,
            ),
            parallel_trial_count=parallel_trial_count,
            max_trial_count=max_trial_count,
            max_failed_trial_count=max_failed_trial_count,
            metrics_collector_spec=MetricsCollectorSpec(collector=CollectorSpec(names.PUSH)),
            resume_policy=resume_policy,
            active_deadline_seconds=active_deadline_seconds,
        ),
    )
    return experiment if algorithm_service is None else with_service(experiment, algorithm_service)


def _settings(given: Settings | None) -> tuple[Setting, ...]:
    if given is None:
        return ()
    if isinstance(given, Mapping):
        return tuple(Setting(name, str(value)) for name, value in given.items())
    return tuple(given)
