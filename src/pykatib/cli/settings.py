"""The user's own settings: `~/.config/pykatib/config.toml`, below the environment, below what the command line says.

home = "~/experiments"            # as --home
[images]                          # as --image, for every run
"docker.io/me/train" = "~/train"
[algorithm_services]             # as --algorithm-service, for every run
mine = "localhost:6789"
"""

import os
import tomllib
from pathlib import Path

import msgspec

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.embedded.folders import HomeFolders, default_home


class UserSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of the file."""

    home: str = ""
    images: dict[str, str] = {}
    algorithm_services: dict[str, str] = {}


def settings_file() -> Path:
    """Where the file is, whether it is there or not."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "pykatib" / "config.toml"


def user_settings() -> UserSettings:
    """The user's settings; empty ones where there is no file.

    Raises:
        InvalidInput: the file cannot be read.
    """
    path = settings_file()
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), UserSettings)
    except (FileNotFoundError, NotADirectoryError):
        return UserSettings()
    except OSError as error:
        raise InvalidInput([FieldError("", error.strerror or str(error))], source=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput([FieldError("", str(error))], source=str(path)) from error


def home_folders(option: str | None) -> HomeFolders:
    """The home folder: the option, else `KATIB_HOME`, else the settings file's, else `~/.katib`."""
    if option:
        return HomeFolders(Path(option).expanduser())
    if not os.environ.get("KATIB_HOME"):
        written = user_settings().home
        if written:
            return HomeFolders(settings_file().parent / Path(written).expanduser())
    return HomeFolders(default_home())


def image_folders(options: dict[str, Path]) -> dict[str, Path]:
    """The folders that stand for images: the settings file's, then those of the command line."""
    base = settings_file().parent
    written = {image: base / Path(folder).expanduser() for image, folder in user_settings().images.items()}
    return {**written, **{image: Path(os.path.abspath(folder)) for image, folder in options.items()}}


def service_addresses(options: dict[str, str]) -> dict[str, str]:
    """The addresses of suggestion services by algorithm: the settings file's, then those of the command line.

    Raises:
        InvalidInput: an address of the file is none.
    """
    from pykatib.embedded.algorithm_services import address_problem  # brings all algorithms along

    written = user_settings().algorithm_services
    errors = [
        FieldError(f"algorithm_services.{name}", problem)
        for name, address in written.items()
        if (problem := address_problem(address))
    ]
    if errors:
        raise InvalidInput(errors, source=str(settings_file()))
    return {**written, **options}
