from pathlib import Path

import pytest
from cli_support import Katib


@pytest.fixture
def katib(tmp_path: Path) -> Katib:
    """The command line on an empty home."""
    return Katib(tmp_path)
