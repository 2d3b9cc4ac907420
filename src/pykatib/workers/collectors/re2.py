"""Go's RE2 syntax in Python's `re`: translated where the two differ, refused where `re` has no equal.

Filters of manifests are Go expressions. Most read the same in both languages; the rest would be misread silently
(`\\z`, `{,3}`, `[[:alpha:]]`), rejected without need (`a(?i)b`) or accepted here and rejected by Katib (lookaround,
backreferences). `\\d`, `\\w` and `\\s` are ASCII in Go: compile with `re.ASCII`.

`re` backtracks and RE2 does not. A repetition of nothing but a repetition, `(\\w+)+`, may then take for ever, so it
is refused; callers bound the length of a line for all others.
"""

import re

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": r"0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(-[imsU]+)?([:)])")
_NAMED = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_HEX = re.compile(r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_OCTAL = re.compile(r"\\([1-7][0-7]{1,2}|0[0-7]{0,2})")
_MOST_REPEATS = 1000  # Go's limit


class Unsupported(ValueError):  # noqa: N818 - says what the pattern is
    """The expression is not RE2, or has no equal in Python's `re`."""


class _Group:
    """One open parenthesis: what was seen in it, and the flag groups opened for `(?i)` inside it."""

    def __init__(self) -> None:
        self.scoped: list[str] = []
        self.atom_count = 0
        self.unbounded = False  # the last atom is, or is nothing but, a repetition without limit
        self.alternatives = False


def translate(pattern: str) -> str:
    """The Python expression that means what the Go one does.

    Raises:
        Unsupported: with the reason.
    """
    return _Translation(pattern).run()


class _Translation:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        self.groups = [_Group()]

    def fail(self, reason: str) -> Unsupported:
        return Unsupported(f"{self.pattern!r}: {reason}")

    def atom(self, text: str) -> None:
        self.out.append(text)
        self.groups[-1].atom_count += 1
        self.groups[-1].unbounded = False

    def run(self) -> str:
        pattern = self.pattern
        while self.at < len(pattern):
            character = pattern[self.at]
            if character == "\\":
                self.escape()
            elif character == "[":
                self.character_class()
            elif character == "(":
                self.open()
            elif character == ")":
                self.close()
            elif character == "|":
                self.alternative()
            elif character in "*+?":
                self.at += 1
                self.repeat(character, unbounded=character != "?")
            elif character == "{":
                self.braces()
            else:
                self.at += 1
                self.atom(character)
        if len(self.groups) > 1:
            raise self.fail("a parenthesis is not closed")
        self.out.append(")" * len(self.groups[0].scoped))
        return "".join(self.out)

    def escape(self) -> None:
        pattern = self.pattern
        following = pattern[self.at + 1 : self.at + 2]
        if following == "Q":
            end = pattern.find(r"\E", self.at)
            literal = pattern[self.at + 2 : end if end >= 0 else len(pattern)]
            self.at = end + 2 if end >= 0 else len(pattern)
            for character in literal:
                self.atom(re.escape(character))
        elif following == "z":
            self.at += 2
            self.atom(r"\Z")
        elif following and following in "AbB":
            self.at += 2
            self.atom("\\" + following)
        else:
            self.atom(self.escaped_character()[0])

    def escaped_character(self) -> tuple[str, bool]:
        """An escape that may also stand in a class, and whether it stands for a whole class."""
        for known in (_HEX, _OCTAL):
            match = known.match(self.pattern, self.at)
            if match is not None:
                self.at = match.end()
                code = int(match[1] or match[2], 16) if known is _HEX else int(match[1], 8)
                if code > 0x10FFFF:
                    raise self.fail(f"{match[0]} is no character")
                return re.escape(chr(code)), False
        following = self.pattern[self.at + 1 : self.at + 2]
        if not following:
            raise self.fail("it ends with a backslash")
        if following in "pP":
            raise self.fail(rf"classes like \{following}L are not supported; name the characters, as in [A-Za-z]")
        if following.isdigit():
            raise self.fail(rf"\{following} refers back to a group, which Katib's expressions (RE2) cannot")
        self.at += 2
        if following in "dDsSwW":
            return "\\" + following, True
        if following in "afnrtv" or not (following.isascii() and following.isalnum()):
            return "\\" + following if following.isascii() else following, False
        raise self.fail(rf"\{following} is not an escape of Katib's expressions (RE2)")

    def character_class(self) -> None:
        pattern = self.pattern
        parts = ["["]
        self.at += 1
        if pattern.startswith("^", self.at):
            parts.append("^")
            self.at += 1
        first = True
        while first or not pattern.startswith("]", self.at):
            if self.at >= len(pattern):
                raise self.fail("a [ is not closed")
            member, is_class = self.class_member()
            parts.append(member)
            first = False
            if pattern.startswith("-", self.at) and not pattern.startswith("-]", self.at):
                self.at += 1
                if is_class:
                    parts.append(r"\-")
                    continue
                if self.at >= len(pattern):
                    raise self.fail("a [ is not closed")
                end, end_is_class = self.class_member()
                if end_is_class:
                    raise self.fail(f"{end} cannot end a range of characters")
                parts.append("-" + end)
        self.at += 1
        self.atom("".join(parts) + "]")

    def class_member(self) -> tuple[str, bool]:
        if self.pattern.startswith("[:", self.at):
            end = self.pattern.find(":]", self.at)
            if end >= 0:
                name = self.pattern[self.at + 2 : end]
                if name not in _POSIX:
                    raise self.fail(f"[:{name}:] is not a class of characters; known are {', '.join(sorted(_POSIX))}")
                self.at = end + 2
                return _POSIX[name], True
        character = self.pattern[self.at]
        if character == "\\":
            return self.escaped_character()
        self.at += 1
        return re.escape(character), False  # escaped, so that `re` sees no set operation in `||`, `--` or `[[`

    def open(self) -> None:
        pattern = self.pattern
        if not pattern.startswith("(?", self.at):
            self.at += 1
            self.push("(")
            return
        named = _NAMED.match(pattern, self.at)
        if named is not None:
            self.at = named.end()
            self.push(f"(?P<{named[1]}>")
            return
        flags = _FLAGS.match(pattern, self.at)
        if flags is None:
            if pattern.startswith(("(?=", "(?!", "(?<=", "(?<!"), self.at):
                raise self.fail("lookaround is not part of Katib's expressions (RE2)")
            raise self.fail(f"{pattern[self.at : self.at + 3]} is not part of Katib's expressions (RE2)")
        on, off = flags[1], (flags[2] or "")
        if "U" in on + off:
            raise self.fail("the flag U is not supported; write *? and +? for short matches")
        self.at = flags.end()
        opening = f"(?{on}{off}:"
        if flags[3] == ":":
            self.push(opening)
        elif on or off:  # the flag holds for the rest of the group; `re` wants a group of its own for that
            self.groups[-1].scoped.append(opening)
            self.out.append(opening)

    def push(self, opening: str) -> None:
        self.out.append(opening)
        self.groups.append(_Group())

    def close(self) -> None:
        if len(self.groups) == 1:
            raise self.fail("a parenthesis is closed that was not opened")
        group = self.groups.pop()
        self.out.append(")" * len(group.scoped))
        self.at += 1
        self.atom(")")
        self.groups[-1].unbounded = group.unbounded and group.atom_count == 1 and not group.alternatives

    def alternative(self) -> None:
        group = self.groups[-1]
        self.at += 1
        group.alternatives = True
        self.out.append(")" * len(group.scoped) + "|" + "".join(group.scoped))

    def braces(self) -> None:
        match = _REPEAT.match(self.pattern, self.at)
        if match is None:  # Go reads `{metricName` and `{,3}` literally
            self.at += 1
            self.atom(r"\{")
            return
        least, most = int(match[1]), int(match[3] or match[1])
        if max(least, most) > _MOST_REPEATS:
            raise self.fail(f"{match[0]} repeats more than {_MOST_REPEATS} times")
        self.at = match.end()
        self.repeat(match[0], unbounded=bool(match[2]) and not match[3])

    def repeat(self, operator: str, *, unbounded: bool) -> None:
        group = self.groups[-1]
        if unbounded and group.unbounded:
            raise self.fail("a repetition of a repetition, as in (a+)+, can take for ever; repeat once")
        self.out.append(operator)
        if self.pattern.startswith("?", self.at):
            self.at += 1
            self.out.append("?")
        if self.pattern.startswith("+", self.at):
            raise self.fail(f"{operator}+ is not part of Katib's expressions (RE2)")
        group.unbounded = group.unbounded or unbounded
