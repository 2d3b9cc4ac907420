"""The files of `katib export-model`, and writing them."""

import importlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.cli.shapes import as_yaml
from pykatib.nas.drawing import picture
from pykatib.nas.found import FoundCells, FoundChain
from pykatib.nas.pictures import cell_graphs, chain_graphs

PNG_SECONDS = 60


def files_of(
    found: FoundChain | FoundCells, manifest: Mapping[str, Any], *, about: Sequence[str]
) -> tuple[dict[str, bytes], list[str]]:
    """The content of each file, and what is to be said of those that could not be made."""
    notes: list[str] = []
    graphs = chain_graphs(found.plan) if isinstance(found, FoundChain) else cell_graphs(found.genotype)
    drawn = picture(graphs).encode()
    files: dict[str, bytes] = {}
    if importlib.util.find_spec("torch") is not None:
        files["model.py"] = model_source(found, about=about).encode()
    else:
        notes.append(f"model.py was left out: {sys.executable} has no torch; pip install 'pykatib[nas]'")
    files["architecture.svg"] = drawn
    png = png_of(drawn)
    if png is not None:
        files["architecture.png"] = png
    comment = "".join(f"# {line}\n" for text in about for line in wrap(text, 116, break_long_words=False))
    files["retrain.yaml"] = f"{comment}{as_yaml(manifest)}\n".encode()
    return files, notes


def model_source(found: FoundChain | FoundCells, *, about: Sequence[str]) -> str:
    """The Python source of the network."""
    from pykatib.nas.cells import CellNetwork, Outline
    from pykatib.nas.sources import cell_source, chain_source

    lines = ["The network that an architecture search has found, as a module of torch.", ""]
    lines += [line for text in about for line in wrap(text, 116, break_long_words=False)]
    if isinstance(found, FoundChain):
        return chain_source(found.plan, about=lines)
    outline = Outline(
        layers=found.layers,
        image_channels=found.image.channels,
        classes=found.classes,
        init_channels=found.init_channels,
        stem_multiplier=found.stem_multiplier,
        nodes=len(found.genotype.normal),
    )
    return cell_source(CellNetwork(outline, found.genotype), image=found.image, about=lines)


def png_of(drawn: bytes) -> bytes | None:
    """The picture as PNG, where something is installed that can make one."""
    program = shutil.which("rsvg-convert")
    if program is not None:
        done = subprocess.run([program], input=drawn, capture_output=True, timeout=PNG_SECONDS, check=False)
        return done.stdout if done.returncode == 0 and done.stdout else None
    if importlib.util.find_spec("cairosvg") is None:
        return None
    made: bytes = importlib.import_module("cairosvg").svg2png(bytestring=drawn)
    return made


def write_files(target: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """Writes all of them, or none where one is there already."""
    there = [file for file in files if (target / file).exists()]
    if there and not force:
        found = f"{target} has {', '.join(there)} already; --force writes over them, --folder names another place"
        raise InvalidInput([FieldError("", found)])
    target.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (target / file).write_bytes(content)
