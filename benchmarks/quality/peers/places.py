"""Parameters as peers with few kinds of their own see them: numbers, or whole numbers that count places.

A stepped double is a count of steps for those that know no steps, and an ordered list a place in it for those that
know no order; a value is made of it on the way back.
"""


def place_count(column):
    """How many places a list or a stepped double has; None for what is not counted so."""
    if "values" in column:
        return len(column["values"])
    if column["kind"] == "double" and column["step"]:
        return round((column["high"] - column["low"]) / column["step"]) + 1
    return None


def at_place(column, place):
    """The value at a place."""
    if "values" in column:
        return column["values"][place]
    return column["low"] + place * column["step"]
