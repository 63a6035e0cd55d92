"""A baseline: character n-grams (TF-IDF) and logistic regression, trained on the other sites.

Four models, as is usual: the fine class, the coarse class with its confidence, the equipment class;
and "cut after the last number" for grouping.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.mappers import Asking
from benchmarks.mapping.score import Meaning
from benchmarks.mapping.taxonomy import coarse
from benchmarks.mapping.text import after_last_number, line
from plantroom_shared.errors import ConfigError

_NGRAMS: Final = (2, 5)
_STRENGTH: Final = 10.0
_ROUNDS: Final = 60


@dataclass(slots=True)
class Tfidf(Asking):
    """The trained models over one vocabulary."""

    vectors: Any
    fine: Any
    coarse: Any
    equipment: Any

    def map(self, rows: Sequence[Labelled]) -> list[Meaning]:
        """Predict once per distinct text."""
        texts = list(dict.fromkeys(line(row) for row in rows))
        made = self.vectors.transform(texts)
        shares = self.coarse.predict_proba(made)
        answers = zip(
            self.fine.predict(made),
            self.equipment.predict(made) if self.equipment else [""] * len(texts),
            self.coarse.classes_[shares.argmax(axis=1)],
            shares.max(axis=1),
            strict=True,
        )
        known = dict(zip(texts, answers, strict=True))
        found = []
        for row in rows:
            text = line(row)
            fine, equipment, top, sure = known[text]
            group = after_last_number(row.name)
            found.append(
                Meaning(str(fine), group, str(equipment), float(sure), text, coarse=str(top))
            )
        return found


def train(rows: Sequence[Labelled]) -> Tfidf:
    """Return the models trained on the distinct texts of these rows.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        fix = "start it as ./plantroom bench mapping, or leave the baselines out: --no-baselines"
        msg = "scikit-learn is not installed"
        raise ConfigError(msg, fix=fix) from error
    vectors = TfidfVectorizer(
        analyzer="char_wb", ngram_range=_NGRAMS, min_df=2, sublinear_tf=True, dtype=np.float32
    )
    vectors.fit(sorted({line(row) for row in rows}))

    def fit(label: Callable[[Labelled], str]) -> Any:
        counts = Counter((line(row), name) for row in rows if (name := label(row)))
        if len({name for _, name in counts}) < 2:
            return None
        made = vectors.transform([text for text, _ in counts])
        weights = [1.0 + math.log(count) for count in counts.values()]
        model = LogisticRegression(C=_STRENGTH, max_iter=_ROUNDS)
        return model.fit(made, [name for _, name in counts], sample_weight=weights)

    return Tfidf(
        vectors,
        fit(lambda row: row.point_type),
        fit(lambda row: coarse(row.point_type) if row.point_type else ""),
        fit(lambda row: row.equip_class),
    )


def can_learn(rows: Sequence[Labelled]) -> bool:
    """Tell whether there is enough to train on: two coarse classes at least."""
    return len({coarse(row.point_type) for row in rows if row.point_type}) > 1
