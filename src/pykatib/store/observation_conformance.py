"""What every ObservationStore must do, as tests. A new one supplies the `observations` fixture and inherits the rest:

    class TestMyObservations(ObservationConformance):
        @pytest.fixture
        def observations(self) -> Iterator[ObservationStore]: ...

Times in here are whole microseconds, the finest that every database keeps.
"""

import itertools

import pytest

from pykatib.api.shared import MetricLog
from pykatib.store.contract import ObservationStore

NOW = 1_750_000_000.0


def log(second: float, value: str, name: str = "loss") -> MetricLog:
    """A log, `second` seconds after an arbitrary moment."""
    return MetricLog(NOW + second, name, value)


class ObservationConformance:
    """The contract of `pykatib.store.contract.ObservationStore`."""

    @pytest.fixture
    def observations(self) -> ObservationStore:
        """An empty store."""
        raise NotImplementedError("a subclass supplies the store")

    def test_a_trial_without_logs_has_none(self, observations: ObservationStore) -> None:
        assert [*observations.logs("n", "t")] == []
        assert observations.latest("n", "t") == {}
        observations.report("n", "t", [])
        assert [*observations.logs("n", "t")] == []

    def test_logs_come_by_time(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(2, "b"), log(1, "a", "accuracy")])
        observations.report("n", "t", [log(3, "d"), log(2.5, "c")])
        assert [found.value for found in observations.logs("n", "t")] == ["a", "b", "c", "d"]

    def test_logs_of_one_time_come_by_arrival_across_metrics(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(1, "1"), log(1, "2", "accuracy"), log(1, "3")])
        observations.report("n", "t", [log(1, "4", "accuracy"), log(0, "0")])
        assert [found.value for found in observations.logs("n", "t")] == ["0", "1", "2", "3", "4"]

    def test_logs_are_kept_to_the_letter(self, observations: ObservationStore) -> None:
        given = [
            log(index / 1_000_000, value, name)
            for index, (value, name) in enumerate(
                itertools.product(["0.10", "NaN", "-Infinity", "1e-400", "ok"], ["loss", "Validation-accuracy", "π"])
            )
        ]
        observations.report("n", "t", given)
        assert [*observations.logs("n", "t")] == given

    def test_logs_without_a_time_come_first(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(1, "later"), MetricLog(0.0, "loss", "no time")])
        assert [found.value for found in observations.logs("n", "t")] == ["no time", "later"]
        assert observations.latest("n", "t")["loss"].value == "later"

    def test_reporting_twice_adds_twice(self, observations: ObservationStore) -> None:
        for _ in range(2):
            observations.report("n", "t", [log(1, "a")])
        assert [*observations.logs("n", "t")] == [log(1, "a"), log(1, "a")]

    @pytest.mark.parametrize(
        ("start", "end", "values"),
        [
            pytest.param(None, None, ["0", "1", "2", "3"], id="no bounds"),
            pytest.param(1, None, ["1", "2", "3"], id="start is inclusive"),
            pytest.param(None, 2, ["0", "1", "2"], id="end is inclusive"),
            pytest.param(1, 2, ["1", "2"], id="both"),
            pytest.param(1.5, 1.75, [], id="nothing between"),
            pytest.param(3, 1, [], id="backwards"),
        ],
    )
    def test_logs_are_bounded_by_time(
        self, observations: ObservationStore, start: float | None, end: float | None, values: list[str]
    ) -> None:
        observations.report("n", "t", [log(second, str(second)) for second in range(4)])
        found = observations.logs(
            "n", "t", start=None if start is None else NOW + start, end=None if end is None else NOW + end
        )
        assert [one.value for one in found] == values

    def test_logs_are_selected_by_metric(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(1, "a"), log(2, "b", "accuracy"), log(3, "c")])
        assert [found.value for found in observations.logs("n", "t", metric_name="loss")] == ["a", "c"]
        assert [*observations.logs("n", "t", metric_name="los")] == []

    def test_trials_of_one_name_in_two_namespaces_are_two(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(1, "a")])
        observations.report("m", "t", [log(2, "b")])
        assert [*observations.logs("m", "t")] == [log(2, "b")]
        observations.delete("m", "t")
        assert [*observations.logs("n", "t")] == [log(1, "a")]

    def test_latest_is_the_last_log_of_each_metric(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(1, "a"), log(2, "b"), log(1, "c", "accuracy")])
        assert observations.latest("n", "t") == {"loss": log(2, "b"), "accuracy": log(1, "c", "accuracy")}

    def test_latest_goes_by_time_then_arrival(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(2, "first")])
        assert observations.latest("n", "t")["loss"].value == "first"
        observations.report("n", "t", [log(1, "older")])
        assert observations.latest("n", "t")["loss"].value == "first"
        observations.report("n", "t", [log(2, "second")])
        assert observations.latest("n", "t")["loss"].value == "second"

    def test_deleted_logs_are_gone(self, observations: ObservationStore) -> None:
        observations.delete("n", "t")
        observations.report("n", "t", [log(1, "a")])
        assert observations.latest("n", "t")
        observations.delete("n", "t")
        assert [*observations.logs("n", "t")] == []
        assert observations.latest("n", "t") == {}

    def test_a_trial_can_report_again_after_deletion(self, observations: ObservationStore) -> None:
        observations.report("n", "t", [log(1, "a"), log(5, "z", "accuracy")])
        observations.delete("n", "t")
        observations.report("n", "t", [log(2, "b")])
        assert [*observations.logs("n", "t")] == [log(2, "b")]
        assert observations.latest("n", "t") == {"loss": log(2, "b")}

    def test_many_logs_come_whole_and_in_order(self, observations: ObservationStore) -> None:
        given = [log(index // 3, str(index), f"metric-{index % 2}") for index in range(3_000)]
        for first in range(0, len(given), 700):
            observations.report("n", "t", given[first : first + 700])
        assert [*observations.logs("n", "t")] == given
        assert [*observations.logs("n", "t", metric_name="metric-1")] == given[1::2]
        assert observations.latest("n", "t") == {"metric-0": given[-2], "metric-1": given[-1]}

    def test_reading_goes_on_while_others_report(self, observations: ObservationStore) -> None:
        given = [log(index, str(index)) for index in range(2_000)]
        observations.report("n", "t", given)
        reading = iter(observations.logs("n", "t"))
        found = [next(reading) for _ in range(10)]
        observations.report("n", "u", [log(0, "x")])
        found += reading
        assert found == given
