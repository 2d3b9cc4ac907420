"""Early stopping rules as messages and back."""

from pykatib.api import names
from pykatib.api.shared import EarlyStoppingRule
from pykatib.rpc import messages

_COMPARISONS = {names.EQUAL: messages.EQUAL, names.LESS: messages.LESS, names.GREATER: messages.GREATER}
_COMPARISON_NAMES = {number: name for name, number in _COMPARISONS.items()}


def rule_message(rule: EarlyStoppingRule) -> messages.EarlyStoppingRule:
    """The message of a rule."""
    comparison = _COMPARISONS.get(rule.comparison, messages.UNKNOWN_COMPARISON)
    return messages.EarlyStoppingRule(
        name=rule.name, value=rule.value, comparison=comparison, start_step=rule.start_step
    )


def rule_from(message: messages.EarlyStoppingRule) -> EarlyStoppingRule:
    """The rule of a message; an unknown comparison is `equal`, as in Katib."""
    comparison = _COMPARISON_NAMES.get(message.comparison, names.EQUAL)
    return EarlyStoppingRule(message.name, message.value, comparison, message.start_step)
