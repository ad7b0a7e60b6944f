"""The figures of a step or of an evaluation, from one table of values per example.

Every rank fills the rows of its own examples and the tables are summed, so the figures do
not depend on the number of ranks.
"""

# Columns of the table, float64 [examples, COLUMNS].
LOSS, REWARD_CHOSEN, REWARD_REJECTED, LOGP_CHOSEN, LOGP_REJECTED, LOG_RATIO = range(6)
COLUMNS = 6

NAMES = ("loss", "reward_accuracy", "reward_accuracy_margin", "accuracy_by_g", "reward_chosen", "reward_rejected",
         "reward_margin", "logp_chosen", "logp_rejected", "kl_estimate")


def named(**values):
    """All figures in their order; those that a method has not are null."""
    return {name: values.get(name) for name in NAMES}


def mean(column):
    return float(column.mean()) if len(column) else None


def preference_figures(table, g, margin):
    """table: numpy [P, COLUMNS]; g: margins as given [P]; margin: in units of reward [P].

    reward_accuracy counts pairs whose chosen reward is the higher one;
    reward_accuracy_margin those where it is so by more than the margin. kl_estimate is the
    mean of -log-ratio per response: the divergence of the policy from its reference, in
    nats, as far as the responses were sampled from the reference.
    """
    gap = table[:, REWARD_CHOSEN] - table[:, REWARD_REJECTED]
    return named(
        loss=mean(table[:, LOSS]),
        reward_accuracy=mean(gap > 0),
        reward_accuracy_margin=mean(gap > margin),
        accuracy_by_g={f"{value:g}": mean(gap[g == value] > 0) for value in sorted(set(g.tolist()))},
        reward_chosen=mean(table[:, REWARD_CHOSEN]),
        reward_rejected=mean(table[:, REWARD_REJECTED]),
        reward_margin=mean(gap),
        logp_chosen=mean(table[:, LOGP_CHOSEN]),
        logp_rejected=mean(table[:, LOGP_REJECTED]),
        kl_estimate=-mean(table[:, LOG_RATIO]))


def kto_figures(table, desirable, z):
    """reward_accuracy counts examples whose reward is on its label's side of z; chosen and
    rejected are the desirable and the undesirable ones; kl_estimate is as for pairs."""
    reward, logp = table[:, REWARD_CHOSEN], table[:, LOGP_CHOSEN]
    both = desirable.any() and not desirable.all()
    return named(
        loss=mean(table[:, LOSS]),
        reward_accuracy=mean((reward > z) == desirable),
        reward_chosen=mean(reward[desirable]),
        reward_rejected=mean(reward[~desirable]),
        reward_margin=mean(reward[desirable]) - mean(reward[~desirable]) if both else None,
        logp_chosen=mean(logp[desirable]),
        logp_rejected=mean(logp[~desirable]),
        kl_estimate=-mean(table[:, LOG_RATIO]))


def sft_figures(table, response_tokens):
    """The loss is per token: the sum over the step divided by its response tokens."""
    return named(loss=float(table[:, LOSS].sum() / response_tokens), logp_chosen=mean(table[:, LOGP_CHOSEN]))
