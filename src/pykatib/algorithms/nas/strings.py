"""The texts that architecture search hands to Trials: JSON in which every double quote is written as a single one.

So Katib writes them, because they travel through shells within double quotes. Python's default separators (`, ` and
`: `) are part of the format.
"""

import json
from typing import Any


def to_text(value: Any) -> str:
    """The text of a value that JSON can hold."""
    return json.dumps(value).replace('"', "'")


def from_text(text: str) -> Any:
    """The value of such a text, or of plain JSON; ValueError where it is neither.

    A pair of double quotes around the whole is left off: manifests write them for a shell, and a program that is
    started without one gets them.
    """
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return json.loads(text.replace("'", '"'))
