"""Placeholders of Trial templates: where they stand and what they refer to.

`${trialParameters.NAME}` stands in the template; its `reference` is a search parameter, or metadata of the Trial and
the template written `${trialSpec.KEY}`. The expressions are Katib's.
"""

import re

PLACEHOLDER = re.compile(r"\$\{trialParameters\.(.+?)\}")
METADATA_REFERENCE = re.compile(r"\$\{trialSpec\.(.+?)\}")
METADATA_KEYS = ("Name", "Namespace", "Kind", "APIVersion", "Labels", "Annotations")

_INDEXED_KEY = re.compile(r"(.+)\[(.+)]")


def placeholders_in(text: str) -> tuple[str, ...]:
    """The names of the placeholders in a text, in their order, each once."""
    return tuple(dict.fromkeys(PLACEHOLDER.findall(text)))


def with_stand_ins(text: str) -> tuple[str, dict[str, str]]:
    """A template text with a plain word for each placeholder, and the placeholder by word.

    An unquoted `${…}` is no YAML within `[…]`; a word is, everywhere.
    """
    word = "placeholder"
    while word in text:
        word += "x"
    stand_ins = {f"{word}{index}z": f"${{trialParameters.{name}}}" for index, name in enumerate(placeholders_in(text))}
    word_of = {placeholder: stand_in for stand_in, placeholder in stand_ins.items()}
    return PLACEHOLDER.sub(lambda match: word_of[match[0]], text), stand_ins


def is_placeholder(text: str) -> bool:
    """Whether the whole text is one placeholder."""
    return PLACEHOLDER.fullmatch(text) is not None


def metadata_reference(reference: str) -> tuple[str, str] | None:
    """Key and index of a metadata reference (`("Labels", "app")`, `("Name", "")`), None for any other reference."""
    match = METADATA_REFERENCE.search(reference)
    if match is None:
        return None
    indexed = _INDEXED_KEY.fullmatch(match[1])
    return (indexed[1], indexed[2]) if indexed else (match[1], "")
