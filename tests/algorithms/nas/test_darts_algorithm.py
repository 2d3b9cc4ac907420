"""DARTS as an algorithm: the texts of its one Trial, and the ranges of its settings."""

import pytest
from nas_samples import assignments, choice, errors_of, experiment, integer, nas_config

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Ask
from pykatib.algorithms.nas.strings import from_text
from pykatib.api.experiment import Operation

SEPARABLE = Operation("separable_convolution", (choice("filter_size", "3", "5"),))


def texts(settings: dict[str, str], *operations: Operation, layers: int = 3) -> dict[str, str]:
    space, algorithm = registry.create(
        experiment("darts", nas_config(*operations, layers=layers), settings=settings), seed=1
    )
    (proposal,) = algorithm.ask(Ask(1, 0))
    return assignments(space, proposal)


def test_its_texts_are_those_of_katib() -> None:
    pooling = Operation("max_pooling", (choice("filter_size", "3"),))
    three = Operation("separable_convolution", (choice("filter_size", "3"),))
    assert texts({"num_epochs": "3"}, three, pooling, Operation("skip_connection")) == {
        "algorithm-settings": "{'num_epochs': '3', 'w_lr': 0.025, 'w_lr_min': 0.001, 'w_momentum': 0.9, "
        "'w_weight_decay': 0.0003, 'w_grad_clip': 5.0, 'alpha_lr': 0.0003, 'alpha_weight_decay': 0.001, "
        "'batch_size': 128, 'num_workers': 4, 'init_channels': 16, 'print_step': 50, 'num_nodes': 4, "
        "'stem_multiplier': 3}",
        "search-space": "['separable_convolution_3x3', 'max_pooling_3x3', 'skip_connection']",
        "num-layers": "3",
    }


def test_stated_settings_stay_texts_none_becomes_null_and_unknown_ones_are_handed_on() -> None:
    # As in Katib's own test, one of whose settings does not exist.
    settings = {"num_epoch": "10", "w_lr": "0.0250", "batch_size": "None", "order": "first", "extra": "None"}
    found = from_text(texts(settings, SEPARABLE)["algorithm-settings"])
    assert found["w_lr"] == "0.0250"
    assert found["batch_size"] is None
    assert list(found)[-3:] == ["order", "num_epoch", "extra"]
    assert (found["num_epoch"], found["num_epochs"], found["order"], found["extra"]) == ("10", 50, "first", None)
    assert "custom_operations" not in found


def test_every_size_of_the_first_parameter_is_a_candidate() -> None:
    sizes = Operation("dilated_convolution", (integer("filter_size", "3", "7", "2"),))
    assert from_text(texts({}, SEPARABLE, sizes)["search-space"]) == [
        "separable_convolution_3x3",
        "separable_convolution_5x5",
        "dilated_convolution_3x3",
        "dilated_convolution_5x5",
        "dilated_convolution_7x7",
    ]


def test_there_is_one_trial_and_asking_again_gives_none() -> None:
    _, algorithm = registry.create(experiment("darts", nas_config(SEPARABLE)), seed=1)
    (first,) = algorithm.ask(Ask(3, 0))
    assert list(algorithm.ask(Ask(3, 0))) == [first]
    assert list(algorithm.ask(Ask(3, 1))) == []
    assert list(algorithm.ask(Ask(0, 0))) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("num_epochs", ("1",), ("0", "-1", "x")),
        ("w_lr", ("0", "0.1"), ("-0.1", "x")),
        ("w_momentum", ("0", "0.9"), ("-0.8",)),
        ("alpha_weight_decay", ("0",), ("-0.02",)),
        ("batch_size", ("1", "None"), ("0", "x")),
        ("num_workers", ("0", "4"), ("-1",)),
        ("print_step", ("1",), ("0",)),
        ("stem_multiplier", ("1",), ("0",)),
        ("order", ("first", "second"), ("third",)),
    ],
)
def test_settings_have_katibs_ranges(name: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    for value in good:
        assert errors_of(experiment("darts", nas_config(SEPARABLE), settings={name: value})) == []
    for value in bad:
        (error,) = errors_of(experiment("darts", nas_config(SEPARABLE), settings={name: value}))
        assert error.startswith(f"spec.algorithm.algorithmSettings[0].value: {name} must be")


def test_a_setting_stated_twice_is_refused_though_unknown_ones_are_not() -> None:
    found = experiment("darts", nas_config(SEPARABLE), settings={"mine": "1"})
    assert errors_of(found) == []
