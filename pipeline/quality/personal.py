"""Personal data and secrets: patterns with checks, each documented, so that a page can say what was looked for.

They find what has a form of its own. A name, a street or a telephone number without its country has none, and is not
found. Addresses that are set aside for examples (RFC 2606, RFC 5737) are no one's and are left alone.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MASK = "•"


@dataclass(frozen=True)
class Match:
    """A stretch of a text that was found; `kind` is a finding's, `what` says more in a word or two."""

    kind: str
    what: str
    start: int
    end: int


@dataclass(frozen=True)
class Pattern:
    """What is looked for.

    Args:
        kind: The finding that it belongs to.
        what: In words.
        expression: Must match; the group `it`, if there is one, is what counts.
        needs: A text without one of these cannot match: a quick look before the slow one.
        check: Says how much of what matched it is: a number of characters from its start; 0 for none.
    """

    kind: str
    what: str
    expression: re.Pattern[str]
    needs: tuple[str, ...] = ()
    check: Callable[[str], int] = len


def find_personal(text: str) -> list[Match]:
    """Everything found in a text, in order; where two overlap, the one that begins first (then the longer) stands."""
    found = sorted(_all_matches(text), key=lambda match: (match.start, -match.end))
    kept: list[Match] = []
    for match in found:
        if not kept or match.start >= kept[-1].end:
            kept.append(match)
    return kept


def mask(text: str) -> str:
    """A found text with its middle hidden.

    >>> mask("jane.roe@acme.org"), mask("4111 1111 1111 1111"), mask("8.8.4.4")
    ('jan••••••••••••rg', '411••••••••••••••11', '8•••••4')
    """
    first, last = (3, 2) if len(text) > 9 else (1, 1)
    return f"{text[:first]}{MASK * min(len(text) - first - last, 24)}{text[-last:]}"


def _all_matches(text: str) -> Iterator[Match]:
    has_digit = any(digit in text for digit in "0123456789")
    for pattern in PATTERNS:
        if pattern.needs and not any(need in text for need in pattern.needs):
            continue
        if not has_digit and pattern.kind in ("phones", "ips", "cards", "ibans"):
            continue
        for match in pattern.expression.finditer(text):
            group = "it" if "it" in pattern.expression.groupindex else 0
            if length := pattern.check(match[group]):
                yield Match(pattern.kind, pattern.what, match.start(group), match.start(group) + length)


# ---------------------------------------------------------------------------------------------------------- checks


def has_luhn_sum(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B).

    >>> has_luhn_sum("79927398713"), has_luhn_sum("79927398710")
    (True, False)
    """
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def has_iban_sum(iban: str) -> bool:
    """Whether the two check digits fit (ISO 13616: the number, its letters written as 10 to 35, is 1 modulo 97).

    >>> has_iban_sum("GB82WEST12345698765432"), has_iban_sum("GB83WEST12345698765432")
    (True, False)
    """
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country (SWIFT's IBAN registry)."""
_CARD_PREFIX = re.compile(r"4|5[1-5]|2[2-7]|3[0689]|3[47]|35|6011|64|65|62")
_CARD_GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)}
"""How the digits of a card are grouped where they are: by fours, or as American Express and Diners do."""
_RESERVED_HOST = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net)|[\w-]+\.(?:test|example|invalid|localhost))$", re.I)
_LEAST_SECRET_BITS = 3.5
"""Of entropy a character: words have less, keys in hexadecimal about 3.7 and in base 64 above 4."""


def _email(text: str) -> int:
    host = text.rpartition("@")[2]
    return 0 if _RESERVED_HOST.search(host) else len(text)


def _phone(text: str) -> int:
    digits = re.sub(r"\D", "", text)
    is_fictional = re.search(r"55501\d\d$", digits) is not None
    return len(text) if 8 <= len(digits) <= 15 and not is_fictional and len(set(digits)) > 2 else 0


def _ip(text: str) -> int:
    try:
        return len(text) if ipaddress.ip_address(text).is_global else 0
    except ValueError:
        return 0


def _card(text: str) -> int:
    groups = re.split(r"[ -]", text)
    digits = "".join(groups)
    if len(groups) > 1 and tuple(map(len, groups)) not in _CARD_GROUPS:
        return 0
    is_card = 14 <= len(digits) <= 19 and _CARD_PREFIX.match(digits) and len(set(digits)) > 1 and has_luhn_sum(digits)
    return len(text) if is_card else 0


def _iban(text: str) -> int:
    """The match may run on into words after the number: the country says where it ends."""
    wanted, taken = _IBAN_LENGTHS.get(text[:2], 0), 0
    for length, character in enumerate(text, 1):
        taken += character != " "
        if wanted and taken == wanted:
            return length if has_iban_sum(text[:length].replace(" ", "")) else 0
    return 0


def _key(text: str) -> int:
    return len(text) if re.search(r"\d", text) and re.search(r"[A-Za-z]", text) else 0


def _assigned(text: str) -> int:
    return len(text) if re.search(r"\d", text) and entropy(text) >= _LEAST_SECRET_BITS else 0


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "emails",
        "e-mail address",
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
        needs=("@",),
        check=_email,
    ),
    Pattern(  # with the country's code, or as North America writes them
        "phones",
        "telephone number",
        re.compile(r"(?<![\w+.])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}(?![\w.-]?\d))"),
        needs=("+",),
        check=_phone,
    ),
    Pattern(
        "phones",
        "telephone number",
        re.compile(r"(?<![\w+.-])(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w.-]?\d)"),
        check=_phone,
    ),
    Pattern(
        "ips",
        "IP address",
        re.compile(r"(?<![\w.])(?<![vV])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"),
        needs=(".",),
        check=_ip,
    ),
    Pattern(
        "ips",
        "IP address",
        re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4}){1,7}(?![\w:])"),
        needs=(":",),
        check=_ip,
    ),
    Pattern(
        "cards",
        "payment card number",
        re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)"),
        check=_card,
    ),
    Pattern(
        "ibans",
        "IBAN",
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}"),
        check=_iban,
    ),
    Pattern(
        "secrets",
        "private key",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]{0,8000}?-----END [A-Z0-9 ]+-----)?"
        ),
        needs=("PRIVATE KEY",),
    ),
    Pattern(
        "secrets",
        "AWS access key",
        re.compile(r"(?<!\w)(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?!\w)"),
        needs=("AKIA", "ASIA", "AROA", "AIDA"),
    ),
    Pattern(
        "secrets",
        "GitHub token",
        re.compile(r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})(?!\w)"),
        needs=("gh", "github_pat_"),
    ),
    Pattern(
        "secrets",
        "API key",
        re.compile(
            r"(?<![\w-])(?:sk-[A-Za-z0-9_-]{20,200}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,200}|hf_[A-Za-z0-9]{30,40}"
            r"|AIza[A-Za-z0-9_-]{35}|xox[abeprs]-[A-Za-z0-9-]{10,200}|glpat-[A-Za-z0-9_-]{20,60}"
            r"|npm_[A-Za-z0-9]{36})(?![\w])"
        ),
        needs=("sk-", "k_live_", "k_test_", "hf_", "AIza", "xox", "glpat-", "npm_"),
        check=_key,
    ),
    Pattern(
        "secrets",
        "JSON web token",
        re.compile(r"(?<![\w-])eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,2000}"),
        needs=("eyJ",),
    ),
    Pattern(
        "secrets",
        "password in an address",
        re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,80}:(?P<it>[^\s:/@]{3,80})@[\w.-]+"),
        needs=("://",),
    ),
    Pattern(  # something named like a secret that is set to something that no word looks like
        "secrets",
        "assigned secret",
        re.compile(
            r"(?i)(?:api[_-]?key|secret|token|passw(?:or)?d|access[_-]?key|auth)\w{0,20}[\"']?\s{0,3}(?::=?|=>?)\s{0,3}"
            r"[\"']?(?P<it>[A-Za-z0-9+/_.~-]{16,200}={0,2})"
        ),
        needs=("=", ":"),
        check=_assigned,
    ),
)
