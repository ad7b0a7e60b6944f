"""The figures of a step or of an evaluation, from one table of values per pair.

Every rank fills the rows of its own pairs and the tables are summed, so the figures do
not depend on the number of ranks.
"""

# Columns of the table, float64 [pairs, COLUMNS].
LOSS, REWARD_CHOSEN, REWARD_REJECTED, LOGP_CHOSEN, LOGP_REJECTED = range(5)
COLUMNS = 5


def preference_figures(table, g, margin):
    """table: numpy [P, COLUMNS]; g: margins as given [P]; margin: in units of reward [P].

    reward_accuracy counts pairs whose chosen reward is the higher one;
    reward_accuracy_margin those where it is so by more than the margin.
    """
    gap = table[:, REWARD_CHOSEN] - table[:, REWARD_REJECTED]
    by_g = {f"{value:g}": float((gap[g == value] > 0).mean()) for value in sorted(set(g.tolist()))}
    return {
        "loss": float(table[:, LOSS].mean()),
        "reward_accuracy": float((gap > 0).mean()),
        "reward_accuracy_margin": float((gap > margin).mean()),
        "accuracy_by_g": by_g,
        "reward_chosen": float(table[:, REWARD_CHOSEN].mean()),
        "reward_rejected": float(table[:, REWARD_REJECTED].mean()),
        "reward_margin": float(gap.mean()),
        "logp_chosen": float(table[:, LOGP_CHOSEN].mean()),
        "logp_rejected": float(table[:, LOGP_REJECTED].mean()),
    }


def sft_figures(table, response_tokens):
    """The loss is per token: the sum over the step divided by its response tokens."""
    figures = dict.fromkeys(("reward_accuracy", "reward_accuracy_margin", "accuracy_by_g", "reward_chosen",
                             "reward_rejected", "reward_margin", "logp_rejected"))
    return {**figures, "loss": float(table[:, LOSS].sum() / response_tokens),
            "logp_chosen": float(table[:, LOGP_CHOSEN].mean())}
