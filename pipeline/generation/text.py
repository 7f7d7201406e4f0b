"""Text: from tokens to what may be shown, whole characters at a time and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """Turns one row's tokens into text as they come.

    A token may hold part of a character, or a word whose spacing depends on what stands before it. So each piece is
    the difference between two decodings that begin a few tokens back, and is held while it ends inside a character.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._context_start = 0
        self._shown_end = 0

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is unfinished."""
        self._tokens.append(token)
        fresh = self._fresh_text()
        if not fresh or fresh.endswith(REPLACEMENT):
            return ""
        self._context_start, self._shown_end = self._shown_end, len(self._tokens)
        return fresh

    def flush(self) -> str:
        """What is still held, without a character that never became whole."""
        fresh = self._fresh_text().rstrip(REPLACEMENT)
        self._shown_end = len(self._tokens)
        return fresh

    def _fresh_text(self) -> str:
        before = self._decode(self._tokens[self._context_start : self._shown_end])
        return self._decode(self._tokens[self._context_start :])[len(before) :]


class StopFilter:
    """Lets text through up to the first stop string, and holds back an end that could become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.has_stopped = False

    def push(self, text: str) -> str:
        """The part of the text so far that may be shown now."""
        if self.has_stopped:
            return ""
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.has_stopped, self._held = True, ""
            return text[: min(found)]
        held_length = self._length_of_possible_stop(text)
        self._held = text[len(text) - held_length :]
        return text[: len(text) - held_length]

    def flush(self) -> str:
        """What was held back, once nothing more will come."""
        held, self._held = self._held, ""
        return held

    def _length_of_possible_stop(self, text: str) -> int:
        lengths = (
            length
            for stop in self._stops
            for length in range(min(len(stop) - 1, len(text)), 0, -1)
            if text.endswith(stop[:length])
        )
        return max(lengths, default=0)
