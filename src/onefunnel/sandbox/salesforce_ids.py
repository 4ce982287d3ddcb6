"""Salesforce's record ids for the company's own keys, and back.

An id has 15 characters in which case matters: three that name the object, two that name the instance, ten that count.
The API writes three more, from which the case of the others can be told ("ID Field Type", Object Reference). Here the
ten hold the company's own key, packed by its shape, so every id can be turned back without a table.

The prefixes of OpportunitySplit and UserTerritory2Association are the sandbox's own; the others are Salesforce's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from onefunnel.sandbox.business.catalog import PRODUCTS

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CASE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_INSTANCE, _WIDTH = "5g", 10


class Part(NamedTuple):
    """A part of a key: one of several words, each with so many digits behind it."""

    choices: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """How many values the part can have."""
        return sum(10**digits for _, digits in self.choices)


def _part(*choices: tuple[str, int]) -> Part:
    return Part(choices)


_ACCOUNT, _OPPORTUNITY = _part(("Ac", 7), ("aC", 7)), _part(("Op", 7), ("oP", 7))
_CONTACT, _LEAD, _USER = _part(("", 9)), _part(("300000000", 8)), _part(("U", 4))
_TERRITORY, _SLASH = _part(("T-", 2)), _part(("/", 0))
_NUMBER, _ROW = _part(("-", 3)), _part(("-", 1))
SHAPES: dict[str, tuple[str, tuple[Part, ...]]] = {
    "Account": ("001", (_ACCOUNT,)),
    "Contact": ("003", (_CONTACT,)),
    "Lead": ("00Q", (_LEAD,)),
    "LeadHistory": ("017", (_LEAD, _NUMBER, _ROW)),
    "Opportunity": ("006", (_OPPORTUNITY,)),
    "OpportunityHistory": ("008", (_OPPORTUNITY, _NUMBER)),
    "OpportunityFieldHistory": ("017", (_OPPORTUNITY, _NUMBER, _ROW)),
    "OpportunityContactRole": ("00K", (_OPPORTUNITY, _SLASH, _CONTACT)),
    "OpportunityLineItem": ("00k", (_part(("OL", 7)),)),
    "OpportunitySplit": ("1OS", (_OPPORTUNITY, _SLASH, _USER, _part(("/revenue", 0), ("/overlay", 0)))),
    "OpportunitySplitType": ("149", (_part(("revenue", 0), ("overlay", 0)),)),
    "User": ("005", (_USER,)),
    "Group": ("00G", (_part(("queue", 0)),)),
    "Campaign": ("701", (_part(("70", 5), ("E", 4)),)),
    "CampaignMember": ("00v", (_part(("CM", 7)),)),
    "Task": ("00T", (_part(("AC-", 8)),)),
    "Event": ("00U", (_part(("AC-", 8)),)),
    "Product2": ("01t", (_part(*((product.product_id, 0) for product in PRODUCTS)),)),
    "Territory2": ("0MI", (_TERRITORY,)),
    "UserTerritory2Association": ("0TA", (_USER, _SLASH, _TERRITORY, _part(("/", 8)))),
    "Organization": ("00D", (_part(("", 9)),)),
    "CurrencyType": ("01L", (_part(("EUR", 0), ("USD", 0), ("GBP", 0)),)),
    "QueryLocator": ("01g", (_part(("", 9)),)),
    "QueryJob": ("750", (_part(("", 9)),)),
}


@lru_cache(maxsize=1 << 17)
def salesforce_id(object_name: str, key: str) -> str:
    """The id of 18 characters of a key of the company.

    Raises:
        ValueError: the key has not the shape of the object's keys.
    """
    prefix, parts = SHAPES[object_name]
    number, rest = 0, key
    for part in parts:
        value, rest = _read(part, rest, object_name, key)
        number = number * part.size + value
    if rest:
        raise ValueError(f"{key!r} is no key of {object_name}")
    return with_suffix(prefix + _INSTANCE + _base62(number))


def company_key(object_name: str, record_id: str) -> str:
    """The company's own key of an id of 15 or 18 characters.

    Raises:
        ValueError: it is no id of this object.
    """
    prefix, parts = SHAPES[object_name]
    plain = record_id[:15]
    if not is_id(record_id) or not plain.startswith(prefix + _INSTANCE):
        raise ValueError(f"{record_id!r} is no id of {object_name}")
    number = 0
    for character in plain[len(prefix) + len(_INSTANCE) :]:
        number = number * 62 + _DIGITS.index(character)
    words = []
    for part in reversed(parts):
        number, value = divmod(number, part.size)
        words.append(_write(part, value))
    if number:
        raise ValueError(f"{record_id!r} is no id of {object_name}")
    return "".join(reversed(words))


def with_suffix(plain: str) -> str:
    """An id of 15 characters with the three that tell its case."""
    marks = ""
    for start in (0, 5, 10):
        bits = sum(1 << n for n, character in enumerate(plain[start : start + 5]) if character.isupper())
        marks += _CASE[bits]
    return plain + marks


def is_id(text: str) -> bool:
    """Whether a text is an id of 15 characters, or of 18 with the right last three."""
    if not text.isascii() or not text.isalnum():
        return False
    return len(text) == 15 or (len(text) == 18 and with_suffix(text[:15]) == text)


def _base62(number: int) -> str:
    text = ""
    for _ in range(_WIDTH):
        number, digit = divmod(number, 62)
        text = _DIGITS[digit] + text
    assert number == 0  # noqa: S101  (no shape is wider)
    return text


def _read(part: Part, text: str, object_name: str, key: str) -> tuple[int, str]:
    """(value, what follows it)"""
    before = 0
    for word, digits in part.choices:
        end = len(word) + digits
        counted = text[len(word) : end]
        if text.startswith(word) and len(counted) == digits and (counted.isdecimal() or not digits):
            return before + int(counted or 0), text[end:]
        before += 10**digits
    raise ValueError(f"{key!r} is no key of {object_name}")


def _write(part: Part, value: int) -> str:
    for word, digits in part.choices:
        if value < 10**digits:
            return word + (f"{value:0{digits}d}" if digits else "")
        value -= 10**digits
    raise ValueError("too large")
