"""Removes the folders of Experiments and Trials that were deleted, once nothing writes there any more.

A process that is being ended may still write into its folder, so folders go when the owner lets go of the home, after
its runners have ended everything. What a killed owner left behind goes with the next one.
"""

import os
import shutil
from pathlib import Path

from pykatib.api import names
from pykatib.api.trial import Trial
from pykatib.embedded.folders import HomeFolders
from pykatib.store.contract import Change, Store


class FolderCleaner:
    """Takes note of what is deleted; `close` removes its folders."""

    def __init__(self, store: Store, folders: HomeFolders) -> None:
        self._store = store
        self._folders = folders
        self._gone: set[tuple[str, str, str]] = set()
        self._subscription = store.subscribe((names.TRIAL,), self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new is None and isinstance(change.old, Trial):
            meta = change.old.metadata
            self._gone.add((meta.namespace, meta.labels.get(names.LABEL_EXPERIMENT, ""), meta.name))

    def close(self) -> None:
        """Removes the folders of what is gone."""
        self._subscription.close()
        there = (
            {(trial.metadata.namespace, trial.metadata.name) for trial in self._store.list(names.TRIAL)}
            if self._gone
            else set()
        )
        for namespace, experiment, trial in self._gone:
            if (namespace, trial) not in there:  # a Trial may come back under its name
                shutil.rmtree(self._folders.trial(namespace, experiment, trial), ignore_errors=True)
        kept = {
            self._folders.experiment(found.metadata.namespace, found.metadata.name)
            for found in self._store.list(names.EXPERIMENT)
        }
        for namespace_folder in _folders_in(self._folders.root / "trials"):
            for folder in _folders_in(namespace_folder):
                if folder not in kept:
                    shutil.rmtree(folder, ignore_errors=True)
            try:
                namespace_folder.rmdir()
            except OSError:
                pass  # something is left in it


def _folders_in(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
