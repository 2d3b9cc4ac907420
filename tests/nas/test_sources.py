"""Networks as Python source: what it makes is the network that was trained, weights and all."""

from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need the extra nas")

from pykatib.nas.cells import CellNetwork, Outline  # noqa: E402
from pykatib.nas.chain import ChainNetwork  # noqa: E402
from pykatib.nas.genotype import read_genotype  # noqa: E402
from pykatib.nas.plans import Shape, read_plan  # noqa: E402
from pykatib.nas.sources import cell_source, chain_source  # noqa: E402

OPERATIONS = {
    "0": ("convolution", {"filter_size": "3", "num_filter": "6"}),
    "1": ("separable_convolution", {"filter_size": "5", "num_filter": "6", "stride": "2", "depth_multiplier": "2"}),
    "2": ("reduction", {"reduction_type": "max_pooling", "pool_size": 2}),
    "3": ("reduction", {"reduction_type": "avg_pooling", "pool_size": 3, "stride": 1}),
    "4": ("skip_connection", {}),
    "5": ("depthwise_convolution", {"filter_size": "3", "depth_multiplier": "2"}),
    "6": ("dilated_convolution", {"filter_size": "3", "num_filter": "4"}),
}
CONFIG = repr(
    {
        "num_layers": 7,
        "input_sizes": [9, 9, 1],
        "output_sizes": [10],
        "embedding": {
            name: {"opt_id": int(name), "opt_type": kind, "opt_params": parameters}
            for name, (kind, parameters) in OPERATIONS.items()
        },
    }
)
ARCHITECTURE = repr([[layer, *(int((layer + bit) % 3 == 0) for bit in range(layer))] for layer in range(7)])
GENOTYPE = (
    "Genotype(normal=[[('separable_convolution_3x3',0),('skip_connection',1)],[('dilated_convolution_5x5',1),"
    "('avg_pooling_3x3',2)]],normal_concat=range(2,4),"
    "reduce=[[('max_pooling_3x3',0),('skip_connection',1)],[('convolution_3x3',0),('none',2)]],reduce_concat=range(2,4))"
)


def made(source: str) -> ModuleType:
    module = ModuleType("model")
    exec(compile(source, "model.py", "exec"), module.__dict__)
    return module


def assert_same(network: Any, module: ModuleType, images: Any) -> None:
    model = module.Model()
    model.load_state_dict(network.state_dict())
    for one in (network, model):
        one.eval()
    with torch.no_grad():
        assert torch.equal(network(images), model(images))


def test_a_chain_of_every_operation_is_written_down() -> None:
    plan = read_plan(ARCHITECTURE, CONFIG)
    module = made(chain_source(plan, about=["A network.", 'With """ quotes and a \\ backslash.']))
    assert module.IMAGE == (1, 9, 9)
    assert_same(ChainNetwork(plan), module, torch.rand(3, 1, 9, 9))


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_a_network_of_cells_is_written_down(layers: int) -> None:
    outline = Outline(layers=layers, image_channels=3, classes=10, init_channels=3, nodes=2)
    network = CellNetwork(outline, read_genotype(GENOTYPE))
    module = made(cell_source(network, image=Shape(3, 9, 9), about=["Cells."]))
    assert_same(network, module, torch.rand(2, 3, 9, 9))


def test_the_file_tells_shapes_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    plan = read_plan("[[0]]", CONFIG.replace("'num_layers': 7", "'num_layers': 1"))
    made(chain_source(plan, about=["A network."])).main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["images", "1x9x9"],
        ["part", "1", "6x9x9", "66", "weights"],
        ["scores", "10"],
        ["weights", "136"],
    ]
