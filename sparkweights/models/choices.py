"""Names of choices that the configuration offers and a learner's modules act on."""

UNIFORM, CLASS_BALANCED, LOSS = "uniform", "class_balanced", "loss"  # how rows are drawn
SGD, ADAM = "sgd", "adam"
CONSTANT, INVERSE_TIME, COSINE = "constant", "inverse_time", "cosine"  # learning rates
