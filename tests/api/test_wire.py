"""Objects survive their JSON, in Katib's spelling."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api import names
from pykatib.api.experiment import (
    ConfigMapSource,
    Experiment,
    ExperimentSpec,
    ExperimentStatus,
    FeasibleSpace,
    OptimalTrial,
    ParameterSpec,
    RetryPolicy,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import Condition, ObjectMeta, OwnerReference
from pykatib.api.objects import ConfigMap, Secret, WorkerJob
from pykatib.api.sequences import AppendLog
from pykatib.api.shared import (
    AlgorithmSpec,
    EarlyStoppingRule,
    Metric,
    MetricStrategy,
    ObjectiveSpec,
    Observation,
    ParameterAssignment,
    Setting,
)
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.api.wire import decode, encode, type_of

TEXT = st.text(max_size=8)
LABELS = st.dictionaries(TEXT, TEXT, max_size=2)
ASSIGNMENTS = st.lists(st.builds(ParameterAssignment, TEXT, TEXT), max_size=3).map(tuple)
METAS = st.builds(
    ObjectMeta,
    name=TEXT,
    namespace=TEXT,
    uid=TEXT,
    resource_version=TEXT,
    generation=st.integers(0, 9),
    labels=LABELS,
    annotations=LABELS,
    owner_references=st.lists(
        st.builds(OwnerReference, TEXT, TEXT, TEXT, TEXT, st.booleans(), st.booleans()), max_size=2
    ).map(tuple),
    finalizers=st.lists(TEXT, max_size=2).map(tuple),
)
CONDITIONS = st.lists(st.builds(Condition, TEXT, TEXT, TEXT, TEXT, st.none() | TEXT), max_size=2).map(tuple)
OBSERVATIONS = st.builds(Observation, st.lists(st.builds(Metric, TEXT, TEXT, TEXT, TEXT), max_size=2).map(tuple))
OBJECTIVES = st.builds(
    ObjectiveSpec,
    TEXT,
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(st.builds(MetricStrategy, TEXT, TEXT), max_size=2).map(tuple),
)
ALGORITHMS = st.builds(AlgorithmSpec, TEXT, st.lists(st.builds(Setting, TEXT, TEXT), max_size=2).map(tuple))
LOGS = st.lists(TEXT, max_size=3).map(AppendLog)
RAW = st.sampled_from([b'{"a":1}', b'{"a":{"b":["\\u00e9",null]}}']).map(msgspec.Raw)
EXPERIMENTS = st.builds(
    Experiment,
    metadata=METAS,
    spec=st.builds(
        ExperimentSpec,
        parameters=st.lists(
            st.builds(
                ParameterSpec, TEXT, TEXT, st.builds(FeasibleSpace, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple))
            ),
            max_size=2,
        ).map(tuple),
        objective=st.none() | OBJECTIVES,
        algorithm=st.none() | ALGORITHMS,
        trial_template=st.none()
        | st.builds(
            TrialTemplate,
            retain=st.booleans(),
            config_map=st.builds(ConfigMapSource, TEXT, TEXT, TEXT),
            trial_parameters=st.none() | st.just((TrialParameterSpec("n", "d", "r"),)),
            primary_pod_labels=LABELS,
            retries=st.none() | st.builds(RetryPolicy, st.integers(0, 3), st.none(), st.none() | st.integers(0, 3)),
        ),
        max_trial_count=st.none() | st.integers(1, 9),
        suspend=st.booleans(),
    ),
    status=st.builds(
        ExperimentStatus,
        conditions=CONDITIONS,
        current_optimal_trial=st.builds(OptimalTrial, TEXT, ASSIGNMENTS, OBSERVATIONS),
        running_trial_list=st.lists(TEXT, max_size=2).map(tuple),
        failed_trial_list=LOGS,
        succeeded_trial_list=LOGS,
        trials=st.integers(0, 9),
        active_seconds=st.floats(0, 1e9),
        active_since=st.none() | st.floats(0, 1e9),
    ),
)
SUGGESTIONS = st.builds(
    Suggestion,
    metadata=METAS,
    spec=st.builds(SuggestionSpec, st.none() | ALGORITHMS, st.none(), st.integers(0, 9), TEXT),
    status=st.builds(
        SuggestionStatus,
        suggestion_count=st.integers(0, 9),
        suggestions=st.lists(st.builds(TrialAssignment, TEXT, ASSIGNMENTS, labels=st.none() | LABELS), max_size=3).map(
            AppendLog
        ),
        conditions=CONDITIONS,
        exhausted=st.booleans(),
    ),
)
TRIALS = st.builds(
    Trial,
    metadata=METAS,
    spec=st.builds(
        TrialSpec,
        objective=st.none() | OBJECTIVES,
        parameter_assignments=ASSIGNMENTS,
        early_stopping_rules=st.just(()) | st.just((EarlyStoppingRule("loss", "1", "less", 3),)),
        run_spec=RAW,
        stop=TEXT,
    ),
    status=st.builds(
        TrialStatus,
        conditions=CONDITIONS,
        observation=st.none() | OBSERVATIONS,
        retry_counts=st.none() | st.just({"crash": 2}),
    ),
)
OTHERS = (
    st.builds(ConfigMap, metadata=METAS, data=LABELS)
    | st.builds(Secret, metadata=METAS, data=LABELS, string_data=LABELS)
    | st.builds(WorkerJob, api_version=st.just("batch/v1"), kind=st.just("Job"), metadata=METAS, spec=RAW, status=RAW)
)


@given(EXPERIMENTS | SUGGESTIONS | TRIALS | OTHERS)
def test_every_object_survives_its_json(
    obj: Experiment | Suggestion | Trial | ConfigMap | Secret | WorkerJob,
) -> None:
    again = decode(encode(obj), type(obj))
    # Raw members compare by their buffers, so the JSON is what is compared; it holds every member.
    assert encode(again) == encode(obj)
    assert again.reference == obj.reference
    if not isinstance(obj, Trial | WorkerJob | Experiment):
        assert again == obj


def test_members_have_katibs_names_and_empty_ones_are_left_out() -> None:
    experiment = Experiment(
        metadata=ObjectMeta(name="e", namespace="ns"),
        spec=ExperimentSpec(
            parameters=(ParameterSpec("lr", "double", FeasibleSpace(max="1", values=("a",))),), max_trial_count=3
        ),
        status=ExperimentStatus(trial_metrics_unavailable=1, metrics_unavailable_trial_list=AppendLog(["e-0"])),
    )
    assert msgspec.json.decode(encode(experiment)) == {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": "e", "namespace": "ns"},
        "spec": {
            "parameters": [
                {"name": "lr", "parameterType": "double", "feasibleSpace": {"max": "1", "list": ["a"]}},
            ],
            "maxTrialCount": 3,
        },
        "status": {
            "currentOptimalTrial": {"observation": {}},  # always there, as in Katib
            "trialMetricsUnavailable": 1,
            "metricsUnavailableTrialList": ["e-0"],
        },
    }


def test_a_worker_jobs_own_json_is_not_touched() -> None:
    text = b'{"b" : 1.50, "a": [1e3]}'
    job = WorkerJob(api_version="x/v1", kind="Y", metadata=ObjectMeta(name="j"), spec=msgspec.Raw(text))
    assert bytes(decode(encode(job), WorkerJob).spec) == text


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(names.EXPERIMENT, Experiment), (names.TRIAL, Trial), ("PyTorchJob", WorkerJob), ("Job", WorkerJob)],
)
def test_kinds_have_types(kind: str, expected: type) -> None:
    assert type_of(kind) is expected


@pytest.mark.parametrize("data", [b'{"kind":"Trial"}', b"[]", b'{"metadata":{"name":3},"spec":{}}'])
def test_json_of_another_shape_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(data, Trial)


def test_what_has_no_json_is_an_error() -> None:
    with pytest.raises(NotImplementedError):
        encode(object())
