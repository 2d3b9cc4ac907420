"""The descriptions of the architecture searches. As `pykatib.algorithms.builtin`, this imports no algorithm."""

from typing import Final

from pykatib.algorithms.description import AlgorithmInfo, SettingInfo, from_module
from pykatib.algorithms.nas.rules import (
    CUSTOM,
    darts_can_search,
    enas_can_search,
    searched_by_darts,
    searched_by_enas,
)

CUSTOM_OPERATIONS: Final = SettingInfo(
    name=CUSTOM,
    kind="bool",
    default=False,
    help="Lets operations and parameters through that only a program of your own knows.",
)

ENAS: Final = AlgorithmInfo(
    name="enas",
    summary="A recurrent controller writes architectures and learns from what their Trials reach (ENAS).",
    create=from_module("pykatib.algorithms.nas.enas", "Enas"),
    architecture=True,
    rules=(enas_can_search,),
    searched=searched_by_enas,
    settings=(
        SettingInfo(
            name="random_state",
            kind="int",
            at_least=0,
            help="The seed: the same number gives the same architectures as long as results are the same.",
        ),
        SettingInfo(
            name="controller_hidden_size", kind="int", default=64, at_least=1, help="Units of the controller's LSTM."
        ),
        SettingInfo(
            name="controller_temperature",
            kind="float",
            default=5.0,
            above=0,
            allows_none=True,
            help="Scores are divided by it before a choice is drawn: the higher, the more even.",
        ),
        SettingInfo(
            name="controller_tanh_const",
            kind="float",
            default=2.25,
            above=0,
            allows_none=True,
            help="Scores are bent to lie within plus and minus this, so that no choice becomes certain.",
        ),
        SettingInfo(
            name="controller_entropy_weight",
            kind="float",
            default=1e-5,
            above=0,
            allows_none=True,
            help="How much the entropy of an architecture's choices adds to its reward.",
        ),
        SettingInfo(
            name="controller_baseline_decay",
            kind="float",
            default=0.999,
            above=0,
            at_most=1,
            help="How slowly the mean of rewards forgets, to which a reward is compared; 1 never forgets.",
        ),
        SettingInfo(
            name="controller_learning_rate",
            kind="float",
            default=5e-5,
            above=0,
            at_most=1,
            help="Adam's step. The default is for thousands of Trials; with some hundred, 0.001 to 0.01.",
        ),
        SettingInfo(
            name="controller_skip_target",
            kind="float",
            default=0.4,
            above=0,
            at_most=1,
            help="The share of skip connections to aim at.",
        ),
        SettingInfo(
            name="controller_skip_weight",
            kind="float",
            default=0.8,
            above=0,
            allows_none=True,
            help="How much the distance from that share counts.",
        ),
        SettingInfo(
            name="controller_train_steps",
            kind="int",
            default=50,
            at_least=1,
            help="Steps of Adam for each Trial that has ended.",
        ),
        SettingInfo(
            name="controller_log_every_steps",
            kind="int",
            default=10,
            at_least=1,
            help="Taken for Katib's sake, and without effect: the controller logs nothing.",
        ),
        CUSTOM_OPERATIONS,
    ),
)


def _count(name: str, default: int, text: str) -> SettingInfo:
    return SettingInfo(name=name, kind="int", default=default, at_least=1, help=text)


def _not_negative(name: str, default: float, text: str) -> SettingInfo:
    return SettingInfo(name=name, kind="float", default=default, at_least=0, help=text)


DARTS: Final = AlgorithmInfo(
    name="darts",
    summary="One Trial trains all operations at once and learns which to keep, by gradient (DARTS).",
    create=from_module("pykatib.algorithms.nas.darts", "Darts"),
    architecture=True,
    open_settings=True,
    exhausts=True,
    one_by_one=True,
    rules=(darts_can_search,),
    searched=searched_by_darts,
    settings=(
        _count("num_epochs", 50, "Epochs of the search."),
        _not_negative("w_lr", 0.025, "SGD's first learning rate for the weights."),
        _not_negative("w_lr_min", 0.001, "Its last one; between them it falls as a cosine."),
        _not_negative("w_momentum", 0.9, "SGD's momentum."),
        _not_negative("w_weight_decay", 3e-4, "Decay of the weights."),
        _not_negative("w_grad_clip", 5.0, "The norm at which gradients of the weights are cut."),
        _not_negative("alpha_lr", 3e-4, "Adam's learning rate for the architecture."),
        _not_negative("alpha_weight_decay", 1e-3, "Decay of the architecture's parameters."),
        SettingInfo(
            name="batch_size",
            kind="int",
            default=128,
            at_least=1,
            allows_none=True,
            help="Images a step. None leaves it to the program, which takes 128.",
        ),
        SettingInfo(
            name="num_workers",
            kind="int",
            default=4,
            at_least=0,
            help="Processes that load images; our program keeps them in memory and needs none.",
        ),
        _count("init_channels", 16, "Channels of the first cell."),
        _count("print_step", 50, "Steps between two lines of progress."),
        _count("num_nodes", 4, "Nodes of a cell between its inputs and its output."),
        _count("stem_multiplier", 3, "Channels before the first cell, in multiples of init_channels."),
        SettingInfo(
            name="order",
            kind="text",
            choices=("first", "second"),
            help="Whether the architecture's gradient looks one step of the weights ahead. Without it second.",
        ),
        SettingInfo(name="seed", kind="int", at_least=0, help="The program's seed. Without it 2, as in Katib."),
        CUSTOM_OPERATIONS,
    ),
)

ARCHITECTURE_SEARCHES: Final = (ENAS, DARTS)
