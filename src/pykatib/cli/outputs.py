"""Where the output of Trials is."""

from pykatib.api import names
from pykatib.api.trial import Trial
from pykatib.embedded.folders import HomeFolders
from pykatib.workers.attempts import AttemptFolder, attempts_in
from pykatib.workers.logfile import last_lines


def attempts_of(folders: HomeFolders, trial: Trial) -> list[AttemptFolder]:
    """The attempts to run a Trial, in order."""
    meta = trial.metadata
    return attempts_in(folders.trial(meta.namespace, meta.labels.get(names.LABEL_EXPERIMENT, ""), meta.name))


def last_output(folders: HomeFolders, trial: Trial, count: int) -> str:
    """The last lines of a Trial's last attempt; empty where it printed nothing."""
    attempts = attempts_of(folders, trial)
    return last_lines(attempts[-1].log, count) if attempts else ""
