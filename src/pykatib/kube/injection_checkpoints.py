"""The checkpoint folder in a Trial's Pod: the volume at the path that the algorithm names, filled before the program.

An init container copies the parent's folder and gives it its name in one move; without a parent it makes an empty one.
It needs a shell, cp and chmod, which images of collectors have. Whose files those are depends on the images, so it is
the primary container's user where that is known, else root, and everybody may write in what it leaves. A Pod that is
made again begins with its parent's folder once more; a container that is restarted in its Pod does not.
"""

from collections.abc import Mapping
from typing import Any, Final

from pykatib.algorithms.lineage import Lineage

CHECKPOINT_VOLUME: Final = "suggestion-volume"
COPIER: Final = "checkpoint-copier"
FOLDER: Final = "/katib-checkpoints"

_SCRIPT: Final = """\
set -eu
own=$1 parent=$2
cd "$3"
if [ -n "$parent" ] && [ ! -d "$parent" ]; then
    echo "the checkpoint folder of its parent, the Trial $parent, is not on the volume" >&2
    exit 1
fi
rm -rf "$own.partial"
if [ -n "$parent" ]; then
    cp -a "$parent" "$own.partial"
else
    mkdir "$own.partial"
fi
chmod -R a+rwX "$own.partial"
if [ -e "$own" ]; then
    gone=$own.gone
    while [ -e "$gone" ]; do gone=$gone-; done
    mv "$own" "$gone"
    rm -rf "$gone" || true
fi
mv "$own.partial" "$own"
"""


def copier_words(own: str, parent: str, folder: str = FOLDER) -> list[str]:
    """What the init container runs, before Kubernetes has a look at its dollars."""
    return ["sh", "-c", _SCRIPT, COPIER, own, parent, folder]


def checkpoint_copier(
    *,
    experiment: str,
    trial: str,
    lineage: Lineage,
    image: str,
    image_pull_policy: str,
    resources: Mapping[str, Any],
    security_context: Mapping[str, Any],
) -> dict[str, Any]:
    """The init container."""
    return {
        "name": COPIER,
        "image": image,
        "imagePullPolicy": image_pull_policy,
        "command": [word.replace("$", "$$") for word in copier_words(trial, lineage.parent)],
        "resources": dict(resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": dict(security_context),
        "volumeMounts": [{"name": CHECKPOINT_VOLUME, "mountPath": FOLDER, "subPath": experiment}],
    }


def copier_security_context(primary: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """The primary container's rights; root's where nobody says who that is."""
    context = {name: value for name, value in primary.items() if name != "readOnlyRootFilesystem"}
    user = primary.get("runAsUser", pod.get("runAsUser"))
    if user is None and not primary.get("runAsNonRoot", pod.get("runAsNonRoot")):
        context["runAsUser"] = 0
    return context
