"""The wire: numbers and names as Katib has them, and what is shipped of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from pykatib.rpc import messages

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pykatib" / "rpc"

# Typed in from Katib's documentation of its API, not derived from our file.
FIELDS = {
    "Experiment": "name=1 spec=2",
    "ExperimentSpec": "parameter_specs=1 objective=2 algorithm=3 early_stopping=4 parallel_trial_count=5 "
    "max_trial_count=6 nas_config=7",
    "ExperimentSpec.ParameterSpecs": "parameters=1",
    "ParameterSpec": "name=1 parameter_type=2 feasible_space=3",
    "FeasibleSpace": "max=1 min=2 list=3 step=4 distribution=5",
    "ObjectiveSpec": "type=1 goal=2 objective_metric_name=3 additional_metric_names=4",
    "AlgorithmSpec": "algorithm_name=1 algorithm_settings=2",
    "AlgorithmSetting": "name=1 value=2",
    "EarlyStoppingSpec": "algorithm_name=1 algorithm_settings=2",
    "EarlyStoppingSetting": "name=1 value=2",
    "NasConfig": "graph_config=1 operations=2",
    "NasConfig.Operations": "operation=1",
    "GraphConfig": "num_layers=1 input_sizes=2 output_sizes=3",
    "Operation": "operation_type=1 parameter_specs=2",
    "Operation.ParameterSpecs": "parameters=1",
    "Trial": "name=1 spec=2 status=3",
    "TrialSpec": "objective=2 parameter_assignments=3 labels=4",
    "TrialSpec.ParameterAssignments": "assignments=1",
    "ParameterAssignment": "name=1 value=2",
    "TrialStatus": "start_time=1 completion_time=2 condition=3 observation=4",
    "Observation": "metrics=1",
    "Metric": "name=1 value=2",
    "ObservationLog": "metric_logs=1",
    "MetricLog": "time_stamp=1 metric=2",
    "ReportObservationLogRequest": "trial_name=1 observation_log=2",
    "ReportObservationLogReply": "",
    "GetObservationLogRequest": "trial_name=1 metric_name=2 start_time=3 end_time=4",
    "GetObservationLogReply": "observation_log=1",
    "DeleteObservationLogRequest": "trial_name=1",
    "DeleteObservationLogReply": "",
    "GetSuggestionsRequest": "experiment=1 trials=2 current_request_number=4 total_request_number=5",
    "GetSuggestionsReply": "parameter_assignments=1 algorithm=2 early_stopping_rules=3",
    "GetSuggestionsReply.ParameterAssignments": "assignments=1 trial_name=2 labels=3",
    "ValidateAlgorithmSettingsRequest": "experiment=1",
    "ValidateAlgorithmSettingsReply": "",
    "GetEarlyStoppingRulesRequest": "experiment=1 trials=2 db_manager_address=3",
    "GetEarlyStoppingRulesReply": "early_stopping_rules=1",
    "EarlyStoppingRule": "name=1 value=2 comparison=3 start_step=4",
    "ValidateEarlyStoppingSettingsRequest": "early_stopping=1",
    "ValidateEarlyStoppingSettingsReply": "",
    "SetTrialStatusRequest": "trial_name=1",
    "SetTrialStatusReply": "",
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_have_katibs_numbers(name: str) -> None:
    message = messages.POOL.FindMessageTypeByName(f"api.v1.beta1.{name}")
    assert " ".join(f"{field.name}={field.number}" for field in message.fields) == FIELDS[name]


def test_there_are_no_other_messages() -> None:
    assert set(messages.DESCRIPTOR.message_types_by_name) == {name for name in FIELDS if "." not in name}


def test_the_file_that_is_shipped_is_the_proto_compiled(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools compiles it")
    subprocess.run(
        [str(ROOT / "scripts" / "compile-proto"), str(tmp_path)],
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
    )
    assert (tmp_path / "messages.bin").read_bytes() == (PACKAGE / "messages.bin").read_bytes()


def test_the_process_wide_pool_stays_free_for_katibs_own_stubs() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("api.v1.beta1.Experiment")
