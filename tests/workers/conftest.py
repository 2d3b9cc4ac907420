from collections.abc import Iterator
from pathlib import Path

import pytest
from job_bench import JobBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[JobBench]:
    bench = JobBench(tmp_path)
    try:
        yield bench
    finally:
        bench.end()
