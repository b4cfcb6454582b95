"""What is wrong with a file of a user, in plain words, from what pydantic says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hibana.core.names import meant

_KINDS = {
    ("int_type", "int_parsing", "int_from_float"): "not a whole number",
    ("float_type", "float_parsing", "finite_number"): "not a number",
    ("string_type",): "not a text",
    ("bool_type", "bool_parsing"): "neither true nor false",
    ("list_type", "tuple_type", "set_type", "frozen_set_type"): "not a list",
    ("dict_type", "model_type", "model_attributes_type", "mapping_type"): "not a table of fields",
}
"""Types of pydantic's errors about a value of the wrong kind, and what the value is."""

_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
LONGEST = 60


def plain_faults(errors: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> str:
    """All faults in one line: which field, what is wrong with it, and which name is meant.

    Parameters
    ----------
    errors
        ``ValidationError.errors()`` of pydantic.
    known
        Names of fields there are, to find the one that is meant by one that is not; see :func:`field_names`.
    """
    names = list(known)
    return "; ".join(dict.fromkeys(_fault(error, names) for error in errors))


def field_names(schema: Mapping[str, Any]) -> list[str]:
    """Names of all fields in a JSON schema, those of the parts too."""
    return list(dict.fromkeys(_properties(schema)))


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, Mapping) else ()
        for part in schema.values():
            yield from _properties(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _properties(part)


def _fault(error: Mapping[str, Any], known: Sequence[str]) -> str:
    kind, place, value, context = error["type"], error["loc"], error.get("input"), error.get("ctx") or {}
    where = _where(place)
    for kinds, said in _KINDS.items():
        if kind in kinds:
            return f"{where} is {_short(value)}, {said}"
    special: dict[str, Callable[[], str]] = {
        "missing": lambda: f"{where} is missing",
        "extra_forbidden": lambda: f"{where} is not known{meant(place[-1], known)}",
        "literal_error": lambda: _choice(where, value, str(context.get("expected", ""))),
        "enum": lambda: _choice(where, value, str(context.get("expected", ""))),
        "union_tag_invalid": lambda: _choice(where, context.get("tag"), str(context.get("expected_tags", ""))),
        "union_tag_not_found": lambda: f"{where} lacks {str(context.get('discriminator', 'its kind')).strip(chr(39))}",
    }
    if kind in special:
        return special[kind]()
    for name, word in _LIMITS.items():
        if name in context:
            return f"{where} is {_short(value)}, and has to be {word} {context[name]}"
    if "actual_length" in context:
        bound = f"at least {context['min_length']}" if "min_length" in context else f"at most {context.get('max_length')}"
        return f"{where} has {context['actual_length']} entries, and needs {bound}"
    if kind == "string_pattern_mismatch":
        return f"{where} is {_short(value)}, which is not of the form {context.get('pattern')}"
    said = re.sub(r"^(Value error|Assertion failed), ", "", str(error["msg"]))
    return f"{where}: {said}"


def _choice(where: str, value: Any, expected: str) -> str:
    """A name that is none of those there are."""
    names = re.findall(r"'([^']*)'", expected)
    return f"{where} is {_short(value)}{meant(value, names)}; it can be {', '.join(names) or expected}"


def _where(place: Sequence[str | int]) -> str:
    """A field as ``potcar.family``, an entry of a list as ``rules entry 1``."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f" entry {part + 1}"
        else:
            text += f".{part}" if text else part
    return text.strip() or "the file"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
