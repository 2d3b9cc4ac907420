"""Values of the API as messages and back."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api import names
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    GraphConfig,
    NasConfig,
    Operation,
    ParameterSpec,
)
from pykatib.api.meta import Condition, ObjectMeta
from pykatib.api.shared import (
    AlgorithmSpec,
    EarlyStoppingSpec,
    Metric,
    MetricStrategy,
    ObjectiveSpec,
    Observation,
    ParameterAssignment,
    Setting,
)
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.view import is_finished
from pykatib.rpc import messages
from pykatib.rpc.experiment_messages import experiment_from, experiment_message
from pykatib.rpc.log_messages import log_message, moment_from, rows_from, text_of
from pykatib.rpc.trial_messages import is_sent, trial_from, trial_message
from pykatib.store.log_row import LogRow

texts = st.text(max_size=8)
distinct_texts = st.lists(texts, max_size=3, unique=True).map(tuple)
settings = st.builds(Setting, texts, texts)
spaces = st.builds(
    FeasibleSpace,
    max=texts,
    min=texts,
    values=st.lists(texts, max_size=3).map(tuple),
    step=texts,
    distribution=st.sampled_from(["", *names.DISTRIBUTIONS]),
)
parameters = st.lists(
    st.builds(ParameterSpec, texts, st.sampled_from(["", *names.PARAMETER_TYPES]), spaces), max_size=3
).map(tuple)
counts = st.none() | st.integers(1, 2**31 - 1)


def _objective(kind: str, goal: float | None, name: str, more: tuple[str, ...]) -> ObjectiveSpec:
    strategies = tuple(MetricStrategy(metric, names.LATEST) for metric in (name, *more))
    return ObjectiveSpec(kind, goal, name, more, strategies)


objectives = st.builds(
    _objective,
    st.sampled_from(["", names.MINIMIZE, names.MAXIMIZE]),
    st.none() | st.floats(allow_nan=False).filter(lambda goal: goal != 0),
    texts,
    distinct_texts,
)
algorithms = st.builds(AlgorithmSpec, texts, st.lists(settings, max_size=3, unique_by=lambda one: one.name).map(tuple))
nas_configs = st.builds(
    NasConfig,
    st.builds(GraphConfig, counts, st.lists(counts.filter(bool), max_size=3).map(tuple), st.just((10,))),
    st.lists(st.builds(Operation, texts, parameters), max_size=2).map(tuple),
)
experiments = st.builds(
    Experiment,
    metadata=st.builds(ObjectMeta, name=texts),
    spec=st.builds(
        ExperimentSpec,
        parameters=parameters,
        objective=st.none() | objectives,
        algorithm=st.none() | algorithms,
        early_stopping=st.none() | st.builds(EarlyStoppingSpec, texts, st.lists(settings, max_size=2).map(tuple)),
        parallel_trial_count=counts,
        max_trial_count=counts,
        nas_config=st.none() | nas_configs,
    ),
)


@given(experiments)
def test_an_experiment_comes_back_as_it_went(experiment: Experiment) -> None:
    wire = experiment_message(experiment).SerializeToString()
    assert experiment_from(messages.Experiment.FromString(wire)) == experiment


def test_words_that_the_wire_has_no_number_for_come_back_empty() -> None:
    space = FeasibleSpace(distribution="cauchy")
    experiment = Experiment(
        metadata=ObjectMeta(name="e"),
        spec=ExperimentSpec(parameters=(ParameterSpec("x", "complex", space),), objective=ObjectiveSpec("best")),
    )
    spec = experiment_from(experiment_message(experiment)).spec
    assert spec.parameters == (ParameterSpec("x", "", FeasibleSpace()),)
    assert spec.objective is not None
    assert spec.objective.type == ""


def test_settings_of_the_status_replace_those_of_the_experiment_and_are_added_behind() -> None:
    experiment = Experiment(
        metadata=ObjectMeta(name="e"),
        spec=ExperimentSpec(algorithm=AlgorithmSpec("hyperband", (Setting("a", "1"), Setting("b", "2")))),
    )
    message = experiment_message(experiment, settings=[Setting("b", "3"), Setting("c", "4")])
    found = [(setting.name, setting.value) for setting in message.spec.algorithm.algorithm_settings]
    assert found == [("a", "1"), ("b", "3"), ("c", "4")]


def trial(*conditions: Condition, observation: Observation | None = None, strategy: str = names.LATEST) -> Trial:
    return Trial(
        metadata=ObjectMeta(name="t-1"),
        spec=TrialSpec(
            objective=ObjectiveSpec(
                names.MINIMIZE,
                None,
                "loss",
                ("time",),
                (MetricStrategy("loss", strategy), MetricStrategy("time", "max")),
            ),
            parameter_assignments=(ParameterAssignment("lr", "0.1"),),
            labels={"round": "2"},
        ),
        status=TrialStatus(start_time="2026-01-31T08:00:00Z", conditions=conditions, observation=observation),
    )


def true(kind: str) -> Condition:
    return Condition(kind, names.TRUE)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param((), messages.TrialStatus.CREATED, id="none yet"),
        pytest.param((true(names.CREATED),), messages.TrialStatus.CREATED, id="created"),
        pytest.param((true(names.CREATED), true(names.RUNNING)), messages.TrialStatus.RUNNING, id="running"),
        pytest.param(
            (true(names.SUCCEEDED), Condition(names.RUNNING, names.FALSE)),
            messages.TrialStatus.SUCCEEDED,
            id="succeeded",
        ),
        pytest.param((true(names.FAILED),), messages.TrialStatus.FAILED, id="failed"),
        pytest.param((true(names.KILLED),), messages.TrialStatus.KILLED, id="killed"),
        pytest.param((true(names.EARLY_STOPPED),), messages.TrialStatus.EARLYSTOPPED, id="early stopped"),
    ],
)
def test_a_trials_state_is_one_number(conditions: tuple[Condition, ...], expected: int) -> None:
    assert trial_message(trial(*conditions)).status.condition == expected


@pytest.mark.parametrize(
    ("strategy", "value"),
    [
        pytest.param(names.MIN, "0.1", id="min"),
        pytest.param(names.MAX, "0.9", id="max"),
        pytest.param(names.LATEST, "0.5", id="latest"),
    ],
)
def test_a_metric_has_the_value_of_its_strategy(strategy: str, value: str) -> None:
    observation = Observation((Metric("loss", "0.1", "0.9", "0.5"), Metric("time", "unavailable", "unavailable", "7")))
    message = trial_message(trial(true(names.SUCCEEDED), observation=observation, strategy=strategy))
    assert [(metric.name, metric.value) for metric in message.status.observation.metrics] == [
        ("loss", value),
        ("time", "7"),
    ]


def test_a_trial_comes_back_with_what_was_sent_of_it() -> None:
    observation = Observation((Metric("loss", "0.1", "0.1", "0.1"), Metric("time", "7", "7", "7")))
    sent = trial(true(names.SUCCEEDED), observation=observation)
    found = trial_from(messages.Trial.FromString(trial_message(sent).SerializeToString()))
    assert found.spec.objective is not None
    strategies = tuple(MetricStrategy(name, names.LATEST) for name in ("loss", "time"))
    objective = msgspec.structs.replace(found.spec.objective, metric_strategies=strategies)
    assert found == msgspec.structs.replace(sent, spec=msgspec.structs.replace(sent.spec, objective=objective))


def test_a_trial_that_katib_has_stopped_is_finished_though_it_has_no_time_of_completion() -> None:
    message = trial_message(trial(true(names.EARLY_STOPPED)))
    assert message.status.completion_time == ""
    assert is_finished(trial_from(message))


@pytest.mark.parametrize(
    ("conditions", "observation", "expected"),
    [
        pytest.param((true(names.METRICS_UNAVAILABLE),), None, False, id="without metrics"),
        pytest.param((true(names.EARLY_STOPPED),), None, False, id="stopped early before any"),
        pytest.param(
            (true(names.EARLY_STOPPED),), Observation((Metric("loss", "1", "1", "1"),)), True, id="stopped early"
        ),
        pytest.param((true(names.FAILED),), None, True, id="failed"),
        pytest.param((), None, True, id="pending"),
    ],
)
def test_trials_without_news_are_not_sent(
    conditions: tuple[Condition, ...], observation: Observation | None, expected: bool
) -> None:
    assert is_sent(trial(*conditions, observation=observation)) is expected


@given(st.lists(st.builds(LogRow, st.datetimes(), texts, texts)))
def test_logs_come_back_as_they_went(rows: list[LogRow]) -> None:
    assert rows_from(messages.ObservationLog.FromString(log_message(rows).SerializeToString())) == rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z", id="seconds"),
        pytest.param("2026-01-31T08:00:00.1Z", "2026-01-31T08:00:00.1Z", id="a tenth"),
        pytest.param("2026-01-31T08:00:00.123456789Z", "2026-01-31T08:00:00.123456Z", id="nanoseconds"),
        pytest.param("2026-01-31T13:30:00.5+05:30", "2026-01-31T08:00:00.5Z", id="another zone"),
        pytest.param("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", id="no time"),
    ],
)
def test_times_are_read_and_written_as_katib_does(text: str, expected: str) -> None:
    assert text_of(moment_from(text, path="start_time")) == expected
    [row] = rows_from(messages.ObservationLog(metric_logs=[messages.MetricLog(time_stamp=text)]))
    assert text_of(row.at) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T08:00:00",
        "20260131T080000Z",
        "2026-02-30T08:00:00Z",
        "1700000000",
        "0001-01-01T00:00:00+05:30",
        "2026-01-31T08:00:00.Z",
        "2026-01-31T08:00:00.5+05:30Z",
        "2026-01-31T08:00:00.5ZZ",
        "2026-W05-6T08:00:00Z",
    ],
)
def test_what_is_no_time_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidInput, match="start_time: must be a time of RFC 3339"):
        moment_from(text, path="start_time")
    log = messages.ObservationLog(metric_logs=[messages.MetricLog(time_stamp=text)])
    with pytest.raises(InvalidInput, match=r"metric_logs\[0\].time_stamp: must be a time of RFC 3339"):
        rows_from(log)


def test_an_entry_without_a_time_is_left_out_as_in_katib() -> None:
    log = log_message([LogRow(datetime(2026, 1, 31), "loss", "1")])
    log.metric_logs.add(metric=messages.Metric(name="loss", value="2"))
    assert [row.value for row in rows_from(log)] == ["1"]
