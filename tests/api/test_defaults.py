"""Katib's defaults, said once and for all."""

from typing import Any

import pytest
from experiment_samples import DELETE, FROM_CONFIG_MAP, GOOD, edited
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.defaults import default_experiment
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.manifest import Document, decode_object
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import (
    CollectorSpec,
    FileSystemPath,
    HTTPGet,
    MetricsCollectorSpec,
    MetricStrategy,
    ObjectiveSpec,
    SourceSpec,
)

COMPLETE = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
SUCCEEDED = 'status.conditions.#(type=="Succeeded")#|#(status=="True")#'
FAILED = 'status.conditions.#(type=="Failed")#|#(status=="True")#'
MASTER = {"training.kubeflow.org/job-role": "master"}
TEMPLATE = "spec.trialTemplate"


def defaulted(**changes: Any) -> ExperimentSpec:
    value = decode_object(Document(edited(GOOD, changes)))
    assert isinstance(value, Experiment)
    return default_experiment(value).spec


def test_three_trials_run_side_by_side() -> None:
    assert defaulted(**{"spec.parallelTrialCount": DELETE}).parallel_trial_count == 3


def test_what_is_said_stays() -> None:
    spec = defaulted(**{"spec.resumePolicy": "LongRunning"})

    assert (spec.parallel_trial_count, spec.resume_policy) == (2, "LongRunning")


def test_counts_without_default_stay_open() -> None:
    spec = defaulted(**{"spec.maxTrialCount": DELETE, "spec.maxFailedTrialCount": DELETE})

    assert (spec.max_trial_count, spec.max_failed_trial_count) == (None, None)


@pytest.mark.parametrize(
    ("direction", "value"), [("minimize", "min"), ("maximize", "max"), ("other", "latest")], ids=lambda text: text
)
def test_metrics_without_a_strategy_follow_the_direction(direction: str, value: str) -> None:
    stated = {
        "spec.objective.type": direction,
        "spec.objective.metricStrategies": [{"name": "loss", "value": "latest"}],
    }
    objective = defaulted(**stated).objective

    assert objective is not None
    assert objective.metric_strategies == (MetricStrategy("loss", "latest"), MetricStrategy("accuracy", value))


@pytest.mark.parametrize(
    ("kind", "success", "failure", "labels"),
    [
        ("Job", COMPLETE, FAILED, {}),
        ("TFJob", SUCCEEDED, FAILED, MASTER),
        ("PyTorchJob", SUCCEEDED, FAILED, MASTER),
        ("XGBoostJob", SUCCEEDED, FAILED, MASTER),
        ("MPIJob", SUCCEEDED, FAILED, MASTER),
        (
            "TrainJob",
            COMPLETE,
            FAILED,
            {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"},
        ),
        ("CallableJob", COMPLETE, FAILED, {}),
        ("Workflow", "", "", {}),
    ],
)
def test_a_kind_brings_its_conditions_and_labels(kind: str, success: str, failure: str, labels: dict[str, str]) -> None:
    template = defaulted(**{f"{TEMPLATE}.trialSpec.kind": kind}).trial_template

    assert template is not None
    assert (template.success_condition, template.failure_condition) == (success, failure)
    assert template.primary_pod_labels == labels


def test_each_condition_is_filled_in_by_itself() -> None:
    template = defaulted(**{f"{TEMPLATE}.successCondition": "status.done"}).trial_template

    assert template is not None
    assert (template.success_condition, template.failure_condition) == ("status.done", FAILED)


def test_templates_of_config_maps_get_no_conditions() -> None:
    changes = {**FROM_CONFIG_MAP, f"{TEMPLATE}.successCondition": "", f"{TEMPLATE}.failureCondition": ""}
    template = defaulted(**changes).trial_template

    assert template is not None
    assert (template.success_condition, template.failure_condition) == ("", "")


@pytest.mark.parametrize(
    ("stated", "collector", "source"),
    [
        (None, "StdOut", None),
        ({"source": {"filter": {"metricsFormat": ["x"]}}}, "StdOut", {"filter": {"metricsFormat": ["x"]}}),
        (
            {"collector": {"kind": "File"}},
            "File",
            {"fileSystemPath": {"path": "/var/log/katib/metrics.log", "kind": "File", "format": "TEXT"}},
        ),
        (
            {"collector": {"kind": "File"}, "source": {"fileSystemPath": {"path": "/x", "format": "JSON"}}},
            "File",
            {"fileSystemPath": {"path": "/x", "kind": "File", "format": "JSON"}},
        ),
        (
            {"collector": {"kind": "TensorFlowEvent"}},
            "TensorFlowEvent",
            {"fileSystemPath": {"path": "/var/log/katib/tfevent/", "kind": "Directory"}},
        ),
        (
            {"collector": {"kind": "PrometheusMetric"}, "source": {"httpGet": {"port": 0}}},
            "PrometheusMetric",
            {"httpGet": {"path": "/metrics", "port": 8080}},
        ),
        ({"collector": {"kind": "Push"}}, "Push", None),
    ],
    ids=["nothing", "filter", "file", "json file", "events", "scrape", "push"],
)
def test_collectors_know_where_to_look(stated: Any, collector: str, source: Any) -> None:
    spec = defaulted(**{"spec.metricsCollectorSpec": stated}).metrics_collector_spec
    wanted = defaulted(**{"spec.metricsCollectorSpec": {"collector": {"kind": "Custom"}, "source": source}})

    assert spec is not None
    assert wanted.metrics_collector_spec is not None
    assert spec.kind == collector
    assert spec.source == wanted.metrics_collector_spec.source


def test_every_parameter_is_uniform_unless_it_says_otherwise() -> None:
    spec = defaulted(**{"spec.parameters[0].feasibleSpace.distribution": "normal"})

    assert [parameter.feasible_space.distribution for parameter in spec.parameters] == ["normal", *["uniform"] * 3]


def test_parameters_of_architecture_search_get_no_distribution() -> None:
    operation = {"operationType": "a", "parameters": [{"name": "b", "parameterType": "int"}]}
    spec = defaulted(**{"spec.nasConfig": {"operations": [operation]}})

    assert spec.nas_config is not None
    assert spec.nas_config.operations[0].parameters[0].feasible_space.distribution == ""


COLLECTORS = st.sampled_from(["", "StdOut", "File", "TensorFlowEvent", "PrometheusMetric", "None"])
SPACES = st.builds(FeasibleSpace, distribution=st.sampled_from(["", "normal"]))
WORDS = st.sampled_from(["", "a", "b", "minimize", "maximize"])
EXPERIMENTS = st.builds(
    Experiment,
    metadata=st.just(ObjectMeta(name="a")),
    spec=st.builds(
        ExperimentSpec,
        parallel_trial_count=st.none() | st.integers(-1, 3),
        resume_policy=st.sampled_from(["", "Never", "x"]),
        parameters=st.lists(
            st.builds(ParameterSpec, name=WORDS, feasible_space=st.builds(FeasibleSpace, distribution=WORDS)),
            max_size=2,
        ).map(tuple),
        objective=st.none()
        | st.builds(
            ObjectiveSpec,
            type=WORDS,
            objective_metric_name=WORDS,
            additional_metric_names=st.lists(WORDS, max_size=3).map(tuple),
            metric_strategies=st.lists(st.builds(MetricStrategy, WORDS, WORDS), max_size=3).map(tuple),
        ),
        metrics_collector_spec=st.none()
        | st.builds(
            MetricsCollectorSpec,
            collector=st.none()
            | st.builds(
                CollectorSpec,
                kind=st.sampled_from(["", "StdOut", "File", "TensorFlowEvent", "PrometheusMetric", "None"]),
            ),
            source=st.none()
            | st.builds(
                SourceSpec,
                http_get=st.none() | st.builds(HTTPGet, port=st.sampled_from([None, 0, "0", "", 80, "web"])),
                file_system_path=st.none() | st.builds(FileSystemPath, path=WORDS, kind=WORDS, format=WORDS),
            ),
        ),
    ),
)


@given(EXPERIMENTS)
def test_defaulting_twice_is_defaulting_once(experiment: Experiment) -> None:
    once = default_experiment(experiment)

    assert default_experiment(once) == once
