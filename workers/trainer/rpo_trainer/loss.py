"""The losses, one screen.

Paper (arXiv 2505.22172):
    L = -log sigmoid( beta * [log pi(y_c|x) - log ref(y_c|x)]
                    - beta * [log pi(y_r|x) - log ref(y_r|x)] - gamma * g )
Authors' code:
    L = -log sigmoid( beta * ( [..] - [..] - gamma * g ) ), a margin smaller by beta.
margin_scale tells them apart: "reward" is the paper, "logit" the code. dpo has no
margin. sft is the negative log-likelihood of the chosen response per token.

All inputs and outputs are float32 [P], P pairs; g counts constraints.
"""

import math

import torch
import torch.nn.functional as F


def reward_margin(loss, margin_scale, beta, gamma, g_P):
    """The margin in units of reward (beta times log-ratio)."""
    if loss == "dpo":
        return torch.zeros_like(g_P)
    return gamma * g_P if margin_scale == "reward" else beta * gamma * g_P


def preference_loss(chosen_P, rejected_P, ref_chosen_P, ref_rejected_P, margin_P, beta):
    """Loss per pair and the two rewards; margin_P comes from reward_margin."""
    reward_chosen_P = beta * (chosen_P - ref_chosen_P)
    reward_rejected_P = beta * (rejected_P - ref_rejected_P)
    loss_P = F.softplus(margin_P - (reward_chosen_P - reward_rejected_P))
    return loss_P, reward_chosen_P, reward_rejected_P


def untrained_loss(margins) -> float:
    """What the loss must be while the policy still is the reference: mean softplus(margin)."""
    return sum(math.log1p(math.exp(-abs(m))) + max(m, 0.0) for m in margins) / len(margins)
