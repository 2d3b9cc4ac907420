"""What a collector could not use: counted, with the first few told in full.

A broken line must not end a run that took hours, and must not vanish either. Ten thousand broken lines must not fill
the memory or the screen.
"""

KEPT = 10


class Problems:
    """A count of problems and the texts of the first few."""

    def __init__(self) -> None:
        self.count = 0
        self._examples: list[str] = []

    def add(self, text: str) -> None:
        """Counts one more problem; the first ten are kept."""
        self.count += 1
        if len(self._examples) < KEPT:
            self._examples.append(text)

    def lines(self) -> tuple[str, ...]:
        """The kept texts, and a last one that counts those that were not."""
        unkept = self.count - len(self._examples)
        return (*self._examples, f"and {unkept} more") if unkept else tuple(self._examples)
