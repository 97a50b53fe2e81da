"""Human judgement in pairs (two-alternative forced choice): which of two drawings of a photograph is better?

Which model is on the left is random in every trial and not shown. Votes are kept in a file, line by line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import runs

CHANCE = 0.5


@dataclass(frozen=True)
class Trial:
    """One question: a photograph, and which model's drawing is on the left."""

    number: int
    photo: str
    left: str
    right: str


@dataclass(frozen=True)
class Preference:
    """How often the first model was preferred.

    Args:
        first, second: the models.
        wins: votes for the first one.
        votes: all votes.
        share: wins / votes; NaN without votes.
        low, high: 95 % interval by Clopper and Pearson (1934), exact for a binomial.
    """

    first: str
    second: str
    wins: int
    votes: int
    share: float
    low: float
    high: float

    def __str__(self) -> str:
        if not self.votes:
            return "no votes yet"
        verdict = "cannot be told from chance"
        if self.low > CHANCE or self.high < CHANCE:
            verdict = f"{self.first if self.low > CHANCE else self.second} is preferred"
        return f"{self.first}: {self.wins} of {self.votes} ({self.share:.0%}, 95 % {self.low:.0%} to {self.high:.0%}): {verdict}"


def preference(first: str, second: str, wins: int, votes: int) -> Preference:
    """Return the share of votes for the first model with its exact binomial interval."""
    from scipy.stats import binomtest

    if not votes:
        return Preference(first, second, 0, 0, float("nan"), 0.0, 1.0)
    interval = binomtest(wins, votes).proportion_ci(0.95, method="exact")
    return Preference(first, second, wins, votes, wins / votes, float(interval.low), float(interval.high))


@dataclass
class Session:
    """Questions about two models, and the votes.

    Args:
        models: names of the two models.
        photos: names of the photographs; each is asked about once, then once more with sides changed, and so on.
        file: receives a line of JSON per vote; votes that are there already count.
        seed: of the order.
    """

    models: tuple[str, str]
    photos: Sequence[str]
    file: Path
    seed: int = 0
    votes: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.file.exists():
            self.votes = _read_votes(self.file)
            strange = {vote["better"] for vote in self.votes} | {vote["worse"] for vote in self.votes}
            if not strange <= set(self.models):
                raise UserError(
                    f"{self.file}: holds votes about {', '.join(sorted(strange))}; name another --votes file"
                )

    def trial(self, number: int) -> Trial:
        """Return question `number`, from 0; every photograph once a round, sides changed from round to round."""
        around, place = divmod(number, len(self.photos))
        order = np.random.default_rng([self.seed, around]).permutation(len(self.photos))
        photo = self.photos[order[place]]
        flipped = np.random.default_rng([self.seed, int(order[place])]).integers(2) ^ (around % 2)
        left, right = self.models[::-1] if flipped else self.models
        return Trial(number, photo, left, right)

    def next(self) -> Trial:
        """Return the next question."""
        return self.trial(len(self.votes))

    def vote(self, trial: Trial, left: bool) -> None:
        """Keep a vote; a second vote on the same question, as by a double click, does not count."""
        if trial.number != len(self.votes):
            return
        better, worse = (trial.left, trial.right) if left else (trial.right, trial.left)
        self.votes.append({**asdict(trial), "better": better, "worse": worse})
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.votes[-1]) + "\n")

    def result(self) -> Preference:
        """Return how often the first model was preferred."""
        wins = sum(vote["better"] == self.models[0] for vote in self.votes)
        return preference(*self.models, wins, len(self.votes))


def _read_votes(file: Path) -> list[dict]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    votes = []
    for number, line in enumerate(lines, 1):
        try:
            vote = json.loads(line)
            votes.append({**vote, "better": vote["better"], "worse": vote["worse"]})
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{file}: line {number} is no vote: remove it, or name another --votes file") from None
    return votes


def track(session: Session, sources: Mapping[str, str]) -> None:
    """Log the votes to MLflow, as a run with the share and its interval.

    Args:
        session: the questions and votes.
        sources: where each model comes from, by name.

    Raises:
        UserError: MLflow cannot be reached.
    """
    result = session.result()
    with runs.stage("judge", None, f"judged by people: {result.first} against {result.second}") as stage:
        stage.whole.params({"first": sources[result.first], "second": sources[result.second]})
        numbers = {"preferred": result.share, "preferred_low": result.low, "preferred_high": result.high}
        stage.whole.metrics({**numbers, "votes": result.votes}, 0)
        stage.whole.note("Result", str(result))
        stage.run.files(session.file, "votes")
