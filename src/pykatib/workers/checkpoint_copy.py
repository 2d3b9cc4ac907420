"""The program that gives a Trial its parent's checkpoints: `checkpoint_copy.py PARENT_FOLDER FOLDER`.

A process of its own, for checkpoints can be large and the loop must not wait; ended anywhere, it leaves either no
folder of that name or the whole. Only the standard library: it is run as a file. Links that lead into the parent's
folder lead into the copy afterwards, as they would where both are mounted at the same path. What cannot be copied,
such as sockets, is left out.
"""

import os
import shutil
import stat
import sys


def copy(source: str, target: str) -> None:
    """Copies a folder under its name in one move. Raises OSError, shutil.Error."""
    if os.path.isdir(target):
        return
    partial = f"{target}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True, ignore=_not_copied)
    _turn_links(source, partial, target)
    os.rename(partial, target)


def _not_copied(folder: str, entries: list[str]) -> set[str]:
    def can_be(entry: str) -> bool:
        mode = os.lstat(os.path.join(folder, entry)).st_mode
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)

    return {entry for entry in entries if not can_be(entry)}


def _turn_links(source: str, partial: str, target: str) -> None:
    for folder, folders, files in os.walk(partial):
        for entry in (*folders, *files):
            path = os.path.join(folder, entry)
            if not os.path.islink(path):
                continue
            to = os.readlink(path)
            if to == source or to.startswith(f"{source}/"):
                os.unlink(path)
                os.symlink(target + to[len(source) :], path)


def main(source: str, target: str) -> None:
    """Copies, or says why not."""
    try:
        copy(source, target)
    except shutil.Error as error:
        failed = [f"{from_}: {why}" for from_, _, why in error.args[0]]
        sys.exit("cannot copy the parent's checkpoints: " + "; ".join(failed[:3]))
    except OSError as error:
        sys.exit(f"cannot copy the parent's checkpoints: {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
