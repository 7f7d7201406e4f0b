"""Languages: in which language a row is written, by py3langid's naive Bayes over byte n-grams (it ships its model)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

UNKNOWN = ""
LEAST_LETTERS = 40
"""A shorter text is not told well, and is not judged."""
LEAST_PROBABILITY = 0.9
READ_CHARACTERS = 240
_CODE = re.compile(r"```[\s\S]*?(?:```|\Z)|https?://\S+")

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian",
    "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "la": "Latin",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi",
    "ms": "Malay", "mt": "Maltese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "nb": "Norwegian",
    "nn": "Norwegian Nynorsk", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language, or `UNKNOWN` where it is short, mostly code, or could be several."""
    plain = _CODE.sub(" ", text[: 4 * READ_CHARACTERS])[:READ_CHARACTERS]
    letters = sum(map(str.isalpha, plain))
    # A Chinese character says as much as several letters.
    weight = letters if plain.isascii() else letters + 3 * sum("\u3040" <= c <= "\u9fff" for c in plain)
    if weight < LEAST_LETTERS or letters < len(plain) / 2:
        return UNKNOWN
    language, probability = _identifier().classify(plain)
    return str(language) if probability >= LEAST_PROBABILITY else UNKNOWN


def language_name(code: str) -> str:
    return NAMES.get(code, code)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Without its dialects and small neighbours a language is told from them more surely, and sooner.
    identifier.set_languages([language for language in identifier.labels if language in NAMES])
    return identifier
