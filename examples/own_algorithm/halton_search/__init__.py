"""A search algorithm of one's own: what pykatib has to know of it. `katib algorithms` reads this and no more."""

from pykatib.algorithms.description import AlgorithmInfo, SettingInfo, from_module

HALTON = AlgorithmInfo(
    name="halton",
    summary="A Halton sequence: points that fill the space evenly, from the first on.",
    create=from_module("halton_search.search", "HaltonSearch"),  # imported when it is first used
    settings=(
        SettingInfo(name="random_state", kind="int", at_least=0, help="The seed; each Experiment has its own."),
        SettingInfo(name="skip", kind="int", at_least=0, default=0, help="How many points to leave out at the start."),
    ),
    one_by_one=True,  # asking for two at once gives what asking twice would
)
