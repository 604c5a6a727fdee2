"""Finds regular expressions that take more than linear time in the length of a text.

A pattern is read as an automaton. If it has two states p and q, and some text leads from p back to
p, from p to q, and from q back to q, then `n` copies of this text can be divided between the two
loops in `n` ways, and a failing match tries all of them (A. Weber, H. Seidl: "On the degree of
ambiguity of finite automata", Theoretical Computer Science 88, 1991). If p is the start of a
search, the pattern reads to the end of the text from many positions.

Possessive and atomic parts never backtrack: their loops count for a search only. Assertions and
references are read as empty, and a repeat of more than a few times as unbounded.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

#: Longest repeat that is expanded.
FEW = 9

#: Sample characters of each category, in addition to those of the pattern.
LETTERS = "aZ0_ \n-é\u0301日\0"

CATEGORIES = {
    op.CATEGORY_DIGIT: re.compile(r"\d"),
    op.CATEGORY_NOT_DIGIT: re.compile(r"\D"),
    op.CATEGORY_SPACE: re.compile(r"\s"),
    op.CATEGORY_NOT_SPACE: re.compile(r"\S"),
    op.CATEGORY_WORD: re.compile(r"\w"),
    op.CATEGORY_NOT_WORD: re.compile(r"\W"),
}


class Automaton:
    """A pattern as states, with steps that consume a character and jumps that consume none.

    :param is_searched: whether a match may begin anywhere in the text.
    """

    def __init__(self, pattern: "re.Pattern[str]", *, is_searched: bool) -> None:
        tree = parser.parse(pattern.pattern, pattern.flags)
        self._flags = pattern.flags
        self.letters = sorted(set(_letters(tree)) | set(LETTERS))
        self.steps: list[list[tuple[frozenset[str], int]]] = []
        self.jumps: list[list[int]] = []
        #: States reached if an assertion holds, with the assertion.
        self.asserted: dict[int, Any] = {}
        self.never_back: set[int] = set()
        self.start = self._state()
        if is_searched:
            self._step(self.start, frozenset(self.letters), self.start)
        self.end = self._add(tree, self.start)

    def _state(self) -> int:
        self.steps.append([])
        self.jumps.append([])
        return len(self.steps) - 1

    def _step(self, here: int, letters: frozenset[str], there: int) -> None:
        self.steps[here].append((letters, there))

    def _add(self, nodes: Any, here: int) -> int:
        """Append the states that match `nodes` to `here`, and return the last one."""
        for what, value in nodes:
            here = self._node(what, value, here)
        return here

    def _node(self, what: Any, value: Any, here: int) -> int:
        if what in {op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN}:
            there = self._state()
            self._step(here, self._matching(what, value), there)
            return there
        if what is op.SUBPATTERN:
            _, added, removed, body = value
            flags, self._flags = self._flags, (self._flags | added) & ~removed
            there = self._add(body, here)
            self._flags = flags
            return there
        if what is op.BRANCH:
            return self._join(self._add(branch, self._after(here)) for branch in value[1])
        if what is op.GROUPREF_EXISTS:
            branches = [value[1], value[2] or []]
            return self._join(self._add(branch, self._after(here)) for branch in branches)
        if what in {op.MAX_REPEAT, op.MIN_REPEAT}:
            return self._repeat(value, here)
        if what in {op.POSSESSIVE_REPEAT, op.ATOMIC_GROUP}:
            first = len(self.steps)
            is_group = what is op.ATOMIC_GROUP
            end = self._add(value, here) if is_group else self._repeat(value, here)
            self.never_back |= set(range(first, len(self.steps)))
            return self._after(end)
        there = self._after(here)
        self.asserted[there] = value
        return there

    def _after(self, here: int) -> int:
        there = self._state()
        self.jumps[here].append(there)
        return there

    def _join(self, ends: Iterator[int]) -> int:
        ends_ = list(ends)
        there = self._state()
        for end in ends_:
            self.jumps[end].append(there)
        return there

    def _repeat(self, repeat: tuple[int, int, Any], here: int) -> int:
        least, most, body = repeat
        for _ in range(min(least, FEW)):
            here = self._add(body, here)
        if most - least > FEW:
            loop = self._after(here)
            self.jumps[self._add(body, loop)].append(loop)
            return self._after(loop)
        ends = [here]
        for _ in range(most - least):
            here = self._add(body, self._after(here))
            ends.append(here)
        return self._join(iter(ends))

    def _matching(self, what: Any, value: Any) -> frozenset[str]:
        return frozenset(x for x in self.letters if self._matches(what, value, x))

    def _matches(self, what: Any, value: Any, letter: str) -> bool:
        if what is op.ANY:
            return letter != "\n" or bool(self._flags & re.DOTALL)
        if what is op.NOT_LITERAL:
            return not self._matches(op.LITERAL, value, letter)
        if what is op.CATEGORY:
            return CATEGORIES[value].match(letter) is not None
        if what is op.IN:
            is_negated = value[0][0] is op.NEGATE
            listed = value[is_negated:]
            return is_negated != any(self._matches(kind, x, letter) for kind, x in listed)
        low, high = (value, value) if what is op.LITERAL else value
        written = {letter, letter.lower(), letter.upper()}
        cases = written if self._flags & re.IGNORECASE else {letter}
        return any(low <= ord(case) <= high for case in cases if len(case) == 1)

    def reached(self, state: int) -> set[int]:
        """Return `state` and the states that jumps reach from it."""
        return set(self._paths(state))

    def _paths(self, state: int, *, only_sure: bool = False) -> dict[int, int]:
        """Return the states that jumps reach, with the number of ways; 2 means many."""
        ways = {state: 1}
        waiting = [state]
        while waiting:
            for there in self.jumps[waiting.pop()]:
                if only_sure and there in self.asserted:
                    continue
                ways[there] = ways.get(there, 0) + 1
                if ways[there] <= 2:
                    waiting.append(there)
        return ways

    @cached_property
    def places(self) -> list[int]:
        """The first state, and each state after a step."""
        return sorted({self.start} | {there for steps in self.steps for _, there in steps})

    @cached_property
    def moves(self) -> dict[int, dict[str, frozenset[int]]]:
        """The next places, by place and character."""
        found: dict[int, dict[str, frozenset[int]]] = {}
        for place in self.places:
            following: defaultdict[str, set[int]] = defaultdict(set)
            for state in self.reached(place):
                for letters, there in self.steps[state]:
                    for letter in letters:
                        following[letter].add(there)
            found[place] = {letter: frozenset(there) for letter, there in following.items()}
        return found

    @cached_property
    def following(self) -> dict[int, set[int]]:
        """All places that any text reaches, by place."""
        found: dict[int, set[int]] = {}
        for place in self.places:
            seen: set[int] = set()
            waiting = [place]
            while waiting:
                for there in self.moves[waiting.pop()].values():
                    waiting += there - seen
                    seen |= there
            found[place] = seen
        return found

    def cannot_fail(self, place: int) -> bool:
        """Whether the pattern matches regardless of what follows `place`."""
        sure = self._paths(place, only_sure=True)
        if self.end in sure:
            return True
        reads_on = all(place in self.moves[place].get(letter, ()) for letter in self.letters)
        at_end = (there for state in sure for there in self.jumps[state])
        return reads_on and any(self.asserted.get(x) is op.AT_END_STRING for x in at_end)


def ambiguity(pattern: "re.Pattern[str]", *, is_searched: bool = True) -> str | None:
    """Return a text whose repetition takes more than linear time, or None."""
    automaton = Automaton(pattern, is_searched=is_searched)
    loops = [place for place in automaton.places if place in automaton.following[place]]
    pairs = ((p, q) for p in loops for q in loops if p != q and q in automaton.following[p])
    for p, q in pairs:
        if p in automaton.never_back or (p == automaton.start and automaton.cannot_fail(q)):
            continue
        if (text := _shared(automaton, p, q)) is not None:
            return text
    backing = [p for p in loops if p not in {automaton.start, *automaton.never_back}]
    ways = (_two_ways(automaton, p) for p in backing)
    return next((text for text in ways if text is not None), None)


def _two_ways(automaton: Automaton, place: int) -> str | None:
    """Return a character that leads from `place` into its loop in two ways, as in ``(a+)+``."""
    for state, ways in automaton._paths(place).items():
        for letters, there in automaton.steps[state]:
            if ways > 1 and letters and place in {there, *automaton.following[there]}:
                return min(letters)
    return None


def _shared(automaton: Automaton, p: int, q: int) -> str | None:
    """Return a text that leads from `p` to `p`, from `p` to `q`, and from `q` to `q`."""
    moves, following = automaton.moves, automaton.following
    waiting = [(p, p, q)]
    texts = {waiting[0]: ""}
    for places in waiting:
        one, two, three = (moves[place] for place in places)
        for letter in one.keys() & two.keys() & three.keys():
            for there in (
                (a, b, d)
                for a in one[letter]
                if p in following[a] | {a}
                for b in two[letter]
                if q in following[b] | {b}
                for d in three[letter]
                if q in following[d] | {d}
            ):
                if there == (p, q, q):
                    return texts[places] + letter
                if there not in texts:
                    texts[there] = texts[places] + letter
                    waiting.append(there)
    return None


def _letters(tree: Any) -> Iterator[str]:
    """Yield the characters of a pattern, and those next to its ranges."""
    for what, value in tree:
        if what in {op.LITERAL, op.NOT_LITERAL}:
            letter = chr(value)
            yield from (x for x in (letter, letter.lower(), letter.upper()) if len(x) == 1)
        elif what is op.RANGE:
            yield from (chr(n) for n in (value[0] - 1, *value, value[1] + 1) if 0 <= n < 0x110000)
        elif what is op.IN:
            yield from _letters(value)
        elif what is op.BRANCH:
            for branch in value[1]:
                yield from _letters(branch)
        elif what in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
            yield from _letters(value[2])
        elif what is op.SUBPATTERN:
            yield from _letters(value[3])
        elif what is op.ATOMIC_GROUP:
            yield from _letters(value)
        elif what is op.GROUPREF_EXISTS:
            yield from _letters([*value[1], *(value[2] or [])])
