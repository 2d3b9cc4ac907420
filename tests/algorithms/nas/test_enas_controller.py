"""ENAS's controller: its hand-written gradient against torch's and against differences, its learning, its state."""

import numpy as np
import pytest

from pykatib.algorithms.nas import reinforce
from pykatib.algorithms.nas.controller import Batch, Controller, ControllerShape, Floats
from pykatib.algorithms.nas.reinforce import Learner, LearningSettings
from pykatib.algorithms.randomness import generator, key_of

TARGET, WEIGHT = 0.4, 0.8


def scene(
    layers: int, *, operations: int = 5, wide: float = 50.0, **shape: object
) -> tuple[ControllerShape, Floats, Batch]:
    """A controller with weights large enough to matter, in double precision, and three architectures."""
    made = ControllerShape(layers=layers, operations=operations, hidden_size=7, **shape)  # type: ignore[arg-type]
    random = np.random.default_rng(layers)
    weights = made.initial(random).astype(np.float64) * wide
    return made, weights, Controller(made, weights).sample(random.random((3, layers + layers * layers)))


def loss_of(shape: ControllerShape, weights: Floats, batch: Batch, advantage: Floats) -> float:
    judgement = Controller(shape, weights).judge(batch, skip_target=TARGET)
    return float(np.mean(judgement.surprise * advantage + WEIGHT * judgement.skip_penalty))


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({}, id="as in Katib"),
        pytest.param({"temperature": None}, id="no temperature"),
        pytest.param({"tanh_const": None}, id="no tanh"),
        pytest.param({"skip_connections": False}, id="no skip connections"),
    ],
)
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_gradient_is_the_slope_of_the_loss(layers: int, shape: dict[str, object]) -> None:
    made, weights, batch = scene(layers, **shape)
    advantage = np.array([0.5, -1.5, 0.25])
    found = Controller(made, weights).gradient(batch, advantage, skip_target=TARGET, skip_weight=WEIGHT)

    random = np.random.default_rng(0)
    for direction in random.normal(size=(8, len(weights))):
        step = 1e-6 * direction
        rise = loss_of(made, weights + step, batch, advantage) - loss_of(made, weights - step, batch, advantage)
        assert rise / 2e-6 == pytest.approx(float(found @ direction), rel=1e-5, abs=1e-8)


def test_loss_and_gradient_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="the peer that the gradient is held against is torch")
    made, weights, batch = scene(4)
    advantage = np.array([0.5, -1.5, 0.25])
    theirs = torch.tensor(weights, requires_grad=True)
    named, begin = {}, 0
    for name, size in made.sizes.items():
        end = begin + int(np.prod(size))
        named[name], begin = theirs[begin:end].reshape(size), end

    def squeezed(scores: object) -> object:
        return 2.25 * torch.tanh(scores / 5.0)

    losses = []
    for operations, bits, weight in zip(batch.operations.tolist(), batch.bits.tolist(), advantage, strict=True):
        hidden, cell = torch.zeros(7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
        remembered = [named["start"]]
        given = named["start"]
        surprise, penalties = torch.zeros(()), []

        def step(given: object, hidden: object, cell: object) -> tuple[object, object]:
            i, f, o, g = (torch.cat([given, hidden]) @ named["lstm"]).split(7)
            cell = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f) * cell
            return torch.sigmoid(o) * torch.tanh(cell), cell

        for layer in range(4):
            hidden, cell = step(given, hidden, cell)
            surprise = surprise - torch.log_softmax(squeezed(hidden @ named["choice"]), 0)[operations[layer]]
            hidden, cell = step(named["embedding"][operations[layer]], hidden, cell)
            if layer > 0:
                keys = torch.stack(remembered[:layer]) @ named["key"]
                score = squeezed(torch.tanh(hidden @ named["query"] + keys) @ named["score"])
                logits = torch.stack([-score, score], dim=1)
                chosen = torch.tensor(bits[layer][:layer])
                surprise = surprise + torch.nn.functional.cross_entropy(logits, chosen.long(), reduction="sum")
                chances = torch.softmax(logits, dim=1)
                target = torch.tensor([1 - TARGET, TARGET], dtype=torch.float64)
                penalties.append((chances * (chances / target).log()).sum())
                taken = (chosen[:, None] * torch.stack(remembered[:layer])).sum(dim=0)
                given = taken / (1 + chosen.sum())
            remembered.append(hidden)
        losses.append(surprise * weight + WEIGHT * torch.stack(penalties).mean())
    loss = torch.stack(losses).mean()
    loss.backward()

    assert loss_of(made, weights, batch, advantage) == pytest.approx(loss.item(), rel=1e-6)
    found = Controller(made, weights).gradient(batch, advantage, skip_target=TARGET, skip_weight=WEIGHT)
    np.testing.assert_allclose(found, theirs.grad.numpy(), rtol=1e-6, atol=1e-9)


def test_adam_steps_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="the peer that the optimiser is held against is torch")
    shape = ControllerShape(layers=3, operations=4, hidden_size=8)
    settings = LearningSettings(learning_rate=0.01, train_steps=5)
    learner = Learner.start(shape, settings, seed=3)
    batch = learner.controller.sample(learner.units(0, 2))
    rewards = [0.25, 0.75]
    after = learner.learn(batch, rewards)

    entropy = learner.controller.judge(batch, skip_target=TARGET).entropy
    scaled = np.array(rewards) + 1e-5 * entropy
    advantage = scaled - (0.999 * scaled[0] + scaled[1]) / 1.999
    theirs = torch.tensor(learner.weights, requires_grad=True)
    optimizer = torch.optim.Adam([theirs], lr=0.01)
    for _ in range(5):
        controller = Controller(shape, theirs.detach().numpy())
        theirs.grad = torch.tensor(controller.gradient(batch, advantage, skip_target=TARGET, skip_weight=WEIGHT))
        optimizer.step()
    np.testing.assert_allclose(after.weights, theirs.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_samples_come_as_often_as_they_are_likely() -> None:
    made, weights, _ = scene(2, operations=3, wide=200.0)
    controller = Controller(made, weights)
    count = 20_000
    batch = controller.sample(np.random.default_rng(1).random((count, 4)))
    rows = {}
    for operations, bits in zip(batch.operations.tolist(), batch.bits.tolist(), strict=True):
        row = (tuple(operations), int(bits[1][0]))
        rows[row] = rows.get(row, 0) + 1
    assert len(rows) == 3 * 3 * 2
    likely = Batch.of([(operations, ((), (bit,))) for operations, bit in rows])
    chances = np.exp(-controller.judge(likely, skip_target=TARGET).surprise)
    assert chances.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.array(list(rows.values())) / count, chances, atol=0.012)


def learn_by(seed: int, *, right: int, trials: int, settings: LearningSettings) -> Learner:
    """What a learner comes to where the reward is the share of layers that have the right operation."""
    learner = Learner.start(ControllerShape(layers=4, operations=6), settings, seed=seed)
    for index in range(trials):
        batch = learner.controller.sample(learner.units(index, 1))
        learner = learner.learn(batch, [float((batch.operations == right).mean())])
    return learner


def test_it_comes_to_prefer_what_earned_more() -> None:
    settings = LearningSettings(learning_rate=0.005, train_steps=5, skip_weight=None)
    for seed in range(3):
        learner = learn_by(seed, right=4, trials=120, settings=settings)
        sampled = learner.controller.sample(learner.units(1000, 200))
        assert (sampled.operations == 4).mean() > 0.5  # it began with a sixth


def test_the_skip_penalty_draws_towards_the_wanted_share() -> None:
    for target in (0.1, 0.7):
        settings = LearningSettings(learning_rate=0.005, train_steps=10, skip_target=target)
        learner = Learner.start(ControllerShape(layers=4, operations=3), settings, seed=1)
        for index in range(40):
            learner = learner.learn(learner.controller.sample(learner.units(index, 1)), [0.5])
        share = learner.controller.sample(learner.units(1000, 500)).bits.sum() / (500 * 6)
        assert share == pytest.approx(target, abs=0.06)


def test_a_first_result_has_nothing_to_be_compared_with_and_changes_nothing() -> None:
    settings = LearningSettings(learning_rate=0.1, skip_weight=None)
    learner = Learner.start(ControllerShape(layers=3, operations=4), settings, seed=1)
    after = learner.learn(learner.controller.sample(learner.units(0, 1)), [0.9])
    np.testing.assert_array_equal(after.weights, learner.weights)


def test_gradients_that_are_used_again_lead_to_nearly_the_same_chances(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LearningSettings()
    start = Learner.start(ControllerShape(layers=4, operations=6), settings, seed=1)
    batches = [start.controller.sample(start.units(index, 1)) for index in range(8)]

    def surprise() -> Floats:
        learner = start
        for batch in batches:
            learner = learner.learn(batch, [float((batch.operations == 2).mean())])
        return learner.controller.judge(many, skip_target=TARGET).surprise

    many = start.controller.sample(start.units(500, 50))
    lazy = surprise()
    assert settings.gradient_steps == 20
    monkeypatch.setattr(reinforce, "STALENESS", 0.0)
    assert settings.gradient_steps == 1
    exact = surprise()
    moved = np.abs(exact - start.controller.judge(many, skip_target=TARGET).surprise).max()
    assert np.abs(lazy - exact).max() < 0.1 * moved


@pytest.mark.parametrize("rewards", [[1e308, -1e308], [1e300, 1e300], [-1e6, 0.5], [0.0, 0.0], [1e-300, 0.0]], ids=str)
def test_rewards_of_any_size_leave_weights_that_are_numbers(rewards: list[float]) -> None:
    learner = Learner.start(ControllerShape(layers=2, operations=3), LearningSettings(learning_rate=0.01), seed=1)
    for index, reward in enumerate(rewards * 3):
        learner = learner.learn(learner.controller.sample(learner.units(index, 1)), [reward])
    assert np.isfinite(learner.weights).all()


def test_percentages_teach_what_shares_do() -> None:
    def surprise(unit: float) -> Floats:
        settings = LearningSettings(learning_rate=0.005, train_steps=5, entropy_weight=None)
        learner = Learner.start(ControllerShape(layers=3, operations=4), settings, seed=2)
        for index in range(20):
            batch = learner.controller.sample(generator(key_of(5, "fixed"), index).random((1, 6)))
            learner = learner.learn(batch, [unit * (1 + 0.1 * float(batch.operations.mean()))])
        batch = Batch.of([((0, 0, 0), ((), (0,), (0, 0))), ((3, 3, 3), ((), (0,), (0, 0)))])
        return learner.controller.judge(batch, skip_target=TARGET).surprise

    ones, hundreds = surprise(1.0), surprise(100.0)
    np.testing.assert_allclose(ones[0] - ones[1], hundreds[0] - hundreds[1], rtol=0.05)


def test_a_dump_is_the_very_learner() -> None:
    shape, settings = ControllerShape(layers=3, operations=4), LearningSettings(learning_rate=0.01)
    learner = Learner.start(shape, settings, seed=9)
    for index in range(5):
        learner = learner.learn(learner.controller.sample(learner.units(index, 1)), [0.1 * index])

    loaded = Learner.load(learner.dump(), shape, settings)
    assert loaded.dump() == learner.dump()
    batch = loaded.controller.sample(loaded.units(5, 4))
    np.testing.assert_array_equal(batch.operations, learner.controller.sample(learner.units(5, 4)).operations)
    further = [one.learn(batch, [0.1, 0.2, 0.3, 0.9]) for one in (learner, loaded)]
    assert further[0].dump() == further[1].dump() != learner.dump()


@pytest.mark.parametrize("data", [b"", b"\x80", b"text"], ids=["empty", "of nothing", "foreign"])
def test_what_is_no_dump_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="no dump of a controller"):
        Learner.load(data, ControllerShape(layers=3, operations=4), LearningSettings())


def test_a_dump_for_another_space_is_refused() -> None:
    dump = Learner.start(ControllerShape(layers=3, operations=4), LearningSettings(), seed=1).dump()
    with pytest.raises(ValueError, match="another search space"):
        Learner.load(dump, ControllerShape(layers=4, operations=4), LearningSettings())
