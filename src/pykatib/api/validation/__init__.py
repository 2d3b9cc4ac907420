"""Whether an Experiment makes sense, said with all its mistakes at once."""

from pykatib.api.validation.catalog import AlgorithmCatalog
from pykatib.api.validation.collectors import COLLECTOR_KINDS, FilterCheck, check_filter
from pykatib.api.validation.experiment import read_experiment, validate_experiment
from pykatib.api.validation.template import Templates, condition_problem
from pykatib.api.validation.updates import EDITABLE

__all__ = [
    "COLLECTOR_KINDS",
    "EDITABLE",
    "AlgorithmCatalog",
    "FilterCheck",
    "Templates",
    "check_filter",
    "condition_problem",
    "read_experiment",
    "validate_experiment",
]
