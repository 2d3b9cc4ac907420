"""Where a home folder keeps things. Names come from manifests; no name leads out of the folder.

katib.db                                        objects, events, metric logs
home-id                                         marks the processes that belong to this home
trials/<namespace>/<experiment>/<trial>/<n>/    attempt n of a Trial: output.log, exit.json, volumes/
"""

import hashlib
import os
import re
import secrets
from pathlib import Path
from urllib.parse import quote

from pykatib.api.errors import StorageFailed

_PLAIN = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9_])?")
_LONGEST_SEGMENT = 200


def default_home() -> Path:
    """`$KATIB_HOME`, else `.katib` in the user's home directory."""
    given = os.environ.get("KATIB_HOME")
    return Path(given) if given else Path.home() / ".katib"


def segment(name: str) -> str:
    """A file name for a name from a manifest: itself where it is harmless, else with all but letters escaped."""
    if _PLAIN.fullmatch(name) and len(name) <= _LONGEST_SEGMENT:
        return name
    escaped = "_" + quote(name, safe="", errors="surrogatepass").replace(".", "%2E")
    if len(escaped) <= _LONGEST_SEGMENT:
        return escaped
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).hexdigest()  # so that no two are one
    return f"{escaped[: _LONGEST_SEGMENT - len(digest) - 1]}-{digest}"


class HomeFolders:
    """The paths of a home folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.root / "katib.db"

    def make(self) -> None:
        """Makes the folder. Raises StorageFailed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            advice = "choose another with --home or KATIB_HOME"
            raise StorageFailed(f"cannot make the home folder {self.root}: {error.strerror}; {advice}") from error

    def home_id(self) -> str:
        """What marks this home's processes; made once. Raises StorageFailed."""
        path = self.root / "home-id"
        try:
            try:
                text = path.read_text(errors="replace").strip()
            except FileNotFoundError:
                text = ""
            if not re.fullmatch(r"[0-9a-f]{16}", text):
                text = secrets.token_hex(8)
                path.write_text(text + "\n")
        except OSError as error:
            raise StorageFailed(f"cannot keep {path}: {error.strerror}") from error
        return text

    def experiment(self, namespace: str, name: str) -> Path:
        """All that is kept of an Experiment's Trials."""
        return self.root / "trials" / segment(namespace) / segment(name)

    def trial(self, namespace: str, experiment: str, trial: str) -> Path:
        """All attempts of a Trial."""
        return self.experiment(namespace, experiment) / segment(trial)
