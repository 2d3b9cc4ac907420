"""The settings that DARTS's Trial gets, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pykatib.algorithms.description import nearest, read_settings
from pykatib.algorithms.nas.descriptions import CUSTOM_OPERATIONS, DARTS
from pykatib.api.errors import InvalidInput
from pykatib.api.shared import Setting
from pykatib.nas.bilevel import Order, SearchRates
from pykatib.nas.reading import read_text, refused, short

PATH = "algorithm-settings"
DEFAULT_BATCH = 128
DEFAULT_SEED = 2  # as in Katib


@dataclass(frozen=True, kw_only=True)
class DartsSettings:
    """What the search is told; `unknown` are the names that mean nothing here."""

    rates: SearchRates
    epochs: int
    batch_size: int
    init_channels: int
    stem_multiplier: int
    nodes: int
    print_step: int
    order: Order
    seed: int
    unknown: tuple[str, ...]

    @property
    def complaints(self) -> Sequence[str]:
        """What is to be said of settings that mean nothing here."""
        names = tuple(setting.name for setting in DARTS.settings if setting != CUSTOM_OPERATIONS)
        return [f"The setting {name!r} means nothing to this program; {nearest(name, names)}" for name in self.unknown]


def read_darts_settings(text: str) -> DartsSettings:
    """The settings of a text; InvalidInput names every one that will not do."""
    found = read_text(text, PATH)
    if not isinstance(found, dict):
        raise refused(PATH, f"found {short(found)}, wanted settings by name")
    known = {setting.name for setting in DARTS.settings}
    stated = [Setting(name, str(value)) for name, value in found.items() if name in known and value is not None]
    try:
        values: dict[str, Any] = dict(read_settings(DARTS.settings, stated, path=PATH, of="darts"))
    except InvalidInput as problem:
        # Here they have names and no numbers.
        raise refused(PATH, "; ".join(error.message for error in problem.errors)) from problem
    return DartsSettings(
        rates=SearchRates(**{name: values[name] for name in SearchRates.__dataclass_fields__}),
        epochs=values["num_epochs"],
        batch_size=max(2, values["batch_size"] or DEFAULT_BATCH),
        init_channels=values["init_channels"],
        stem_multiplier=values["stem_multiplier"],
        nodes=values["num_nodes"],
        print_step=values["print_step"],
        order=values["order"] or "second",
        seed=DEFAULT_SEED if values["seed"] is None else values["seed"],
        unknown=tuple(name for name in found if name not in known),
    )
