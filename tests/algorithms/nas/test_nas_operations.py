"""What a nasConfig means: concrete operations, the texts of architectures, and what is refused with its path."""

import pytest
from nas_samples import CONVOLUTION, REDUCTION, choice, errors_of, experiment, integer, nas_config

from pykatib.algorithms.nas.operations import expand
from pykatib.algorithms.nas.space import Architecture, ArchitectureSpace
from pykatib.algorithms.nas.strings import from_text, to_text
from pykatib.api.experiment import FeasibleSpace, NasConfig, Operation, ParameterSpec

OPERATIONS = "spec.nasConfig.operations"
SETTINGS = "spec.algorithm.algorithmSettings"


def test_operations_are_numbered_through_and_the_last_parameter_changes_fastest() -> None:
    two = Operation("convolution", (choice("filter_size", "3", "5"), integer("stride", "1", "2")))
    found = [
        (operation.id, operation.kind, dict(operation.parameters)) for operation in expand(nas_config(two, REDUCTION))
    ]
    assert found == [
        (0, "convolution", {"filter_size": "3", "stride": 1}),
        (1, "convolution", {"filter_size": "3", "stride": 2}),
        (2, "convolution", {"filter_size": "5", "stride": 1}),
        (3, "convolution", {"filter_size": "5", "stride": 2}),
        (4, "reduction", {"reduction_type": "max_pooling", "pool_size": 2}),
        (5, "reduction", {"reduction_type": "max_pooling", "pool_size": 3}),
    ]


def test_doubles_are_exact_and_reach_their_end() -> None:
    rate = ParameterSpec("rate", "double", FeasibleSpace(min="0.1", max="0.3", step="0.1"))
    found = expand(NasConfig(operations=(Operation("dropout", (rate,)),)))
    assert [operation.parameters["rate"] for operation in found] == [0.1, 0.2, 0.3]


def test_the_texts_of_an_architecture_are_those_of_katib() -> None:
    texts = ArchitectureSpace(nas_config()).encode(Architecture((1, 2, 0), ((), (1,), (0, 1))))
    assert texts == (
        "[[1], [2, 1], [0, 0, 1]]",
        "{'num_layers': 3, 'input_sizes': [32, 32, 3], 'output_sizes': [10], 'embedding': {'1': {'opt_id': 1, "
        "'opt_type': 'convolution', 'opt_params': {'filter_size': '5', 'num_filter': '16', 'stride': '1'}}, '2': "
        "{'opt_id': 2, 'opt_type': 'reduction', 'opt_params': {'reduction_type': 'max_pooling', 'pool_size': 2}}, "
        "'0': {'opt_id': 0, 'opt_type': 'convolution', 'opt_params': {'filter_size': '3', 'num_filter': '16', "
        "'stride': '1'}}}}",
    )


def test_texts_are_read_back_also_in_the_quotes_that_manifests_put_around_them() -> None:
    value = {"a": [1, 0.5, None], "b": "text"}
    assert from_text(to_text(value)) == from_text(f'"{to_text(value)}"') == value
    space = ArchitectureSpace(nas_config())
    architecture = Architecture((3, 3, 0), ((), (0,), (1, 1)))
    assert space.decode(space.encode(architecture)) == architecture


@pytest.mark.parametrize(
    "text",
    ["", "[[1]]", "[[1], [2, 1], [0, 0, 2]]", "[[9], [2, 1], [0, 0, 1]]", "[[1], [2], [0, 0, 1]]", "{'a': 1}", "[[1"],
)
def test_an_architecture_of_another_space_is_none(text: str) -> None:
    space = ArchitectureSpace(nas_config())
    assert not space.contains((text, "{}"))
    with pytest.raises(ValueError, match=r"."):
        space.decode((text, "{}"))


def test_the_size_of_a_space_counts_operations_and_bits() -> None:
    assert ArchitectureSpace(nas_config()).size == 4**3 * 2**3


@pytest.mark.parametrize("algorithm", ["enas", "darts"])
@pytest.mark.parametrize(
    ("config", "errors"),
    [
        pytest.param(
            None, ["spec.nasConfig: is required: {algorithm} searches for an architecture"], id="no nasConfig"
        ),
        pytest.param(
            nas_config(Operation("skip_conection")),
            [
                f"{OPERATIONS}[0].operationType: unknown operation 'skip_conection' of the programs for {{algorithm}}; "
                "did you mean skip_connection?"
            ],
            id="unknown operation",
        ),
        pytest.param(
            nas_config(Operation("separable_convolution")),
            [f"{OPERATIONS}[0].parameters: separable_convolution needs the parameter filter_size"],
            id="missing parameters",
        ),
        pytest.param(
            nas_config(Operation("separable_convolution", (choice("filter_sise", "3"),))),
            [
                f"{OPERATIONS}[0].parameters: separable_convolution needs the parameter filter_size",
                f"{OPERATIONS}[0].parameters[0].name: unknown parameter 'filter_sise' of separable_convolution; "
                "did you mean filter_size?",
            ],
            id="misspelt parameter",
        ),
        pytest.param(
            nas_config(Operation("separable_convolution", (choice("filter_size", "3", "big", "0", "2.5"),))),
            [
                f"{OPERATIONS}[0].parameters[0].feasibleSpace.list[{place}]: found {text!r}, "
                "wanted a whole number from 1 for filter_size"
                for place, text in ((1, "big"), (2, "0"), (3, "2.5"))
            ],
            id="filters that are none",
        ),
        pytest.param(
            nas_config(Operation("separable_convolution", (integer("filter_size", "1", "20001"),))),
            [f"{OPERATIONS}: come to more than 10000 operations; give the parameters fewer values"],
            id="too many",
        ),
        pytest.param(
            nas_config(Operation("separable_convolution", (choice("filter_size", "3"),)), layers=0),
            ["spec.nasConfig.graphConfig.numLayers: found 0, wanted at least 1"],
            id="no layers",
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(algorithm: str, config: NasConfig | None, errors: list[str]) -> None:
    assert errors_of(experiment(algorithm, config)) == [error.format(algorithm=algorithm) for error in errors]


@pytest.mark.parametrize(
    ("config", "errors"),
    [
        pytest.param(
            nas_config(inputs=(), outputs=()),
            [
                f"spec.nasConfig.graphConfig.{field}: is required, as in [32, 32, 3] and [10]"
                for field in ("inputSizes", "outputSizes")
            ],
            id="no sizes",
        ),
        pytest.param(
            nas_config(Operation("reduction", (choice("reduction_type", "min_pooling"),))),
            [
                f"{OPERATIONS}[0].parameters[0].feasibleSpace.list[0]: found 'min_pooling', "
                "wanted one of max_pooling, avg_pooling"
            ],
            id="unknown pooling",
        ),
        pytest.param(
            nas_config(CONVOLUTION, Operation("max_pooling", (integer("pool_size", "2", "9"),)), inputs=(8, 8, 1)),
            [f"{OPERATIONS}[1].parameters[0].feasibleSpace: pool_size 9 leaves nothing of an image of 8x8"],
            id="a pool wider than the image",
        ),
        pytest.param(
            nas_config(
                Operation("convolution", (choice("filter_size", "3"), choice("stride", "2", "3"))), REDUCTION, layers=6
            ),
            [
                "spec.nasConfig.graphConfig.numLayers: found 6, but every operation shrinks its input by 2 or more: "
                "nothing of 32x32 is left after 6; give some operation a stride of 1, or take fewer layers"
            ],
            id="strides that leave nothing",
        ),
        pytest.param(
            nas_config(Operation("dropout", (ParameterSpec("rate", "double", FeasibleSpace(min="0", max="1")),))),
            [
                f"{OPERATIONS}[0].operationType: unknown operation 'dropout' of the programs for enas; there are "
                "convolution, separable_convolution, depthwise_convolution, dilated_convolution, reduction, "
                "max_pooling, avg_pooling, skip_connection"
            ],
            id="an operation like no other",
        ),
    ],
)
def test_enas_refuses_what_its_networks_cannot_be(config: NasConfig, errors: list[str]) -> None:
    assert errors_of(experiment("enas", config)) == errors


@pytest.mark.parametrize(
    ("config", "errors"),
    [
        pytest.param(
            nas_config(Operation("max_pooling", (choice("filter_size", "3", "4"),))),
            [f"{OPERATIONS}[0].parameters[0].feasibleSpace: found 4; a filter of a cell has an odd size"],
            id="an even filter",
        ),
        pytest.param(
            nas_config(Operation("max_pooling", (choice("filter_size", "3"),)), inputs=(3, 3, 1), layers=6),
            ["spec.nasConfig.graphConfig.inputSizes: found 3x3, of which 2 reduction cells leave nothing"],
            id="an image too small",
        ),
    ],
)
def test_darts_refuses_what_its_cells_cannot_be(config: NasConfig, errors: list[str]) -> None:
    assert errors_of(experiment("darts", config)) == errors


def test_operations_of_a_program_of_ones_own_go_through_when_asked_to() -> None:
    rate = ParameterSpec("rate", "double", FeasibleSpace(min="0.1", max="0.5", step="0.1"))
    config = nas_config(Operation("dropout", (rate,)))
    assert errors_of(experiment("enas", config, settings={"custom_operations": "true"})) == []
    assert errors_of(experiment("enas", config, settings={"custom_operations": "false"})) != []
    endless = nas_config(Operation("dropout", (ParameterSpec("rate", "double", FeasibleSpace(min="0", max="1")),)))
    assert errors_of(experiment("enas", endless, settings={"custom_operations": "true"})) == [
        f"{OPERATIONS}[0].parameters[0].feasibleSpace.step: is needed for the double rate: an operation is made for "
        "every value, and without a step there is no end"
    ]


def test_a_skip_connection_needs_no_parameters() -> None:
    skip = Operation("skip_connection")
    assert errors_of(experiment("enas", nas_config(CONVOLUTION, skip))) == []
    pooling = Operation("max_pooling", (choice("filter_size", "3"),))
    assert errors_of(experiment("darts", nas_config(pooling, skip))) == []


def test_a_placeholder_for_something_that_is_not_assigned_is_refused() -> None:
    found = experiment("enas", nas_config(), references=("architecture", "nn_confg", "${trialSpec.Name}"))
    assert errors_of(found) == [
        "spec.trialTemplate.trialParameters[1].reference: found 'nn_confg', which is no assignment of this algorithm; "
        "did you mean nn_config?"
    ]
    darts = experiment(
        "darts", nas_config(Operation("skip_connection")), references=("algorithm-settings", "search-space", "x")
    )
    assert [error.partition(":")[0] for error in errors_of(darts)] == [
        "spec.trialTemplate.trialParameters[2].reference"
    ]


# The legal ranges of Katib's settings, as its own validation has them.
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("controller_hidden_size", ("1", "128"), ("0", "-1", "1.5", "None", "x")),
        ("controller_temperature", ("0.1", "None"), ("0", "-1", "x")),
        ("controller_tanh_const", ("0.1", "None"), ("0", "-1", "x")),
        ("controller_entropy_weight", ("1e-9", "None"), ("0", "-1", "x")),
        ("controller_baseline_decay", ("0.1", "1"), ("0", "1.1", "None")),
        ("controller_learning_rate", ("1e-5", "1"), ("0", "1.1", "None")),
        ("controller_skip_target", ("0.1", "1"), ("0", "1.1", "None")),
        ("controller_skip_weight", ("0.1", "None"), ("0", "-1")),
        ("controller_train_steps", ("1", "100"), ("0", "1.5", "None")),
        ("controller_log_every_steps", ("1", "100"), ("0", "1.5", "None")),
    ],
)
def test_settings_of_enas_have_katibs_ranges(name: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    for value in good:
        assert errors_of(experiment("enas", nas_config(), settings={name: value})) == []
    for value in bad:
        (error,) = errors_of(experiment("enas", nas_config(), settings={name: value}))
        assert error.startswith(f"{SETTINGS}[0].value: {name} must be")
