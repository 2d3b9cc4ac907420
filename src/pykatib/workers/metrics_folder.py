"""Where a Trial's metrics files are on this machine.

The cluster mounts an empty folder over the one that metrics are read from, so each Trial writes its own. Here that
folder is the Trial's own too, by the same rewriting of paths as volumes have. Two cases need care:

* The command names a folder above it, as in `--log-path=/logs` with metrics in `/logs/test`. Where `/logs` is not
  there otherwise, all of it becomes the Trial's own.
* A volume that Trials share lies over it. A folder below the volume still becomes the Trial's own, if the command
  names it whole; else this is said, for the metrics of Trials that run at the same time would mix.
"""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pykatib.api import names
from pykatib.api.defaults import DEFAULT_METRICS_FILE, DEFAULT_TENSORFLOW_FOLDER
from pykatib.api.shared import MetricsCollectorSpec
from pykatib.workers.findings import Findings
from pykatib.workers.volumes import container_path, paths_in


class MetricsSource(msgspec.Struct, frozen=True):
    """The path within the container that a collector reads, and whether it is a file's or a folder's."""

    path: str
    is_file: bool

    @property
    def folder(self) -> str:
        """The folder that the cluster would mount."""
        return posixpath.dirname(self.path) if self.is_file else self.path


def metrics_source(collector: MetricsCollectorSpec | None) -> MetricsSource | None:
    """What a Trial's collector reads; None where it reads no file."""
    if collector is None or collector.kind not in (names.FILE, names.TENSORFLOW_EVENT, names.CUSTOM):
        return None
    written = collector.source.file_system_path if collector.source is not None else None
    path, kind = (written.path, written.kind) if written is not None else ("", "")
    if not path:
        if collector.kind == names.CUSTOM:
            return None
        path = DEFAULT_TENSORFLOW_FOLDER if collector.kind == names.TENSORFLOW_EVENT else DEFAULT_METRICS_FILE
    is_file = kind != "Directory" if kind else collector.kind != names.TENSORFLOW_EVENT
    return MetricsSource(container_path(path), is_file)


def metrics_mount(
    source: MetricsSource,
    *,
    mounts: Mapping[str, Path],
    texts: Iterable[str],
    image_folder: Path | None,
    attempt_folder: Path,
    path: str,
    findings: Findings,
) -> tuple[str, Path] | None:
    """The mount to add for a collector: container path and local one. None where a volume serves already.

    `texts` are the container's arguments and variables, as the container would see them.
    """
    folder = source.folder
    own = attempt_folder / "metrics"
    if folder == "/":
        return source.path, own / posixpath.basename(source.path)
    named = paths_in(texts)
    is_named = any(one == folder or one.startswith(folder + "/") for one in named)
    over = max((mount for mount in mounts if folder == mount or folder.startswith(mount + "/")), key=len, default=None)
    if over is not None:
        if mounts[over].is_relative_to(attempt_folder):
            return None
        if over == folder:
            message = (
                f"Trials share {over}, and their metrics are read from there; those of Trials at the same time mix"
            )
            findings.warn(f"{path}.volumeMounts", message)
            return None
        if not is_named:
            findings.warn(f"{path}.volumeMounts", _mixing(folder, over, "Trials share that"))
        return folder, own
    for one in sorted((one for one in named if one != "/" and folder.startswith(one + "/")), key=len):
        there = image_folder / one.lstrip("/") if image_folder is not None else Path(one)
        if not there.exists():
            return one, own
        if not is_named:
            findings.warn(f"{path}.command", _mixing(folder, one, "that is there already"))
    return folder, own


def _mixing(folder: str, named: str, why: str) -> str:
    return (
        f"metrics are read from {folder}, but the command only names {named}, and {why}; "
        f"name {folder} in the command, or metrics may not be found"
    )
