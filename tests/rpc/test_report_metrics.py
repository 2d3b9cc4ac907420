"""`report_metrics` of a Trial in a cluster: over the wire to the DB manager."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from db_manager_support import free_port, serving
from sqlalchemy import URL

import pykatib
from pykatib.api.errors import NotSupported, Unavailable
from pykatib.api.shared import MetricLog
from pykatib.rpc.db_manager_client import DBManagerClient
from pykatib.store.log_row import log_of


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATIB_TRIAL_NAME", "t")
    for name in ("PYKATIB_METRICS_FILE", "KATIB_DB_MANAGER_ADDR", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with serving(URL.create("sqlite", database=str(tmp_path / "logs.db"))) as address:
        yield address


def found_at(address: str) -> list[MetricLog]:
    client = DBManagerClient(address)
    found = [log_of(row) for row in client.find("t")]
    client.close()
    return found


@pytest.mark.usefixtures("trial")
def test_the_db_manager_that_the_caller_names_gets_the_metrics(address: str) -> None:
    pykatib.report_metrics({"loss": 0.5, "accuracy": "0.25"}, address, 30, timestamp=1.5)
    assert found_at(address) == [MetricLog(1.5, "loss", "0.5"), MetricLog(1.5, "accuracy", "0.25")]


@pytest.mark.usefixtures("trial")
def test_the_db_manager_of_the_environment_gets_the_metrics(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATIB_DB_MANAGER_ADDR", address)
    for step in range(2):
        pykatib.report_metrics({"loss": 0.5}, timestamp=1.5, step=step)
    assert found_at(address) == [MetricLog(1.5, "loss", "0.5")] * 2


@pytest.mark.usefixtures("trial")
def test_a_file_comes_before_the_wire(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYKATIB_METRICS_FILE", str(tmp_path / "metrics"))
    pykatib.report_metrics({"loss": 0.5}, db_manager_address=address)
    assert '"loss": "0.5"' in (tmp_path / "metrics").read_text()
    assert found_at(address) == []


@pytest.mark.usefixtures("trial")
def test_where_there_is_nowhere_to_report_to_it_is_said() -> None:
    with pytest.raises(NotSupported, match="neither PYKATIB_METRICS_FILE nor KATIB_DB_MANAGER_ADDR is set"):
        pykatib.report_metrics({"loss": 0.5})


@pytest.mark.usefixtures("trial")
def test_a_db_manager_that_never_answers_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="the DB manager at 127"):
        pykatib.report_metrics({"loss": 0.5}, f"127.0.0.1:{free_port()}", 0.5)
