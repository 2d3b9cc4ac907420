"""The images of the tests, built by buildah from the project's own Dockerfiles and loaded into the node.

There is no registry: `python:3.11-slim`, on which they are based, is here Debian's Python in a small root made by
debootstrap, kept below the node's folder. An image is built again when what goes into it has changed.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from real_node import PROJECT, RealNode, Unstartable

BASE = "docker.io/library/python:3.11-slim"
HERE = Path(__file__).resolve().parent
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
UNNEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")


class Image(NamedTuple):
    """An image: its name in the node, the Dockerfile and what it is built from, below the folder `context`."""

    name: str
    dockerfile: Path
    context: Path
    parts: tuple[str, ...]


_OURS = ("pyproject.toml", "README.md", "src", "programs")
IMAGES = (
    Image("pykatib:0.1.0", PROJECT / "images" / "pykatib" / "Dockerfile", PROJECT, _OURS),
    Image("pykatib-sidecar:0.1.0", PROJECT / "images" / "sidecar" / "Dockerfile", PROJECT, _OURS),
    *(
        Image(f"pykatib-{name}:test", PROJECT / "programs" / name / "Dockerfile", PROJECT / "programs" / name, (".",))
        for name in ("mnist", "simple-pbt")
    ),
)
_IN_BASE = ("/libc.so.6", "/libm.so.6", "/ld-linux-x86-64.so.2")
MARIADB = "pykatib-test-mariadb:test"


class ImageStore:
    """Buildah's images in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("buildah") is None:
            raise Unstartable("no node: buildah is not installed (Debian's package buildah)")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load_all(self, node: RealNode) -> bool:
        """Has the node hold the images of this working tree; answers whether any of them is new to it."""
        self._make_base()
        mariadb = Image(MARIADB, HERE / "images/mariadb/Dockerfile", self._mariadb_context(), (".",))
        changed = [self._load(image, node) for image in (*IMAGES, mariadb)]
        return any(changed)

    def _load(self, image: Image, node: RealNode) -> bool:
        key = _digest(image, self._buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", BASE))
        known = self.folder / f"{image.name.replace(':', '_')}.key"
        full_name = f"docker.io/library/{image.name}"
        is_built = known.exists() and known.read_text().split()[0] == key
        if is_built and node.images().get(full_name) == known.read_text().split()[1]:
            return False
        if not is_built:
            self._buildah("bud", "--layers", "-t", full_name, "-f", str(image.dockerfile), str(image.context))
        archive = self.folder / "archive.tar"
        archive.unlink(missing_ok=True)
        self._buildah("push", full_name, f"docker-archive:{archive}:{full_name}")
        node.load(archive)
        archive.unlink()
        known.write_text(f"{key} {node.images()[full_name]}")
        return True

    def _make_base(self) -> None:
        if self._buildah("images", "-q", "--filter", f"reference={BASE}"):
            return
        container = self._buildah("from", "scratch")
        root = Path(self._buildah("mount", container))
        try:
            _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root))
            (root / "usr/bin/python").symlink_to("python3")
            for part in UNNEEDED:
                shutil.rmtree(root / part)
                (root / part).mkdir()
            # A machine may reach its package index by a proxy with a certificate of its own.
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
            (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
            self._buildah("umount", container)
            self._buildah("config", "--cmd", "python3", container)
            self._buildah("commit", container, BASE)
        finally:
            self._buildah("rm", container)

    def _mariadb_context(self) -> Path:
        """The Dockerfile's folder with the server, its client and what they need, from this machine's packages."""
        context = self.folder / "mariadb"
        files = context / "files"
        if files.exists():
            shutil.rmtree(context)
        programs = ["mariadbd", "mariadb", "mariadb-install-db", "my_print_defaults", "resolveip"]
        found = [Path(path) for name in programs if (path := shutil.which(name, path="/usr/sbin:/usr/bin"))]
        if len(found) != len(programs):
            raise Unstartable("no node: Debian's package mariadb-server is not installed")
        libraries = {
            Path(word)
            for program in found
            for word in subprocess.run(["ldd", program], capture_output=True, text=True).stdout.split()
            if word.startswith("/") and not word.endswith(_IN_BASE)
        }
        for file in (*found, *libraries):
            target = files / "usr" / file.resolve().relative_to("/usr").parent / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        shutil.copytree("/usr/share/mysql", files / "usr/share/mysql")
        shutil.copy(HERE / "images/mariadb/entrypoint.sh", context)
        return context

    def _buildah(self, command: str, *arguments: str) -> str:
        places = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        return _run("buildah", *places, command, *arguments)


def _digest(image: Image, base: str) -> str:
    digest = hashlib.sha256(base.encode() + image.dockerfile.read_bytes())
    for path in _files(image.context / part for part in image.parts):
        digest.update(str(path.relative_to(image.context)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(parts: Iterable[Path]) -> list[Path]:
    found = [path for part in parts for path in ([part] if part.is_file() else sorted(part.rglob("*")))]
    return [path for path in found if path.is_file() and not {"__pycache__", ".mypy_cache"} & set(path.parts)]


def _run(*command: str) -> str:
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()
