"""Phrases: what refusals, stock phrases and leftovers of other programs look like, as documented lists of patterns.

A refusal is looked for at the beginning of an answer only: later in a text the same words are mostly talk about one.
"""

from __future__ import annotations

import re

OPENING_CHARACTERS = 300
"""How much of an answer is its beginning."""

REFUSALS: dict[str, str] = {
    "English": (
        r"\b(?:I(?:'|’)?m|I am) (?:(?:very |really |so )?sorry|afraid),?[^.!?\n]{0,40}\b(?:can(?:'|’)?t"
        r"|cannot|can not|unable|"
        r"won(?:'|’)?t|not able|don(?:'|’)?t (?:feel|have))\b"
        r"|\bI (?:can(?:'|’)?t|cannot|can not|won(?:'|’)?t|will not|must decline to|am unable to|(?:'"
        r"|’)m unable to|am not able to"
        r"|(?:'|’)m not able to) (?:help|assist|comply|fulfil|fulfill|provide|answer|create|generate"
        r"|write|engage|support|do that"
        r"|complete|participate|discuss|respond|give|offer|share|continue)"
        r"|\bI(?:'|’)m (?:unable|not able) to (?:help|assist|comply|provide|answer|create|generate|write|complete)"
        r"|\b(?:against|violates?) my (?:programming|guidelines|policy|policies)\b|\bI must (?:respectfully )?decline\b"
    ),
    "German": (
        r"\b(?:es tut mir leid|tut mir leid|entschuldigung)\b[^.!?\n]{0,60}\b(?:kann|darf|nicht)\b"
        r"|\bich (?:kann|darf) (?:dir|ihnen|dabei|das|diese\w*|leider)[^.!?\n]{0,60}\bnicht\b"
    ),
    "French": (
        r"\b(?:je suis désolée?|désolée?)\b[^.!?\n]{0,60}\b(?:ne peux|ne suis|pas)\b"
        r"|\bje ne (?:peux|suis) pas (?:en mesure |vous |t'|répondre|aider|fournir|créer)"
    ),
    "Spanish": (
        r"\b(?:lo siento|lamento)\b[^.!?\n]{0,60}\bno (?:puedo|me es posible)\b"
        r"|\bno puedo (?:ayudar|proporcionar|responder|crear|generar|cumplir|asistir)"
    ),
    "Italian": (
        r"\bmi dispiace\b[^.!?\n]{0,60}\bnon (?:posso|sono in grado)\b"
        r"|\bnon posso (?:aiutar|fornir|risponder|crear)"
    ),
    "Portuguese": (
        r"\b(?:desculpe|sinto muito|lamento)\b[^.!?\n]{0,60}\bnão (?:posso|consigo)\b"
        r"|\bnão posso (?:ajudar|fornecer|responder|criar|gerar)"
    ),
    "Dutch": r"\bhet spijt me\b[^.!?\n]{0,60}\b(?:kan|mag|niet)\b|\bik kan (?:je|u|daar|dat|dit)[^.!?\n]{0,40}\bniet\b",
    "Polish": r"\bprzykro mi\b[^.!?\n]{0,60}\bnie mog[ęe]\b|\bnie mog[ęe] (?:pomóc|udzielić|odpowiedzieć|spełnić)",
    "Russian": (
        r"\b(?:извините|простите|к сожалению)\b[^.!?\n]{0,60}\bне (?:могу|имею|в состоянии)\b"
        r"|\bя не могу (?:помочь|предоставить|ответить|выполнить|создать)"
    ),
    "Chinese": (
        r"(?:抱歉|对不起|對不起|很遗憾)[^。!?\n]{0,30}(?:无法|不能|無法|不可以)"
        r"|我(?:无法|不能|無法)(?:提供|帮助|幫助|回答|协助|满足|生成)"
    ),
    "Japanese": r"(?:申し訳|すみません|ごめんなさい)[^。\n]{0,40}(?:できません|できかねます|お答え|いたしかねます)",
    "Korean": r"(?:죄송|미안)[^.\n]{0,40}(?:수 없|못|어렵)",
}
"""How a model says no, by language."""

BOILERPLATE = (
    r"\bas an? (?:AI|artificial intelligence)(?: language| chat)? ?(?:model|assistant|bot)?\b,?"
    r"|\bI(?:'|’)?m (?:just |only )?an? (?:AI|artificial intelligence)(?: language)? (?:model|assistant)"
    r"|\bas a (?:large )?language model\b|\bmy knowledge cut-?off\b|\bmy (?:last |latest )?training data\b"
    r"|\bI (?:do not|don(?:'|’)?t) have personal (?:opinions|beliefs|feelings|experiences|preferences)"
    r"|\b(?:trained|developed|created|made) by (?:OpenAI|Anthropic|Google DeepMind)\b"
    r"|\bI am ChatGPT\b|\bI(?:'|’)m ChatGPT\b"
    r"|\bals KI-(?:Sprach)?modell\b|\ben tant qu(?:e modèle|'IA|’IA)|\bcomo (?:un "
    r"|um )?modelo de (?:lenguaje|linguagem)"
    r"|作为(?:一个|一款)?(?:AI|人工智能)|AI言語モデル"
)
"""Phrases by which an answer tells which program wrote it: a model trained on them says them of itself."""

TEMPLATES = (
    r"<\|(?:im_start|im_end|endoftext|user|assistant|system|eot_id|start_header_id|end_header_id|begin_of_text)\|>"
    r"|\[/?INST\]|<</?SYS>>|^### ?(?:Instruction|Response|Input|Human|Assistant):|</?noinput>"
    r"|<start_of_turn>|<end_of_turn>"
    r"|^(?:Human|User|Assistant|USER|ASSISTANT): "
)
"""Marks of chat templates that belong around a text and stand in it."""

MARKUP = (
    r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{2,5}|#x[0-9a-fA-F]{2,5});"
    r"|</?(?:br|p|div|span|font|b|i|u|strong|em|table|tr|td|ul|ol|li|h[1-6]|center|blockquote|img"
    r"|a)(?: [^<>\n]{0,200})?/?>"
)
"""HTML in running text; see `markup_in`."""

PLACEHOLDERS = re.compile(
    r"(?:n/?a|none|null|nan|nil|undefined|todo|tbd|no ?output|no ?input|<no ?output>|<no ?input>)\.?", re.I
)
"""What stands for an answer where there is none."""

REFUSAL = re.compile("|".join(REFUSALS.values()), re.I)
STOCK = re.compile(BOILERPLATE, re.I)
TEMPLATE = re.compile(TEMPLATES, re.M)
_MARKUP = re.compile(MARKUP, re.I)
_CODE = re.compile(r"```[\s\S]*?(?:```|\Z)|`[^`\n]*`")
_ABOUT_MARKUP = re.compile(
    r"\b(?:html?5?|xml|xhtml|css|svg|jsx|markup|web ?(?:page|site)|tags?|javascript|php|entit)", re.I
)

Span = tuple[int, int]


_REFUSAL_NEEDLES = (
    "sorry", "afraid", "can't", "can’t", "cannot", "can not", "won't", "won’t", "will not", "unable", "not able",
    "decline", "against my", "violat", "leid", "entschuldigung", "nicht", "désolé", "ne peux", "ne suis", "siento",
    "lamento", "no puedo", "dispiace", "non posso", "desculpe", "sinto", "não posso", "spijt", "niet", "przykro",
    "nie mog", "извините", "простите", "сожалению", "не могу", "抱歉", "对不起", "對不起", "遗憾", "无法", "不能",
    "無法", "申し訳", "すみません", "ごめん", "죄송", "미안",
)  # fmt: skip
"""One of them stands in every refusal."""


def refusal_in(answer: str) -> list[Span]:
    """Where an answer refuses, if it does so at its beginning."""
    lowered = answer[:OPENING_CHARACTERS].lower()
    if not any(needle in lowered for needle in _REFUSAL_NEEDLES):
        return []
    found = REFUSAL.search(answer, 0, min(len(answer), OPENING_CHARACTERS))
    return [found.span()] if found else []


_STOCK_NEEDLES = (
    "an ai", "artificial intelligence", "language model", "knowledge cut", "training data", "have personal", "openai",
    "anthropic", "deepmind", "chatgpt", "ki-", "en tant qu", "modelo de", "作为", "ai言語",
)  # fmt: skip
"""One of them stands in every stock phrase: a quick look before the slow one."""


def stock_phrases_in(answer: str) -> list[Span]:
    lowered = answer.lower()
    if not any(needle in lowered for needle in _STOCK_NEEDLES):
        return []
    return [found.span() for found in STOCK.finditer(answer)]


def template_marks_in(text: str) -> list[Span]:
    return [found.span() for found in TEMPLATE.finditer(text)]


def markup_in(text: str) -> list[Span]:
    """HTML in running text: outside of code, and where the text is not about such things."""
    if ("<" not in text and "&" not in text) or is_about_markup(text):
        return []
    code = [found.span() for found in _CODE.finditer(text)]
    spans = [found.span() for found in _MARKUP.finditer(text)]
    return [span for span in spans if not any(start <= span[0] < end for start, end in code)]


def is_about_markup(text: str) -> bool:
    return _ABOUT_MARKUP.search(text) is not None


def says_nothing(answer: str) -> bool:
    """Whether an answer is no answer: nothing, only punctuation, or a word for nothing.

    >>> says_nothing(" … "), says_nothing("N/A"), says_nothing("4"), says_nothing("No.")
    (True, True, False, False)
    """
    plain = answer.strip()
    return not re.search(r"\w", plain) or PLACEHOLDERS.fullmatch(plain) is not None


def garbled_in(text: str) -> list[Span]:
    """Where a text was decoded in the wrong way ("CafÃ©"), by ftfy's tables, or lost characters doing so (U+FFFD)."""
    if text.isascii():
        return []
    from ftfy.badness import BADNESS_RE

    spans = [found.span() for found in BADNESS_RE.finditer(text)]
    return sorted(spans + [found.span() for found in re.finditer("\ufffd+", text)])
