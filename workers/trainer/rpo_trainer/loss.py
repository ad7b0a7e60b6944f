"""The losses, one screen.

Paper (arXiv 2505.22172):
    L = -log sigmoid( beta * [log pi(y_c|x) - log ref(y_c|x)]
                    - beta * [log pi(y_r|x) - log ref(y_r|x)] - gamma * g )
Authors' code:
    L = -log sigmoid( beta * ( [..] - [..] - gamma * g ) ), a margin smaller by beta.
margin_scale tells them apart: "reward" is the paper, "logit" the code. dpo has no
margin. kto (arXiv 2402.01306, eq. 8):
    L = weight * (1 - sigmoid( s * (beta * log-ratio - z) )), s = 1 if desirable, else -1,
with z = max(0, mean of beta * log-ratio over mismatched prompts and completions), a
constant. sft is the negative log-likelihood of the completion per token; the NLL mix adds
sft_weight times the chosen response's negative log-likelihood per token of its own.

All inputs and outputs are float32 [P], P examples; g counts constraints.
"""

import math

import torch
import torch.nn.functional as F


def reward_margin(loss, margin_scale, beta, gamma, g_P):
    """The margin in units of reward (beta times log-ratio)."""
    if loss != "rpo":
        return torch.zeros_like(g_P)
    return gamma * g_P if margin_scale == "reward" else beta * gamma * g_P


def preference_loss(chosen_P, rejected_P, ref_chosen_P, ref_rejected_P, margin_P, beta):
    """Loss per pair and the two rewards; margin_P comes from reward_margin."""
    reward_chosen_P = beta * (chosen_P - ref_chosen_P)
    reward_rejected_P = beta * (rejected_P - ref_rejected_P)
    loss_P = F.softplus(margin_P - (reward_chosen_P - reward_rejected_P))
    return loss_P, reward_chosen_P, reward_rejected_P


def kto_loss(logp_P, ref_P, desirable_P, z, beta, desirable_weight, undesirable_weight):
    """Loss per example and its reward; desirable_P is bool, z a number from kto_baseline."""
    reward_P = beta * (logp_P - ref_P)
    sign_P = torch.where(desirable_P, 1.0, -1.0)
    weight_P = torch.where(desirable_P, desirable_weight, undesirable_weight)
    return weight_P * (1.0 - torch.sigmoid(sign_P * (reward_P - z))), reward_P


def kto_baseline(log_ratio_sum, count, beta):
    """z of kto_loss from the sum of log-ratios of mismatched completions of the whole step."""
    return max(0.0, beta * log_ratio_sum / count) if count else 0.0


def untrained_loss(margins) -> float:
    """What the loss must be while the policy still is the reference: mean softplus(margin)."""
    return sum(math.log1p(math.exp(-abs(m))) + max(m, 0.0) for m in margins) / len(margins)
