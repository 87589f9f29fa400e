"""What the toy learner is and can do; Spark is not imported for it."""

from __future__ import annotations

from sparkweights.core.bounds import Bound
from sparkweights.models.declaration import Capabilities, ClassCount, LearnerDeclaration

DIAGONAL_LDA = LearnerDeclaration(
    "diagonal_lda",
    "toy_learner.learner:DiagonalLda",
    params={"shrinkage": Bound(float, 0, 1)},
    defaults={"shrinkage": 0.0},
    capabilities=Capabilities(classes=ClassCount.TWO, linear=True, explainable=True),
)
