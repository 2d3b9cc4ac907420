"""Where an Experiment's Trials run: its manifest's folder and images, as its annotations recorded them."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.workers.environment import Lookup
from pykatib.workers.images import Images, programs_folder
from pykatib.workers.pod import Place
from pykatib.workers.slots import Machine


def place_annotations(folder: Path, images: Mapping[str, Path]) -> dict[str, str]:
    """What an Experiment carries so that it can be taken up again from anywhere."""
    mapped = {image: os.path.abspath(path) for image, path in images.items()}
    return {
        names.ANNOTATION_FOLDER: os.path.abspath(folder),
        names.ANNOTATION_IMAGES: msgspec.json.encode(mapped).decode(),
    }


class Places:
    """Finds the place of each Experiment on this machine."""

    def __init__(self, machine: Machine, lookup: Lookup) -> None:
        self._machine = machine
        self._lookup = lookup
        self._inherited = dict(os.environ)
        self._known: dict[tuple[str, str], Place] = {}

    def of(self, experiment: Experiment) -> Place:
        """The place of an Experiment's Trials.

        Raises:
            InvalidInput: a folder that stands for an image is not there.
        """
        metadata = experiment.metadata
        folder = metadata.annotations.get(names.ANNOTATION_FOLDER) or os.getcwd()
        mapped = metadata.annotations.get(names.ANNOTATION_IMAGES) or "{}"
        place = self._known.get((folder, mapped))
        if place is None:
            try:
                images = {image: Path(path) for image, path in msgspec.json.decode(mapped, type=dict[str, str]).items()}
            except msgspec.MsgspecError as error:
                path = f"metadata.annotations[{names.ANNOTATION_IMAGES}]"
                raise InvalidInput([FieldError(path, f"is no JSON object of folders by image: {error}")]) from error
            place = Place(
                machine=self._machine,
                manifest_folder=Path(folder),
                images=Images(images, programs=programs_folder()),
                lookup=self._lookup,
                inherited=self._inherited,
            )
            self._known[(folder, mapped)] = place
        return place
