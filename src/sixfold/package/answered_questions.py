"""What the user's own questions show of a language model, before it was tuned and now."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sixfold.evaluate.questions import Answered, answers, read_questions, share_right
from sixfold.parts.fit import Fitted
from sixfold.parts.language_model import LanguageModel
from sixfold.recipe.report import AnsweredQuestion, QuestionScores
from sixfold.recipe.reporting import Reporting

SHOWN: Final = 50  # questions in the report
LONGEST: Final = 1_000  # characters of each text there


def asked(recipe: Reporting, origin: Fitted | None, model: Fitted) -> QuestionScores | None:
    """None without questions. `origin`: what was tuned. Raises DataError for a file that changed since it
    was read first, TypeError for what is no language model.
    """
    if recipe.questions is None:
        return None
    questions = read_questions(Path(recipe.questions))
    before = None if origin is None else answers(_language(origin), questions)
    after = answers(_language(model), questions)
    return QuestionScores(
        count=len(questions),
        exact_before=None if before is None else share_right(before, choices=False),
        exact=share_right(after, choices=False),
        choice_before=None if before is None else share_right(before, choices=True),
        choice=share_right(after, choices=True),
        asked=tuple(
            _shown(one, None if before is None else before[number])
            for number, one in enumerate(after[:SHOWN])
        ),
    )


def _shown(after: Answered, before: Answered | None) -> AnsweredQuestion:
    return AnsweredQuestion(
        question=after.question.text[:LONGEST],
        right=after.question.answer[:LONGEST],
        choices=bool(after.question.choices),
        before=None if before is None else before.text[:LONGEST],
        after=after.text[:LONGEST],
    )


def _language(fitted: Fitted) -> LanguageModel:
    if not isinstance(fitted, LanguageModel):
        raise TypeError(f"{type(fitted).__name__} is no LanguageModel")
    return fitted
