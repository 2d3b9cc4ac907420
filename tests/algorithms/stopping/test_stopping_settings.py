"""Bad settings of early stopping are refused with the setting's name, what was found, and what would do."""

import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.stopping import registry as stopping
from pykatib.algorithms.stopping.builtin import BUILTIN
from pykatib.algorithms.stopping.contract import Stopping
from pykatib.algorithms.stopping.description import StoppingInfo
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import EarlyStoppingSpec, ObjectiveSpec, Setting

OBJECTIVE = ObjectiveSpec(type="minimize", objective_metric_name="loss", additional_metric_names=("gradient-norm",))
PATH = "spec.earlyStopping.algorithmSettings"


def create(name: str, *stated: str) -> Stopping:
    pairs = (text.partition("=") for text in stated)
    return stopping.create(EarlyStoppingSpec(name, tuple(Setting(key, value) for key, _, value in pairs)), OBJECTIVE)


@pytest.mark.parametrize(
    ("name", "stated", "path", "message"),
    [
        pytest.param(
            "medianstop",
            ["start_step=0"],
            f"{PATH}[0].value",
            "start_step must be a whole number at least 1, found '0'",
            id="below the range",
        ),
        pytest.param(
            "medianstop",
            ["min_trials_required=three"],
            f"{PATH}[0].value",
            "min_trials_required must be a whole number at least 1, found 'three'",
            id="no number",
        ),
        pytest.param(
            "medianstop",
            ["start_steps=2"],
            f"{PATH}[0].name",
            "unknown setting 'start_steps' of the early stopping medianstop; did you mean start_step?",
            id="misspelt",
        ),
        pytest.param(
            "asha",
            ["reduction_factor=1"],
            f"{PATH}[0].value",
            "reduction_factor must be a whole number at least 2, found '1'",
            id="a factor that reduces nothing",
        ),
        pytest.param(
            "hyperband",
            [],
            PATH,
            "max_resource is needed: how many reports a Trial makes that is not stopped, a whole number at least 1",
            id="hyperband without an end",
        ),
        pytest.param(
            "hyperband",
            ["min_resource=9", "max_resource=3"],
            f"{PATH}[1].value",
            "max_resource must be at least min_resource, which is 9, found 3",
            id="an end before the beginning",
        ),
        pytest.param(
            "patience",
            ["metric=gradient_norm"],
            f"{PATH}[0].value",
            "metric is 'gradient_norm', which is no metric of spec.objective; did you mean gradient-norm?",
            id="a metric that is not collected",
        ),
        pytest.param(
            "threshold",
            ["non_finite=false"],
            PATH,
            "value is needed where non_finite is false: nothing else would ever stop a Trial",
            id="a threshold for nothing",
        ),
        pytest.param(
            "threshold",
            ["value=nan"],
            f"{PATH}[0].value",
            "value must be a number, found 'nan'",
            id="a limit that is no number",
        ),
        pytest.param(
            "medianstopp",
            [],
            "spec.earlyStopping.algorithmName",
            "unknown early stopping 'medianstopp'; did you mean medianstop?",
            id="no such method",
        ),
    ],
)
def test_a_bad_setting_is_refused(name: str, stated: list[str], path: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        create(name, *stated)
    assert refused.value.errors == (FieldError(path, message),)


@pytest.mark.parametrize("info", BUILTIN, ids=lambda info: info.name)
def test_every_method_is_made_from_its_defaults(info: StoppingInfo) -> None:
    method = create(info.name, *(["max_resource=9"] if info.name == "hyperband" else []))
    assert method.watched.metric == "loss"


def test_the_names_are_those_that_validation_offers() -> None:
    assert registry.early_stopping_names() == tuple(info.name for info in BUILTIN)
    assert registry.early_stopping_names() == ("medianstop", "asha", "hyperband", "patience", "threshold")
