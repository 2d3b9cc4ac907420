"""A pod's volumes as folders and files of this machine, and the paths under which a process finds them.

A local process does not see mounts. Instead, every path at or below a mount path that its manifest writes in the
command or in a variable is replaced by the folder that the volume is. A path within a text counts when it begins at
the start or after a space, quote, `=`, `:`, `,` or opening bracket and ends before one of those or a closing bracket:
`/data` in `--in=/data/a.csv,/data/b.csv` twice, in `/database` or `$HOME/data` not. A program that has a mount path
built in, unseen by the manifest, is not helped.
"""

import posixpath
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pykatib.api import names
from pykatib.api.job import Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Volume, VolumeProjection
from pykatib.workers.environment import Lookup, PodIdentity, absent, expand, field_value, keys_of, resource_value
from pykatib.workers.findings import Findings
from pykatib.workers.slots import Machine

_START = r"\s=:,;(\[{<>|&"
_PATH = re.compile(
    rf"""(?:^|(?<=[{_START}])|(?<=^["'`])|(?<=[{_START}]["'`])|(?<=file://))"""  # where a path may begin
    rf"""/(?!/)[^{_START}"'`)\]}}]*"""
)
_VOLUME_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SOURCES = {field.name: field.encode_name for field in msgspec.structs.fields(Volume) if field.name != "name"}

_MODE: Final = 0o644
_SECRET_MODE: Final = 0o600  # the cluster's is 0644, but there nobody else is on the machine

_INSTEAD: Final = "a hostPath volume with a folder of this machine would do"
_REFUSED: Final = {
    "persistent_volume_claim": f"claims need a cluster; {_INSTEAD}",
    "ephemeral": f"ephemeral claims need a cluster; {_INSTEAD}, or an emptyDir",
    "csi": f"storage drivers need a cluster; {_INSTEAD}",
    "image": f"images are not pulled; {_INSTEAD}",
    "git_repo": "was removed from Kubernetes; an init container that clones into an emptyDir would do",
}


def container_path(path: str) -> str:
    """An absolute path in its one form. (Two slashes in front are special to POSIX and to nobody here.)"""
    return "/" + posixpath.normpath(path).lstrip("/")


class PlannedFile(msgspec.Struct, frozen=True):
    """A file to be written before the first process starts; with `keep`, only where there is none."""

    path: Path
    content: bytes
    mode: int = 0o644
    keep: bool = False


class VolumePlan(msgspec.Struct, frozen=True):
    """Where each volume is, by name, and what must be made for it."""

    paths: dict[str, Path] = {}
    folders: tuple[Path, ...] = ()
    files: tuple[PlannedFile, ...] = ()


class PathMap(msgspec.Struct, frozen=True):
    """From a container's paths to this machine's: mounts, longest first, then what exists in the image's folder."""

    mounts: tuple[tuple[str, Path], ...] = ()
    image_folder: Path | None = None

    def mounted(self, path: str) -> str | None:
        """The local path of one that lies at or below a mount; None for any other."""
        clean = container_path(path)
        for mount_path, local in self.mounts:
            if clean == mount_path or clean.startswith(mount_path + "/"):
                tail = clean[len(mount_path) :]
                return str(local) + tail + ("/" if path.endswith("/") else "")
        return None

    def local(self, path: str) -> str | None:
        """The local path of one that is mounted or that exists in the image's folder; None for any other."""
        mounted = self.mounted(path)
        if mounted is not None or self.image_folder is None:
            return mounted
        clean = container_path(path).lstrip("/")
        if not clean:
            return None
        found = self.image_folder / clean
        return str(found) + ("/" if path.endswith("/") else "") if found.exists() else None

    def rewrite(self, text: str) -> str:
        """The text with every path in it that is known replaced by the local one."""
        if "/" not in text:
            return text
        rewritten = _PATH.sub(lambda match: self.local(match[0]) or match[0], text)
        if rewritten == text and text.startswith("/"):  # one path, perhaps with spaces in it
            return self.local(text) or text
        return rewritten


def paths_in(texts: Iterable[str]) -> set[str]:
    """The absolute paths that stand in the texts."""
    return {container_path(match[0]) for text in texts for match in _PATH.finditer(text)}


def plan_volumes(
    volumes: Sequence[Volume],
    *,
    path: str,
    folder: Path,
    pod: PodIdentity,
    containers: Sequence[Container],
    machine: Machine,
    lookup: Lookup,
    findings: Findings,
) -> VolumePlan:
    """Where the volumes of a pod are: those that live with the pod below `folder`."""
    paths: dict[str, Path] = {}
    folders: list[Path] = []
    files: list[PlannedFile] = []
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        if not _VOLUME_NAME.fullmatch(volume.name):
            findings.refuse(f"{at}.name", f"found {volume.name!r}; a name is made of a-z, 0-9 and -")
            continue
        if volume.name in paths:
            findings.refuse(f"{at}.name", f"{volume.name!r} is there twice")
            continue
        sources = [name for name in _SOURCES if getattr(volume, name) is not None]
        if len(sources) > 1:
            findings.refuse(at, f"has {' and '.join(_SOURCES[name] for name in sources)}; only one of them may be")
            continue
        source = sources[0] if sources else "empty_dir"
        home = paths[volume.name] = folder / volume.name
        if volume.host_path is not None:
            paths[volume.name] = Path(volume.host_path.path)
            _check_host_path(volume.host_path, f"{at}.hostPath", folders, files, findings)
        elif source == "empty_dir":
            folders.append(home)
        elif source in ("config_map", "secret", "downward_api", "projected"):
            folders.append(home)
            contents = _Contents(
                home, pod=pod, containers=containers, machine=machine, lookup=lookup, findings=findings
            )
            contents.add(volume, at)
            files.extend(contents.files.values())
        else:
            reason = _REFUSED.get(source, f"needs a cluster or a mounted file system; {_INSTEAD}")
            findings.refuse(f"{at}.{_SOURCES[source]}", reason)
    return VolumePlan(paths, tuple(folders), tuple(files))


def mount_points(
    container: Container,
    *,
    path: str,
    volumes: VolumePlan,
    variables: Mapping[str, str],
    findings: Findings,
) -> tuple[dict[str, Path], tuple[Path, ...]]:
    """The local path of each of a container's mounts, and the folders that must be made for their sub-paths."""
    mounts: dict[str, Path] = {}
    folders: list[Path] = []
    planned = {file.path for file in volumes.files}
    for index, mount in enumerate(container.volume_mounts):
        at = f"{path}.volumeMounts[{index}]"
        local = volumes.paths.get(mount.name)
        if local is None:
            there = ", ".join(volumes.paths) or "none"
            findings.refuse(f"{at}.name", f"there is no volume {mount.name!r}; there are {there}")
            continue
        mount_path = container_path(mount.mount_path)
        if not mount.mount_path.startswith("/") or mount_path.strip("/") == "":
            findings.refuse(f"{at}.mountPath", f"found {mount.mount_path!r}; an absolute path below / is needed")
            continue
        if mount_path in mounts:
            findings.refuse(f"{at}.mountPath", f"{mount_path} is mounted twice")
            continue
        sub_path = expand(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
        if sub_path.startswith("/") or ".." in sub_path.split("/") or (mount.sub_path_expr and "$(" in sub_path):
            member = "subPathExpr" if mount.sub_path_expr else "subPath"
            findings.refuse(f"{at}.{member}", f"found {sub_path!r}; a path within the volume is needed")
            continue
        if sub_path:
            local = local / sub_path
            if local not in planned and not local.exists():
                folders.append(local)
        if mount.read_only:
            findings.warn(f"{at}.readOnly", "is not enforced on this machine")
        mounts[mount_path] = local
    return mounts, tuple(folders)


def _check_host_path(
    source: HostPathVolumeSource, at: str, folders: list[Path], files: list[PlannedFile], findings: Findings
) -> None:
    local = Path(source.path)
    if not local.is_absolute() or ".." in local.parts:
        findings.refuse(f"{at}.path", f"found {source.path!r}; an absolute path without .. is needed")
        return
    if source.type == "DirectoryOrCreate" and not local.exists():
        folders.append(local)
        return
    if source.type == "FileOrCreate" and not local.exists():
        files.append(PlannedFile(local, b"", keep=True))
        return
    checks: dict[str, Callable[[int], bool]] = {
        "": lambda mode: True,
        "Directory": stat.S_ISDIR,
        "DirectoryOrCreate": stat.S_ISDIR,
        "File": stat.S_ISREG,
        "FileOrCreate": stat.S_ISREG,
        "Socket": stat.S_ISSOCK,
        "CharDevice": stat.S_ISCHR,
        "BlockDevice": stat.S_ISBLK,
    }
    if source.type not in checks:
        findings.refuse(f"{at}.type", f"found {source.type!r}; one of {', '.join(filter(None, checks))}")
        return
    try:
        mode = local.stat().st_mode
    except OSError as error:
        hint = "make it, or say type: DirectoryOrCreate" if source.type in ("", "Directory") else "make it first"
        findings.refuse(f"{at}.path", f"{local} cannot be used ({error.strerror}); {hint}")
        return
    if not checks[source.type](mode):
        findings.refuse(f"{at}.path", f"{local} is there, but is no {source.type}")


class _Keys(msgspec.Struct, frozen=True):
    """Which keys of a ConfigMap or Secret become files; all where no items are named."""

    kind: str
    name: str
    items: Sequence[KeyToPath]
    optional: bool
    mode: int


class _Contents:
    """Gathers the files of one configMap, secret, downwardAPI or projected volume."""

    def __init__(
        self,
        home: Path,
        pod: PodIdentity,
        containers: Sequence[Container],
        machine: Machine,
        lookup: Lookup,
        findings: Findings,
    ) -> None:
        self.files: dict[Path, PlannedFile] = {}
        self._home, self._pod, self._containers = home, pod, containers
        self._machine, self._lookup, self._findings = machine, lookup, findings

    def add(self, volume: Volume, at: str) -> None:
        """The files of a volume."""
        if (config := volume.config_map) is not None:
            mode = config.default_mode or _MODE
            self._keys(_Keys(names.CONFIG_MAP, config.name, config.items, config.optional, mode), f"{at}.configMap")
        elif (secret := volume.secret) is not None:
            mode = secret.default_mode or _SECRET_MODE
            self._keys(_Keys(names.SECRET, secret.secret_name, secret.items, secret.optional, mode), f"{at}.secret")
        elif (downward := volume.downward_api) is not None:
            self._downward(downward.items, f"{at}.downwardAPI", downward.default_mode or _MODE)
        elif (projected := volume.projected) is not None:
            for index, source in enumerate(projected.sources):
                self._project(source, f"{at}.projected.sources[{index}]", projected.default_mode)

    def _project(self, source: VolumeProjection, at: str, mode: int | None) -> None:
        if (config := source.config_map) is not None:
            keys = _Keys(names.CONFIG_MAP, config.name, config.items, config.optional, mode or _MODE)
            self._keys(keys, f"{at}.configMap")
        elif (secret := source.secret) is not None:
            keys = _Keys(names.SECRET, secret.name, secret.items, secret.optional, mode or _SECRET_MODE)
            self._keys(keys, f"{at}.secret")
        elif source.downward_api is not None:
            self._downward(source.downward_api.items, f"{at}.downwardAPI", mode or _MODE)
        else:
            self._findings.refuse(at, "needs a cluster; configMap, secret and downwardAPI do not")

    def _keys(self, wanted: "_Keys", at: str) -> None:
        try:
            keys = keys_of(wanted.kind, self._pod.namespace, wanted.name, self._lookup)
        except ValueError as error:
            self._findings.refuse(at, str(error))
            return
        if keys is None:
            if not wanted.optional:
                self._findings.refuse(at, absent(wanted.kind, wanted.name))
            return
        for key, content in keys.items() if not wanted.items else ():
            self._file(key, content, wanted.mode, at)
        for index, item in enumerate(wanted.items):
            within = f"{at}.items[{index}]"
            if item.key in keys:
                self._file(item.path, keys[item.key], item.mode or wanted.mode, f"{within}.path")
            elif not wanted.optional:
                self._findings.refuse(f"{within}.key", f"{wanted.kind} {wanted.name!r} has no key {item.key!r}")

    def _downward(self, items: Sequence[DownwardAPIVolumeFile], at: str, mode: int) -> None:
        for index, item in enumerate(items):
            within = f"{at}.items[{index}]"
            text: str | None = None
            if item.field_ref is not None:
                text = _whole_map(item.field_ref.field_path, self._pod)
                if text is None:
                    text = field_value(item.field_ref.field_path, self._pod)
                if text is None:
                    self._findings.refuse(f"{within}.fieldRef.fieldPath", f"found {item.field_ref.field_path!r}")
            elif (selector := item.resource_field_ref) is not None:
                owner = next((one for one in self._containers if one.name == selector.container_name), None)
                try:
                    if owner is None:
                        raise ValueError(f"there is no container {selector.container_name!r}")
                    text = resource_value(selector, owner.resources, self._machine)
                except ValueError as error:
                    self._findings.refuse(f"{within}.resourceFieldRef", str(error))
            else:
                self._findings.refuse(within, "needs fieldRef or resourceFieldRef")
            if text is not None:
                self._file(item.path, text.encode(), item.mode or mode, f"{within}.path")

    def _file(self, relative: str, content: bytes, mode: int, at: str) -> None:
        if not relative or relative.startswith("/") or ".." in relative.split("/"):
            self._findings.refuse(at, f"found {relative!r}; a path within the volume is needed")
            return
        path = self._home / relative
        self.files[path] = PlannedFile(path, content, mode & 0o777)


def _whole_map(field_path: str, pod: PodIdentity) -> str | None:
    """All labels or annotations, a line each, quoted as the kubelet quotes them."""
    chosen = {"metadata.labels": pod.labels, "metadata.annotations": pod.annotations}.get(field_path)
    if chosen is None:
        return None
    return "\n".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in sorted(chosen.items()))
