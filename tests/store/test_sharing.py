from msgspec import Raw
from msgspec.structs import replace

from pykatib.api import wire
from pykatib.api.experiment import Experiment, ExperimentSpec, GraphConfig, NasConfig
from pykatib.api.meta import Condition, ObjectMeta, OwnerReference
from pykatib.api.shared import CollectorSpec, MetricsCollectorSpec, ObjectiveSpec
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.store.sharing import Pool


def decoded(name: str) -> Trial:
    """A Trial that shares nothing with another."""
    made = Trial(
        metadata=ObjectMeta(
            name,
            namespace="default",
            labels={"experiment": "e"},
            owner_references=(OwnerReference("kubeflow.org/v1beta1", "Experiment", "e", "uid-1"),),
        ),
        spec=TrialSpec(
            objective=ObjectiveSpec("minimize", 0.1, "loss"),
            run_spec=Raw(b'{"kind":"Job"}'),
            metrics_collector=MetricsCollectorSpec(collector=CollectorSpec("StdOut", Raw(b'{"image":"x"}'))),
        ),
        status=TrialStatus(conditions=(Condition("Created", "True", "TrialCreated"),)),
    )
    return wire.decode(wire.encode(made), Trial)


def test_what_is_shared_equals_what_was_given() -> None:
    pool = Pool()
    for name in ("a", "b", "a"):
        assert pool.share(decoded(name)) == decoded(name)


def test_equal_parts_are_kept_once() -> None:
    pool = Pool()
    one, other = pool.share(decoded("a")), pool.share(decoded("b"))
    assert one.metadata.namespace is other.metadata.namespace
    assert one.metadata.labels is other.metadata.labels
    assert one.metadata.owner_references is other.metadata.owner_references
    assert one.spec.objective is other.spec.objective
    assert one.status is other.status
    assert one.kind is other.kind


def test_numbers_that_are_equal_across_types_stay_what_they_are() -> None:
    def experiment(goal: float, sizes: tuple[int, ...]) -> Experiment:
        spec = ExperimentSpec(
            objective=ObjectiveSpec("minimize", goal, "loss"),
            nas_config=NasConfig(GraphConfig(1, sizes, sizes)),
            suspend=True,
            max_trial_count=1,
        )
        return Experiment(metadata=ObjectMeta("e"), spec=spec)

    pool = Pool()
    pool.share(experiment(1.0, (1, 0)))
    shared = pool.share(replace(experiment(0.0, (1,)), metadata=ObjectMeta("e", labels={"a": ""})))
    assert type(shared.spec.objective.goal) is float
    assert type(shared.spec.max_trial_count) is int
    assert shared.spec.suspend is True
    assert shared.spec.nas_config.graph_config.input_sizes == (1,)
