"""What a tuning has found, as Python values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.shared import ObjectiveSpec
from pykatib.api.trial import Trial
from pykatib.control.observation import number_of, value_text
from pykatib.control.view import trial_state

if TYPE_CHECKING:
    import pandas


class TrialResult(msgspec.Struct, frozen=True):
    """One Trial: its parameters as the function got them, its metrics by strategy, how it ended.

    `state` is Succeeded, Failed, MetricsUnavailable, EarlyStopped, Killed, Running or Pending; `value` is the
    objective's metric, None where there is none; `message` says why a Trial failed, with the end of its traceback.
    """

    name: str
    state: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    value: float | None
    message: str = ""


def trial_result(trial: Trial, parameters: Mapping[str, Any]) -> TrialResult:
    """A Trial's result, given its parameters as Python values."""
    objective = trial.spec.objective or ObjectiveSpec()
    metrics = {}
    for name in objective.metric_names:
        value = number_of(value_text(trial.status.observation, objective, name))
        if value is not None:
            metrics[name] = value
    conditions = trial.status.conditions
    return TrialResult(
        name=trial.metadata.name,
        state=trial_state(trial),
        parameters=dict(parameters),
        metrics=metrics,
        value=metrics.get(objective.objective_metric_name),
        message=conditions[-1].message if conditions else "",
    )


class TuneResult(msgspec.Struct, frozen=True):
    """What `tune` returns: the Experiment with its status, the best Trial, and all Trials in the order proposed."""

    experiment: Experiment
    best_trial: TrialResult | None
    trials: tuple[TrialResult, ...]
    interrupted: bool = False

    @property
    def pareto_trials(self) -> tuple[TrialResult, ...]:
        """With several objectives the Trials that no other beats, best of the objective first; 100 at most."""
        by_name = {trial.name: trial for trial in self.trials}
        return tuple(
            by_name[each.trial_name] for each in self.experiment.status.pareto_set if each.trial_name in by_name
        )

    @property
    def best_parameters(self) -> dict[str, Any]:
        """The best Trial's parameters.

        Raises:
            LookupError: no Trial has an objective value.
        """
        return self._best().parameters

    @property
    def best_value(self) -> float:
        """The best Trial's objective value.

        Raises:
            LookupError: no Trial has an objective value.
        """
        value = self._best().value
        assert value is not None, "the best Trial has a value"
        return value

    def _best(self) -> TrialResult:
        if self.best_trial is None:
            failures = [trial for trial in self.trials if trial.message and trial.state == names.FAILED]
            reason = f"; the last one that failed says: {failures[-1].message}" if failures else ""
            raise LookupError(f"none of {len(self.trials)} Trials has an objective value{reason}")
        return self.best_trial

    def trials_dataframe(self) -> "pandas.DataFrame":
        """All Trials as a data frame: name, state, value, then a column a parameter and a column a metric.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("trials_dataframe needs pandas: pip install 'pykatib[dataframe]'") from error
        return pandas.DataFrame(
            [
                {
                    "name": trial.name,
                    "state": trial.state,
                    "value": trial.value,
                    **{f"parameters.{name}": value for name, value in trial.parameters.items()},
                    **{f"metrics.{name}": value for name, value in trial.metrics.items()},
                }
                for trial in self.trials
            ]
        )
