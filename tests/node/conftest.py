"""One real node with pykatib installed on it, for all of these tests.

Tests of one run that are spread over several processes share it: the last to leave takes down what was brought up. A
node that was found running is left running, and an installation that was found there is left there.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from installation import Installation
from node_images import ImageStore
from real_node import RealNode, Unstartable


class _Shared(NamedTuple):
    users: int
    is_node_ours: bool
    is_installation_ours: bool


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """The node, with the operator, the DB manager and a database ready on it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    lock, state = shared / "node.lock", shared / "node.json"
    node = RealNode()
    installation = Installation(node)
    with _locked(lock):
        if state.exists():
            known = _Shared(*json.loads(state.read_text()))
        else:
            try:
                known = _begin(node, installation)
            except Unstartable as reason:
                pytest.skip(str(reason))
            except BaseException:
                node.stop()
                raise
        state.write_text(json.dumps(known._replace(users=known.users + 1)))
    yield node
    with _locked(lock):
        known = _Shared(*json.loads(state.read_text()))
        known = known._replace(users=known.users - 1)
        state.write_text(json.dumps(known))
        if not known.users:
            state.unlink()
            node.was_started = known.is_node_ours
            if known.is_node_ours:
                node.stop()  # and all that is on it is thrown away
                installation.remove_data()
            elif known.is_installation_ours:
                installation.remove()


def _begin(node: RealNode, installation: Installation) -> _Shared:
    node.check()
    store = ImageStore(node.folder / "pykatib-images")
    node.start()
    is_ours = not installation.is_there()
    installation.apply(has_new_images=store.load_all(node))
    return _Shared(0, node.was_started, is_ours)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failing test tells what the node's Pods say."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # what a wrapper is sent
    if report.failed and isinstance(item, pytest.Function) and isinstance(known := item.funcargs.get("node"), RealNode):
        report.sections.append(("the node", Installation(known).news()))
    return report  # type: ignore[return-value]
