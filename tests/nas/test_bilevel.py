"""DARTS's step: gradients in both orders, and that weights and architecture each see their own half of the images."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the search needs the extra nas")

from torch.nn import functional  # noqa: E402

from pykatib.nas import bilevel  # noqa: E402
from pykatib.nas.bilevel import Bilevel, Order, SearchRates, Some, still_statistics  # noqa: E402
from pykatib.nas.cells import Outline, Supernet  # noqa: E402
from pykatib.nas.devices import Devices  # noqa: E402
from pykatib.nas.training import DivergedError  # noqa: E402

PRIMITIVES = ("separable_convolution_3x3", "avg_pooling_3x3", "skip_connection", "none")
CPU = Devices(torch.device("cpu"), 0, mixed_precision=False)
OUTLINE = Outline(layers=2, image_channels=1, classes=3, init_channels=2, nodes=2)


def supernet(seed: int = 0) -> Supernet:
    torch.manual_seed(seed)
    return Supernet(OUTLINE, PRIMITIVES).double()


def batch(seed: int, *, count: int = 6) -> Some:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((count, 1, 8, 8), generator=generator, dtype=torch.float64)
    return images, torch.randint(0, 3, (count,), generator=generator)


def search(order: Order, *, network: Supernet | None = None, **rates: float) -> Bilevel:
    return Bilevel(network or supernet(), CPU, SearchRates(**rates), order=order, epochs=10)


def state(parameters: list[Any]) -> list[Any]:
    return [one.detach().clone() for one in parameters]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def exact_gradients(network: Supernet, training: Some, validation: Some, *, rate: float, decay: float) -> list[Any]:
    """Of the validation loss at the weights one step ahead, by the architecture, through that step."""
    weights = dict(network.named_parameters())
    names = [name for name in weights if not name.startswith("alphas_")]

    def loss(values: dict[str, Any], some: Some) -> Any:
        return functional.cross_entropy(torch.func.functional_call(network, values, (some[0],)), some[1])

    slopes = torch.autograd.grad(loss(weights, training), [weights[name] for name in names], create_graph=True)
    ahead = dict(weights)
    for name, slope in zip(names, slopes, strict=True):
        ahead[name] = weights[name] - rate * (slope + decay * weights[name])
    return list(torch.autograd.grad(loss(ahead, validation), network.alphas()))


def found_gradients(order: Order, network: Supernet, training: Some, validation: Some, **rates: float) -> list[Any]:
    found = search(order, network=network, **rates)
    taken: list[Any] = []
    found.alpha_optimizer.register_step_pre_hook(
        lambda *_: taken.extend(alpha.grad.detach().clone() for alpha in network.alphas())
    )
    found.step(training, validation, "")
    return taken


def test_the_second_orders_gradient_is_that_through_the_step_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where there are no kinks, a difference is as good as a derivative.
    monkeypatch.setattr(functional, "relu", lambda maps, **_: functional.softplus(maps))
    training, validation = batch(1), batch(2)
    with still_statistics(network := supernet()):
        exact = exact_gradients(network, training, validation, rate=0.5, decay=0.01)
        plain = exact_gradients(network, training, validation, rate=0.0, decay=0.01)
    rates = {"w_lr": 0.5, "w_weight_decay": 0.01}
    second = found_gradients("second", supernet(), training, validation, **rates)
    first = found_gradients("first", supernet(), training, validation, **rates)
    for one, other in zip(first, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    distance = sum(float((one - other).norm()) for one, other in zip(second, exact, strict=True))
    correction = sum(float((one - other).norm()) for one, other in zip(plain, exact, strict=True))
    assert distance < 0.02 * correction


@pytest.mark.parametrize("order", ["first", "second"])
def test_the_architectures_step_leaves_weights_and_statistics_as_they_are(order: Order) -> None:
    network = supernet()
    found = search(order, network=network, w_lr=0.0)
    found.step(batch(1), batch(2), "")
    after_one = state(network.weights())
    fresh = supernet()
    assert same(after_one, state(fresh.weights()))
    statistics = {name: one.clone() for name, one in network.named_buffers()}
    fresh(batch(1)[0])  # what the weights' own step looks at, and nothing else
    for name, one in fresh.named_buffers():
        torch.testing.assert_close(statistics[name], one, rtol=0.2, atol=0.05)
        if name.endswith("num_batches_tracked"):
            assert int(statistics[name]) == int(one) == 1


@pytest.mark.parametrize("order", ["first", "second"])
def test_weights_never_see_the_images_of_the_architecture(order: Order) -> None:
    """With an architecture that stands still, other validation images lead to the very same weights and statistics."""
    ends = []
    for seed in (100, 200):
        network = supernet()
        found = search(order, network=network, alpha_lr=0.0)
        for step in range(3):
            found.step(batch(step), batch(seed + step), "")
        ends.append([*state(network.weights()), *(one.clone() for one in network.buffers())])
    assert same(*ends)


def test_in_first_order_the_architecture_sees_nothing_but_its_own_images() -> None:
    """With weights that stand still, other training images lead to the very same architecture."""
    ends = []
    for seed in (100, 200):
        network = supernet()
        found = search("first", network=network, w_lr=0.0, w_lr_min=0.0)
        for step in range(3):
            found.step(batch(seed + step), batch(step), "")
        ends.append(state(network.alphas()))
    assert same(*ends)


@pytest.mark.parametrize("order", ["first", "second"])
def test_the_architecture_moves_away_from_where_all_weigh_the_same(order: Order) -> None:
    network = supernet()
    found = search(order, network=network, alpha_lr=0.05, alpha_weight_decay=0.0)
    before = network.entropy()
    for step in range(25):
        found.step(batch(1), batch(2 + step % 2), "")
    assert before > 0.9999
    assert network.entropy() < before - 0.01


def test_both_losses_fall() -> None:
    network = supernet()
    found = search("second", network=network, alpha_lr=0.01)
    losses = [found.step(batch(1), batch(1), "")[1] for _ in range(25)]
    assert losses[-1] < 0.7 * losses[0]


def test_gradients_of_the_weights_are_cut_at_a_norm_and_not_where_it_is_zero() -> None:
    moved = {}
    for clip in (0.0, 1e-3):
        network = supernet()
        before = state(network.weights())
        search("first", network=network, w_grad_clip=clip, w_weight_decay=0.0, w_momentum=0.0).step(
            batch(1), batch(2), ""
        )
        after = state(network.weights())
        moved[clip] = float(torch.cat([(a - b).ravel() for a, b in zip(after, before, strict=True)]).norm())
    assert moved[1e-3] == pytest.approx(0.025 * 1e-3, rel=0.01)
    assert moved[0.0] > 10 * moved[1e-3]


@pytest.mark.parametrize("order", ["first", "second"])
def test_a_loss_that_is_no_number_ends_the_search_with_its_place(order: Order) -> None:
    network = supernet()
    with torch.no_grad():
        network.classifier.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"the loss is nan in epoch 3, step 2 of 9"):
        search(order, network=network).step(batch(1), batch(2), "in epoch 3, step 2 of 9")


def test_a_second_order_step_costs_five_passes_and_a_first_order_step_two() -> None:
    passes = {}
    for order in ("first", "second"):
        network = supernet()
        count = [0]
        network.register_forward_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        search(order, network=network).step(batch(1), batch(2), "")
        passes[order] = count[0]
    assert passes == {"first": 2, "second": 5}
    assert bilevel.DIFFERENCE == 0.01
