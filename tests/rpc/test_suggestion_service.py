"""`katib serve suggestion` over a real channel: what Katib's own service tests assert, and that nothing is kept."""

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from db_manager_support import Process, free_port
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import Condition, ObjectMeta
from pykatib.api.shared import AlgorithmSpec, Metric, MetricStrategy, ObjectiveSpec, Observation, Setting
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.suggestion_plan import Answer, Proposed
from pykatib.rpc.services import SUGGESTION_HEALTH, open_channel
from pykatib.rpc.serving import Serving
from pykatib.rpc.suggestion_client import SuggestionClient
from pykatib.rpc.suggestion_service import index_of, suggestion_serving, trial_name

OBJECTIVE = ObjectiveSpec(
    names.MINIMIZE, None, "loss", ("accuracy",), (MetricStrategy("loss", "min"), MetricStrategy("accuracy", "max"))
)
MIXED = (
    ParameterSpec("lr", names.DOUBLE, FeasibleSpace(min="0.001", max="0.1", distribution=names.LOG_UNIFORM)),
    ParameterSpec("momentum", names.DOUBLE, FeasibleSpace(min="0.1", max="0.9", step="0.1")),
    ParameterSpec("layers", names.INT, FeasibleSpace(min="1", max="8")),
    ParameterSpec("batch", names.DISCRETE, FeasibleSpace(values=("16", "32", "64"))),
    ParameterSpec("optimizer", names.CATEGORICAL, FeasibleSpace(values=("sgd", "adam"))),
)
SMALL = (ParameterSpec("x", names.INT, FeasibleSpace(min="1", max="5")),)
STEPPED = MIXED[1:]
NEEDED = {
    "hyperband": (Setting("resource_name", "layers"), Setting("r_l", "8")),
    "asha": (Setting("resource_name", "layers"),),
    "bohb": (Setting("resource_name", "layers"),),
    "motpe": (Setting("objectives", "accuracy:maximize"),),
    "nsga2": (Setting("objectives", "accuracy:maximize"),),
    "pbt": (
        Setting("suggestion_trial_dir", "/checkpoints"),
        Setting("n_population", "5"),
        Setting("truncation_threshold", "0.2"),
    ),
}
"""Settings without which an algorithm does nothing."""


def experiment(
    algorithm: str = "random",
    parameters: Sequence[ParameterSpec] = MIXED,
    *settings: Setting,
    name: str = "tune",
) -> Experiment:
    return Experiment(
        metadata=ObjectMeta(name=name),
        spec=ExperimentSpec(
            parameters=tuple(parameters),
            objective=OBJECTIVE,
            algorithm=AlgorithmSpec(algorithm, settings),
            max_trial_count=20,
            parallel_trial_count=2,
        ),
    )


def suggestion(count: int, settings: Sequence[Setting] = ()) -> Suggestion:
    return Suggestion(
        metadata=ObjectMeta(name="tune"),
        spec=SuggestionSpec(),
        status=SuggestionStatus(suggestion_count=count, algorithm_settings=tuple(settings)),
    )


def trial(proposal: Proposed, state: str = names.SUCCEEDED, loss: str | None = "0.5") -> Trial:
    observation = None if loss is None else Observation((Metric("loss", loss, loss, loss),))
    return Trial(
        metadata=ObjectMeta(name=proposal.name, labels=proposal.labels or {}),
        spec=TrialSpec(objective=OBJECTIVE, parameter_assignments=proposal.assignments),
        status=TrialStatus(
            start_time="2026-01-31T08:00:00Z", conditions=(Condition(state, names.TRUE),), observation=observation
        ),
    )


def values(proposals: Sequence[Proposed]) -> list[tuple[str, ...]]:
    return [tuple(assignment.value for assignment in proposal.assignments) for proposal in proposals]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    serving = suggestion_serving("127.0.0.1:0")
    serving.start()
    yield f"127.0.0.1:{serving.port}"
    serving.stop(grace_seconds=1)


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[SuggestionClient]:
    client = SuggestionClient(address)
    yield client
    client.close()


ALGORITHMS = [name for name in registry.names() if not registry.info(name).architecture]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_assignment_is_complete_inside_the_space_and_named(client: SuggestionClient, algorithm: str) -> None:
    asked = experiment(algorithm, STEPPED, *NEEDED.get(algorithm, ()))
    client.validate(asked)
    proposals = client.suggest(asked, suggestion(0), [], 2).proposals
    space, _ = registry.create(asked, seed=0)
    assert len(proposals) == len({proposal.name for proposal in proposals}) == 2
    for proposal in proposals:
        assert proposal.name.startswith("tune-")
        assert space.contains(space.parse(proposal.assignments))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_second_request_with_the_first_ones_trials_is_answered(client: SuggestionClient, algorithm: str) -> None:
    asked = experiment(algorithm, STEPPED, *NEEDED.get(algorithm, ()))
    first = client.suggest(asked, suggestion(0), [], 2)
    states = [
        trial(first.proposals[0]),
        trial(first.proposals[1], names.FAILED, None),
    ]
    second = client.suggest(asked, suggestion(2, first.settings), states, 2)
    assert len(second.proposals) == 2
    assert not {proposal.name for proposal in first.proposals} & {proposal.name for proposal in second.proposals}
    assert values(first.proposals) != values(second.proposals)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_process_ended_between_any_two_calls_changes_nothing(algorithm: str) -> None:
    asked = experiment(algorithm, STEPPED, *NEEDED.get(algorithm, ()))

    def life(restart: bool) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        trials: list[Trial] = []
        settings: dict[str, str] = {}
        with _clients(restart) as clients:
            for number in range(6):
                kept = [Setting(name, value) for name, value in settings.items()]
                answer: Answer = next(clients).suggest(asked, suggestion(len(trials), kept), trials, 2)
                settings |= {setting.name: setting.value for setting in answer.settings}
                found += values(answer.proposals)
                for place, proposal in enumerate(answer.proposals):
                    loss = str(0.1 * number + place + len(proposal.assignments[0].value))
                    trials.append(trial(proposal, names.SUCCEEDED, loss))
                trials.reverse()  # Katib lists Trials in any order
        return found

    assert life(restart=True) == life(restart=False)


class _clients:  # noqa: N801 - reads as a function
    """Clients of one server, or of a new one for each."""

    def __init__(self, restart: bool) -> None:
        self._restart = restart
        self._opened: list[tuple[Serving, SuggestionClient]] = []

    def __enter__(self) -> "_clients":
        return self

    def __next__(self) -> SuggestionClient:
        if not self._opened or self._restart:
            serving = suggestion_serving("127.0.0.1:0")
            serving.start()
            self._opened.append((serving, SuggestionClient(f"127.0.0.1:{serving.port}")))
        return self._opened[-1][1]

    def __exit__(self, *_: object) -> None:
        for serving, client in self._opened:
            client.close()
            serving.stop(grace_seconds=1)


@pytest.mark.parametrize("algorithm", ["random", "grid"])
def test_a_space_that_is_used_up_gives_fewer_and_then_none(client: SuggestionClient, algorithm: str) -> None:
    asked = experiment(algorithm, SMALL)
    first = client.suggest(asked, suggestion(0), [], 3)
    trials = [trial(proposal) for proposal in first.proposals]
    second = client.suggest(asked, suggestion(3), trials, 3)
    trials += [trial(proposal) for proposal in second.proposals]
    assert client.suggest(asked, suggestion(5), trials, 1).proposals == ()
    assert sorted(values([*first.proposals, *second.proposals])) == [(str(number),) for number in range(1, 6)]


def test_trials_that_somebody_else_named_count_too(client: SuggestionClient) -> None:
    asked = experiment("grid", SMALL)
    first = client.suggest(asked, suggestion(0), [], 4).proposals
    foreign = [trial(Proposed(one.assignments, name=f"tune-abcd{place}")) for place, one in enumerate(first)]
    assert values(client.suggest(asked, suggestion(4), foreign, 3).proposals) == [("5",)]


def test_trials_that_run_or_have_no_condition_are_taken(client: SuggestionClient) -> None:
    asked = experiment("random", STEPPED)
    first = client.suggest(asked, suggestion(0), [], 3).proposals
    states = [
        trial(first[0], names.RUNNING, None),
        Trial(metadata=ObjectMeta(name=first[1].name), spec=trial(first[1]).spec),
        trial(first[2], names.EARLY_STOPPED),
    ]
    assert len(client.suggest(asked, suggestion(3), states, 2).proposals) == 2


def test_equally_named_experiments_get_names_of_their_own(client: SuggestionClient) -> None:
    given = [client.suggest(experiment(), suggestion(0), [], 5).proposals for _ in range(2)]
    assert values(given[0]) == values(given[1])
    assert not {one.name for one in given[0]} & {one.name for one in given[1]}


def test_an_other_name_or_seed_gives_other_proposals(client: SuggestionClient) -> None:
    asked = [experiment(), experiment(name="other"), experiment("random", MIXED, Setting("random_state", "7"))]
    found = [tuple(values(client.suggest(one, suggestion(0), [], 3).proposals)) for one in asked]
    assert len(set(found)) == 3


@pytest.mark.parametrize("index", [0, 1, 26, 27, 531_440])
def test_the_number_of_a_proposal_is_read_from_its_name(index: int) -> None:
    name = trial_name("my-tune", index)
    assert index_of("my-tune", name) == index
    assert index_of("tune", name) is None
    assert len(name) <= 63


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(experiment("unknown"), "unknown algorithm name unknown", id="algorithm"),
        pytest.param(experiment("random", MIXED, Setting("gamma", "1")), "unknown setting 'gamma'", id="setting"),
        pytest.param(
            experiment("random", MIXED, Setting("random_state", "-1")), "random_state must be a whole number", id="seed"
        ),
        pytest.param(experiment("grid", MIXED), "step", id="grid without steps"),
        pytest.param(
            experiment("random", [ParameterSpec("x", names.INT, FeasibleSpace(min="5", max="1"))]),
            r"spec\.parameters\[0\]",
            id="space",
        ),
        pytest.param(experiment("random", []), "spec.parameters", id="no parameters"),
    ],
)
def test_a_wrong_experiment_is_refused_with_the_reason(
    client: SuggestionClient, asked: Experiment, expected: str
) -> None:
    with pytest.raises(InvalidInput, match=expected) as refused:
        client.validate(asked)
    assert "ValidateAlgorithmSettings Error" in str(refused.value)
    with pytest.raises(InvalidInput, match=expected):
        client.suggest(asked, suggestion(0), [], 1)


def test_other_algorithms_than_the_named_ones_are_refused() -> None:
    serving = suggestion_serving("127.0.0.1:0", ["grid"])
    serving.start()
    client = SuggestionClient(f"127.0.0.1:{serving.port}")
    client.validate(experiment("grid", STEPPED))
    with pytest.raises(InvalidInput, match="unknown algorithm name random; there are grid"):
        client.validate(experiment("random"))
    client.close()
    serving.stop(grace_seconds=1)
    with pytest.raises(InvalidInput, match="unknown algorithm 'gird'"):
        suggestion_serving("127.0.0.1:0", ["gird"])


def test_health_is_served_under_the_name_that_katibs_probes_ask(address: str) -> None:
    with open_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        reply = check(health_pb2.HealthCheckRequest(service=SUGGESTION_HEALTH), timeout=30)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            check(health_pb2.HealthCheckRequest(service="api.v1.beta1.Suggestion"), timeout=30)


def test_the_process_answers_katibs_probe_and_ends_at_sigterm(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["serve", "suggestion", "--algorithm", "random", "--port", str(port)]
    with Process(arguments, port, {}, tmp_path / "log") as process:
        process.wait_until_serving(SUGGESTION_HEALTH)
        client = SuggestionClient(process.address)
        assert len(client.suggest(experiment(), suggestion(0), [], 3).proposals) == 3
        client.close()
        assert process.end(signal.SIGTERM) == 0
