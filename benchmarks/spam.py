"""How well the spam filter tells spam from real comments, by the number of decisions.

    python benchmarks/spam.py            # a minute; prints tables in Markdown
    python benchmarks/spam.py --write    # puts them into docs/spam.md

1,000 spam and 1,000 real comments, judged by people (tests/judged), are sent in a random order. The
author decides on the first of them, spam or not; the filter judges all that follow.
"""

import argparse
import random
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# Not the directory of this file, where `pool` would be a file in it.
sys.path[0] = str(ROOT)

from benchmarks import docs  # noqa: E402
from blog.comments.spam import Learnt, Signals, Verdict, addresses, judge, read, tokens  # noqa: E402

JUDGED = ROOT / "tests" / "judged" / "comments.tsv"
PAGE = ROOT / "docs" / "spam.md"

DECISIONS = (20, 50, 200, 500)
ORDERS = 21
#: The number of held comments that are printed.
SHOWN = 6
#: The printed part of each, in characters.
LENGTH = 160


class Comment(NamedTuple):
    kind: str
    text: str


@dataclass
class Outcome:
    """The verdicts on the comments after the decisions, by kind."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    held: list[tuple[Comment, Verdict]] = field(default_factory=list)

    def share(self, kind: str, decision: str) -> float:
        of_kind = sum(number for (each, _), number in self.counts.items() if each == kind)
        return self.counts[kind, decision] / of_kind


def judged() -> list[Comment]:
    """Return all comments, each with the judgement of people: ``spam`` or ``real``."""
    lines = JUDGED.read_text(encoding="utf-8").splitlines()
    return [Comment(*line.split("\t", 1)) for line in lines]


def learn(comments: Sequence[Comment]) -> Learnt:
    """Return what the filter learns when the author decides on `comments`."""
    kinds = Counter(comment.kind for comment in comments)
    words: dict[str, Counter[str]] = {}
    for comment in comments:
        for token in tokens(comment.text, links=addresses(comment.text)):
            words.setdefault(token, Counter())[comment.kind] += 1
    counts = {word: (number["spam"], number["real"]) for word, number in words.items()}
    return Learnt(kinds["spam"], kinds["real"], counts)


def run(comments: Sequence[Comment], decisions: int, order: int) -> Outcome:
    """Let the filter judge all but the first comments.

    :param decisions: the number of comments that the author decides on.
    :param order: the seed of the order of the comments.
    """
    stream = list(comments)
    random.Random(order).shuffle(stream)  # noqa: S311 - no secret
    learnt = learn(stream[:decisions])
    seen = Counter(comment.text for comment in stream[:decisions])
    outcome = Outcome()
    for comment in stream[decisions:]:
        links = addresses(comment.text)
        signals = Signals(read(comment.text, links=links), copies=seen[comment.text])
        verdict = judge(signals, learnt)
        seen[comment.text] += 1
        outcome.counts[comment.kind, verdict.decision] += 1
        if verdict.decision == "hold":
            outcome.held.append((comment, verdict))
    return outcome


def report(orders: int) -> str:
    """Return the tables: both kinds of error, and some held comments with the reasons."""
    comments = judged()
    rows = []
    for decisions in DECISIONS:
        outcomes = [run(comments, decisions, order) for order in range(orders)]
        errors = (("real", "hold"), ("spam", "publish"))
        cells = ([outcome.share(*error) * 100 for outcome in outcomes] for error in errors)
        rows.append([f"{decisions}", *(docs.spread(each) for each in cells)])
    head = ["decisions", "real comments held, %", "spam published, %"]
    held = run(comments, 50, 0).held
    examples = [[_cell(c.text[:LENGTH]), c.kind, _cell(str(why))] for c, why in held[:SHOWN]]
    examples += [
        [_cell(c.text[:LENGTH]), c.kind, _cell(str(why))] for c, why in held if c.kind == "real"
    ][:2]
    return (
        f"{docs.table(head, rows)}\n"
        f"Medians of {orders} random orders of the comments, with the minimum and the maximum. "
        f"{docs.surroundings()}\n"
        f"Reasons given to the author after 50 decisions in the first of these orders: the first "
        f"{SHOWN} comments held, and the first two of them that are real:\n\n"
        f"{docs.table(['comment', 'kind', 'reason'], examples)}"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def medians(decisions: int, orders: int) -> tuple[float, float]:
    """Return the shares of real comments that are held and of spam that is published."""
    outcomes = [run(judged(), decisions, order) for order in range(orders)]
    return (
        statistics.median(outcome.share("real", "hold") for outcome in outcomes),
        statistics.median(outcome.share("spam", "publish") for outcome in outcomes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/spam.md")
    parser.add_argument("--orders", type=int, default=ORDERS, help="the number of random orders")
    arguments = parser.parse_args()
    around = docs.page_around(PAGE) if arguments.write else None
    tables = report(arguments.orders)
    if around is None:
        print(tables)  # noqa: T201
    else:
        docs.put(PAGE, around, tables)


if __name__ == "__main__":
    main()
