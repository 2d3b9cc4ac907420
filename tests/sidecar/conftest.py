import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "rpc"))  # DB managers for tests are there


@pytest.fixture
def db_manager(tmp_path: Path) -> Iterator[str]:
    """The address of a DB manager on SQLite."""
    from db_manager_support import serving
    from sqlalchemy import URL

    with serving(URL.create("sqlite", database=str(tmp_path / "logs.db"))) as address:
        yield address


@pytest.fixture
def pod(tmp_path: Path, db_manager: str) -> Iterator[object]:
    """A Pod that reports there."""
    from scene import Pod

    scene = Pod(tmp_path, db_manager)
    yield scene
    scene.close()
