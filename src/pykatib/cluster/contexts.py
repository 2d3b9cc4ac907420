"""Which cluster is meant: a context of a kubeconfig, found where kubectl looks for it, with advice where it is not.

`.` is the current context; within a Pod that has no kubeconfig, it is the Pod's own cluster and service account.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.schema_walk import did_you_mean
from pykatib.store.kubernetes.api_server import ApiServer

CURRENT = "."
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class _Named(msgspec.Struct):
    name: str = ""


class _Cluster(msgspec.Struct):
    server: str = ""


class _ClusterEntry(msgspec.Struct):
    name: str = ""
    cluster: _Cluster = msgspec.field(default_factory=_Cluster)


class _Context(msgspec.Struct):
    cluster: str = ""
    user: str = ""


class _ContextEntry(msgspec.Struct):
    name: str = ""
    context: _Context = msgspec.field(default_factory=_Context)


class _Kubeconfig(msgspec.Struct):
    """As much of a kubeconfig as it takes to give advice."""

    current: str | None = msgspec.field(default=None, name="current-context")
    clusters: list[_ClusterEntry] | None = None
    users: list[_Named] | None = None
    contexts: list[_ContextEntry] | None = None


class Connection(NamedTuple):
    """A cluster that can be asked, though it has not been yet."""

    server: ApiServer
    context: str  # empty for the cluster around this Pod
    namespace: str
    address: str

    def __str__(self) -> str:
        return f"the cluster of context {self.context!r} ({self.address})" if self.context else "this Pod's cluster"


def kubeconfig_files(option: str | None, environment: Mapping[str, str]) -> list[Path]:
    """The files to look into: the option's, else those of KUBECONFIG, else `~/.kube/config`."""
    if option:
        return [Path(option).expanduser()]
    listed = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in listed] or [Path("~/.kube/config").expanduser()]


def connect(kubeconfig: str | None, context: str | None) -> Connection:
    """The cluster of a context (None or `.`: the current one).

    Raises:
        InvalidInput: there is no such kubeconfig or context, or it cannot be used.
    """
    wanted = None if context in (None, "", CURRENT) else context
    files = kubeconfig_files(kubeconfig, os.environ)
    there = [file for file in files if file.is_file()]
    if not there and wanted is None and not kubeconfig and _IN_POD.exists():
        server = ApiServer.connect()
        return Connection(server, "", server.namespace, "")
    if not there:
        places = ", ".join(map(str, files))
        text = "there is no such file" if kubeconfig else "there is no kubeconfig; name one with --kubeconfig"
        raise InvalidInput([FieldError("", text)], source=places)
    configs = {file: _read(file) for file in there}
    name = wanted or next((config.current for config in configs.values() if config.current), None)
    if name is None:
        raise InvalidInput(
            [FieldError("current-context", f"is not set; choose one with --context: {_known(configs)}")],
            source=str(there[0]),
        )
    for file, config in configs.items():
        for entry in config.contexts or ():
            if entry.name == name:
                address = _check(file, config, entry)
                server = ApiServer.connect(str(file), context=name)
                return Connection(server, name, server.namespace, address)
    names = _names(configs)
    hint = did_you_mean(name, names) or f"; there are: {_known(configs)}"
    raise InvalidInput(
        [FieldError("--context" if wanted else "current-context", f"there is no context {name!r}{hint}")],
        source=", ".join(map(str, there)),
    )


def _read(file: Path) -> _Kubeconfig:
    try:
        return msgspec.convert(yaml.safe_load(file.read_bytes()) or {}, _Kubeconfig)
    except OSError as error:
        raise InvalidInput([FieldError("", f"cannot be read: {error.strerror}")], source=str(file)) from error
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise InvalidInput([FieldError("", f"this is no kubeconfig: {text}")], source=str(file)) from error


def _names(configs: Mapping[Path, _Kubeconfig]) -> list[str]:
    return [entry.name for config in configs.values() for entry in config.contexts or ()]


def _known(configs: Mapping[Path, _Kubeconfig]) -> str:
    return ", ".join(_names(configs)) or "none"


def _check(file: Path, config: _Kubeconfig, entry: _ContextEntry) -> str:
    """The server's address. Raises InvalidInput where the file names what it does not have."""
    clusters = {each.name: each.cluster for each in config.clusters or ()}
    path = f"contexts[{entry.name}]"
    if entry.context.cluster not in clusters:
        text = f"there is no cluster {entry.context.cluster!r} in this file"
        raise InvalidInput([FieldError(f"{path}.cluster", text)], source=str(file))
    if entry.context.user not in {each.name for each in config.users or ()}:
        text = f"there is no user {entry.context.user!r} in this file"
        raise InvalidInput([FieldError(f"{path}.user", text)], source=str(file))
    return clusters[entry.context.cluster].server
