"""ENAS's texts as plans: inputs and shapes of layers, defaults, and what is refused with its path."""

from typing import Any

import pytest
from nas_texts import CONVOLUTION, POOLING, nn_config

from pykatib.api.errors import InvalidInput
from pykatib.nas.plans import NetworkPlan, Shape, read_plan


def only(kind: str, parameters: dict[str, Any], sizes: tuple[int, ...] = (16, 16, 1)) -> Any:
    return read_plan("[[0]]", nn_config((kind, parameters), sizes=sizes)).layers[0]


def test_a_layer_takes_the_one_before_and_those_its_bits_name_where_bit_0_is_the_image() -> None:
    plan = read_plan("[[0], [1, 1], [0, 0, 1]]", nn_config(layers=3))
    assert [layer.inputs for layer in plan.layers] == [(0,), (1, 0), (2, 1)]
    assert [layer.taken for layer in plan.layers] == [Shape(1, 16, 16), Shape(9, 16, 16), Shape(17, 16, 16)]
    assert [layer.given for layer in plan.layers] == [Shape(8, 16, 16), Shape(9, 8, 8), Shape(8, 16, 16)]
    assert (plan.image, plan.classes) == (Shape(1, 16, 16), 10)


@pytest.mark.parametrize(
    ("kind", "parameters", "given"),
    [
        ("convolution", {"filter_size": "5", "num_filter": "7", "stride": "2"}, Shape(7, 8, 8)),
        ("convolution", {"filter_size": 3}, Shape(64, 16, 16)),
        ("separable_convolution", {"filter_size": "3", "num_filter": 5, "depth_multiplier": "2"}, Shape(5, 16, 16)),
        ("depthwise_convolution", {"filter_size": "3", "stride": "3", "depth_multiplier": "2"}, Shape(6, 6, 6)),
        ("dilated_convolution", {"filter_size": "3", "num_filter": "4", "dilation_rate": 3}, Shape(4, 16, 16)),
        ("reduction", {"reduction_type": "avg_pooling", "pool_size": 3}, Shape(3, 6, 6)),
        ("reduction", {"reduction_type": "max_pooling"}, Shape(3, 8, 8)),
        ("max_pooling", {"pool_size": 3, "stride": 1}, Shape(3, 16, 16)),
        ("skip_connection", {}, Shape(3, 16, 16)),
    ],
)
def test_parameters_decide_what_comes_out(kind: str, parameters: dict[str, Any], given: Shape) -> None:
    assert only(kind, parameters, (16, 16, 3)).given == given


def test_one_pixel_stays_one_pixel() -> None:
    plan = read_plan("[[1], [1, 0], [1, 0, 0], [1, 0, 0, 0]]", nn_config(layers=4, sizes=(4, 4, 1)))
    assert [(layer.given.height, layer.given.width) for layer in plan.layers] == [(2, 2), (1, 1), (1, 1), (1, 1)]


def test_the_quotes_that_manifests_put_around_the_texts_do_no_harm() -> None:
    plain = read_plan("[[0]]", nn_config())
    assert isinstance(plain, NetworkPlan)
    assert read_plan('"[[0]]"', f'"{nn_config()}"') == plain


@pytest.mark.parametrize(
    ("architecture", "config", "error"),
    [
        pytest.param("[[0]", nn_config(), "architecture: found '[[0]', which is no JSON", id="half a text"),
        pytest.param("[[0]]", "[]", "nn_config: found [], wanted a mapping", id="no mapping"),
        pytest.param("[[0]]", "{'num_layers': 1}", "nn_config.input_sizes: is missing", id="half a configuration"),
        pytest.param(
            "[]", nn_config(layers=0), "nn_config.num_layers: found 0, wanted a whole number from 1", id="no layers"
        ),
        pytest.param(
            "[[0], [0, 1]]", nn_config(), "architecture: found 2 layers, but nn_config.num_layers is 1", id="too many"
        ),
        pytest.param(
            "[[0, 1]]",
            nn_config(),
            "architecture[0]: found [0, 1], wanted an operation and 0 bits",
            id="a bit too many",
        ),
        pytest.param(
            "[[0], [0, 2]]",
            nn_config(layers=2),
            "architecture[1]: found [0, 2]; after the operation come bits, 0 or 1",
            id="no bit",
        ),
        pytest.param(
            "[[5]]",
            nn_config(),
            "architecture[0][0]: found 5, which nn_config.embedding does not have; it has 0, 1",
            id="foreign",
        ),
        pytest.param(
            "[[0]]",
            nn_config(("convolutoin", {"filter_size": "3"})),
            "nn_config.embedding.0.opt_type: unknown operation 'convolutoin'; did you mean convolution",
            id="unknown operation",
        ),
        pytest.param(
            "[[0]]",
            nn_config(("convolution", {})),
            "nn_config.embedding.0.opt_params.filter_size: is missing",
            id="missing parameter",
        ),
        pytest.param(
            "[[0]]",
            nn_config(("convolution", {"filter_size": "3", "rate": 1})),
            "nn_config.embedding.0.opt_params.rate: is no parameter of convolution",
            id="unknown parameter",
        ),
        pytest.param(
            "[[0]]",
            nn_config(("convolution", {"filter_size": "0"})),
            "nn_config.embedding.0.opt_params.filter_size: found '0', wanted a whole number from 1",
            id="a filter of nothing",
        ),
        pytest.param(
            "[[0]]",
            nn_config(("convolution", {"filter_size": "3", "stride": "17"})),
            "nn_config.embedding.0.opt_params.stride: found 17, which leaves nothing of an image of 16x16",
            id="a stride that leaves nothing",
        ),
        pytest.param(
            "[[0]]",
            nn_config(("reduction", {"reduction_type": "median", "pool_size": 2})),
            "nn_config.embedding.0.opt_params.reduction_type: found 'median', wanted one of max_pooling, avg_pooling",
            id="unknown pooling",
        ),
        pytest.param(
            "[[0]]",
            nn_config(sizes=(16, 16)),
            "nn_config.input_sizes: found [16, 16], wanted height, width",
            id="two sizes",
        ),
        pytest.param("[[0]]", nn_config(sizes=(16, 0, 1)), "nn_config.input_sizes[1]: found 0, wanted", id="no width"),
        pytest.param(
            "[[0]]", nn_config(outputs=()), "nn_config.output_sizes: found [], wanted the number", id="no classes"
        ),
        pytest.param(
            "[[0]]",
            nn_config(("depthwise_convolution", {"filter_size": 3, "depth_multiplier": 20_000})),
            "architecture[0]: has 20000 channels, and 16384 are the most that are built",
            id="too wide",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_path(architecture: str, config: str, error: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_plan(architecture, config)
    (found,) = caught.value.errors
    assert str(found).startswith(error)


def test_operations_that_no_layer_uses_are_not_looked_at() -> None:
    assert len(read_plan("[[0]]", nn_config(CONVOLUTION, POOLING, ("foreign", {}))).layers) == 1
