"""Networks: every operation does what its name and parameters say, and gives the shapes that were planned."""

from typing import Any

import pytest
from nas_texts import nn_config

torch = pytest.importorskip("torch", reason="networks need the extra nas")

from pykatib.nas.cells import CellNetwork, MixedOperation, Outline, Supernet  # noqa: E402
from pykatib.nas.chain import ChainNetwork  # noqa: E402
from pykatib.nas.genotype import Genotype  # noqa: E402
from pykatib.nas.layers import chain_operation, edge_operation  # noqa: E402
from pykatib.nas.plans import LayerPlan, read_plan  # noqa: E402

PRIMITIVES = (
    "separable_convolution_3x3",
    "dilated_convolution_5x5",
    "convolution_3x3",
    "avg_pooling_3x3",
    "max_pooling_3x3",
    "skip_connection",
    "none",
)


def layer(kind: str, parameters: dict[str, Any], sizes: tuple[int, ...]) -> LayerPlan:
    return read_plan("[[0]]", nn_config((kind, parameters), sizes=sizes)).layers[0]


@pytest.mark.parametrize("sizes", [(8, 8, 3), (7, 5, 2), (1, 1, 4), (2, 3, 1)], ids=str)
@pytest.mark.parametrize("filter_size", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "kind", ["convolution", "separable_convolution", "depthwise_convolution", "dilated_convolution"]
)
def test_convolutions_give_the_planned_shape(kind: str, stride: int, filter_size: int, sizes: tuple[int, ...]) -> None:
    if stride > min(sizes[:2]):
        return
    plan = layer(kind, {"filter_size": filter_size, "stride": stride}, sizes)
    given = chain_operation(plan)(torch.randn(2, sizes[2], sizes[0], sizes[1]))
    assert tuple(given.shape) == (2, plan.given.channels, plan.given.height, plan.given.width)


@pytest.mark.parametrize("sizes", [(8, 8, 3), (7, 5, 2), (3, 3, 1)], ids=str)
@pytest.mark.parametrize(("pool_size", "stride"), [(2, None), (3, None), (3, 1), (2, 3), (1, 1)])
@pytest.mark.parametrize("kind", ["max_pooling", "avg_pooling"])
def test_poolings_give_the_planned_shape(kind: str, pool_size: int, stride: int | None, sizes: tuple[int, ...]) -> None:
    stated = {"pool_size": pool_size, **({"stride": stride} if stride else {})}
    plan = layer(kind, stated, sizes)
    given = chain_operation(plan)(torch.randn(2, sizes[2], sizes[0], sizes[1]))
    assert tuple(given.shape) == (2, plan.given.channels, plan.given.height, plan.given.width)


def test_poolings_take_the_greatest_and_the_mean_of_what_is_there() -> None:
    maps = torch.tensor([[[[1.0, -2.0, -3.0], [4.0, 5.0, -6.0], [-7.0, -8.0, -9.0]]]])
    greatest = chain_operation(layer("max_pooling", {"pool_size": 2}, (3, 3, 1)))(maps)
    mean = chain_operation(layer("avg_pooling", {"pool_size": 2}, (3, 3, 1)))(maps)
    assert greatest.tolist() == [[[[5.0, -3.0], [-7.0, -9.0]]]]
    assert mean.tolist() == [[[[2.0, -4.5], [-7.5, -9.0]]]]


@pytest.mark.parametrize(
    ("kind", "parameters", "weights"),
    [
        # Of the convolutions alone: 3 channels in; batch norm has two more for each channel that comes out.
        ("convolution", {"filter_size": 5, "num_filter": 7}, 3 * 7 * 25 + 14),
        ("dilated_convolution", {"filter_size": 3, "num_filter": 7}, 3 * 7 * 9 + 14),
        ("separable_convolution", {"filter_size": 3, "num_filter": 7}, 3 * 9 + 3 * 7 + 14),
        ("separable_convolution", {"filter_size": 3, "num_filter": 7, "depth_multiplier": 2}, 6 * 9 + 6 * 7 + 14),
        ("depthwise_convolution", {"filter_size": 5, "depth_multiplier": 2}, 6 * 25 + 12),
        ("max_pooling", {"pool_size": 2}, 0),
        ("skip_connection", {}, 0),
    ],
)
def test_parameters_decide_how_many_weights_there_are(kind: str, parameters: dict[str, Any], weights: int) -> None:
    operation = chain_operation(layer(kind, parameters, (8, 8, 3)))
    assert sum(weight.numel() for weight in operation.parameters()) == weights


def reach(operation: Any, channels: int) -> int:
    """Over how many pixels in a row what comes out in the middle depends on what goes in."""
    operation.eval()
    with torch.no_grad():
        for weight in operation.parameters():
            weight.abs_()  # so that no ReLU holds anything back
    maps = torch.rand(1, channels, 15, 15, requires_grad=True)
    operation(maps)[0, :, 7, 7].sum().backward()
    assert maps.grad is not None
    seen = (maps.grad.abs().sum(dim=(0, 1)) > 0).nonzero()
    return int(seen[:, 0].max() - seen[:, 0].min()) + 1


def test_filter_size_and_dilation_decide_how_far_a_layer_sees() -> None:
    for size in (3, 5, 7):
        assert reach(chain_operation(layer("convolution", {"filter_size": size}, (15, 15, 1))), 1) == size
    dilated = {"filter_size": 3, "dilation_rate": 3}
    assert reach(chain_operation(layer("dilated_convolution", dilated, (15, 15, 1))), 1) == 7
    assert reach(edge_operation("dilated_convolution_5x5", 1, 1, affine=False), 1) == 9
    assert reach(edge_operation("separable_convolution_3x3", 1, 1, affine=False), 1) == 5  # it is applied twice
    assert reach(edge_operation("max_pooling_3x3", 1, 1, affine=False), 1) <= 3


def test_a_chain_joins_maps_of_different_sizes() -> None:
    plan = read_plan("[[1], [0, 1], [1, 0, 1], [0, 1, 1, 1]]", nn_config(layers=4, sizes=(9, 9, 2)))
    network = ChainNetwork(plan)
    scores = network(torch.randn(3, 2, 9, 9))
    assert scores.shape == (3, 10)
    scores.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("side", [8, 7, 2, 1])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PRIMITIVES)
def test_operations_of_an_edge_keep_the_channels_and_halve_the_size(name: str, stride: int, side: int) -> None:
    given = edge_operation(name, 4, stride, affine=True)(torch.randn(2, 4, side, side))
    half = -(-side // stride)
    assert tuple(given.shape) == (2, 4, half, half)
    if name == "none":
        assert not given.any()


def outline(**changes: int) -> Outline:
    return Outline(**{"layers": 3, "image_channels": 1, "classes": 10, "init_channels": 4, "nodes": 2, **changes})


@pytest.mark.parametrize(
    ("layers", "reductions"), [(1, set()), (2, {1}), (3, {1, 2}), (4, {1, 2}), (6, {2, 4}), (8, {2, 5})]
)
def test_cells_at_a_third_and_two_thirds_reduce(layers: int, reductions: set[int]) -> None:
    assert outline(layers=layers).reductions == reductions


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_supernet_and_what_is_derived_from_it_score_the_classes(layers: int, nodes: int) -> None:
    shape = outline(layers=layers, nodes=nodes)
    supernet = Supernet(shape, PRIMITIVES)
    images = torch.randn(2, 1, 8, 8)
    assert supernet(images).shape == (2, 10)
    assert CellNetwork(shape, supernet.genotype())(images).shape == (2, 10)
    assert [tuple(alpha.shape) for alpha in supernet.alphas_normal] == [(2 + node, 7) for node in range(nodes)]


def test_alphas_and_weights_are_all_parameters_and_have_none_in_common() -> None:
    supernet = Supernet(outline(), PRIMITIVES)
    alphas, weights = {id(one) for one in supernet.alphas()}, {id(one) for one in supernet.weights()}
    assert not alphas & weights
    assert alphas | weights == {id(one) for one in supernet.parameters()}


def test_a_mixed_operation_with_all_its_weight_on_one_is_that_one() -> None:
    mixed = MixedOperation(PRIMITIVES, 4, 1)
    maps = torch.randn(2, 4, 8, 8)
    for place, operation in enumerate(mixed.operations):
        weights = torch.nn.functional.one_hot(torch.tensor(place), len(PRIMITIVES)).float()
        torch.testing.assert_close(mixed(maps, weights), operation(maps), rtol=1e-5, atol=1e-5)


def test_the_genotype_takes_the_strongest_operations_but_none_and_the_two_strongest_edges() -> None:
    supernet = Supernet(outline(layers=1), PRIMITIVES)
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.zero_()
        supernet.alphas_normal[1][0, 6] = 5.0  # none, which takes from all others
        supernet.alphas_normal[1][1, 3] = 2.0
        supernet.alphas_normal[1][2, 0] = 3.0
    genotype = supernet.genotype()
    assert genotype.normal[1] == (("separable_convolution_3x3", 2), ("avg_pooling_3x3", 1))
    assert {edge for _, edge in genotype.normal[0]} == {0, 1}


def test_a_derived_network_has_the_operations_of_its_genotype_only() -> None:
    genotype = Genotype(((("skip_connection", 0), ("max_pooling_3x3", 1)),), ((("skip_connection", 1),),))
    network = CellNetwork(outline(nodes=1), genotype)
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    kernels = {module.kernel_size for module in network.modules() if isinstance(module, torch.nn.Conv2d)}
    assert kernels == {(1, 1), (3, 3)}  # the stem and what brings inputs together


def test_evenness_is_one_where_all_operations_weigh_the_same_and_falls_with_a_choice() -> None:
    supernet = Supernet(outline(layers=1), PRIMITIVES)
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha.zero_()
    assert supernet.entropy() == pytest.approx(1)
    with torch.no_grad():
        for alpha in supernet.alphas():
            alpha[:, 0] = 50
    assert supernet.entropy() == pytest.approx(0, abs=1e-6)
