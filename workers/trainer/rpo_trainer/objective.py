"""From a micro-batch to its loss and its figures, for every method from one batch format.

Legend: P examples of a micro-batch, S sequences of it.
"""

import torch

from . import loss as losses
from . import meters
from .errors import invalid
from .logprob import full_logprob
from .packing import micro_batches
from .refcache import ROLES

# How far the first loss may be from what it must be.
GATE_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}


class Objective:
    """Examples with their reference values, and the loss that config names."""

    def __init__(self, config, group, policy, examples, others, reference):
        """others: kto's mismatched completions beside examples, else empty; reference [examples, 2] or None."""
        self.config, self.group, self.policy = config, group, policy
        self.examples, self.others = examples, others
        self.g = torch.tensor([example.margin for example in examples], dtype=torch.float32)
        self.desirable = torch.tensor([example.desirable for example in examples])
        self.margin = losses.reward_margin(config.loss, config.margin_scale, config.beta, config.gamma, self.g)
        self.reference = None if reference is None else torch.from_numpy(reference)
        self.z = 0.0

    def begin(self, indices):
        """Prepare a step or an evaluation of these examples: kto's baseline needs all of them."""
        if self.config.loss == "kto":
            self.z = self._baseline([index for index in indices if self.others[index] is not None])

    def divisor(self, indices):
        """The sum of losses over all ranks is divided by it."""
        if self.config.loss == "sft":
            return sum(len(self.examples[index].responses[0]) for index in indices)
        return len(indices)

    def batches(self, indices):
        config = self.config
        return micro_batches(self.examples, indices, config.pairs_per_batch, self.group.world_size, self.group.rank,
                             config.layout, config.tokens_per_batch)

    def losses(self, batch):
        """Loss per example [P] and the rows of the meters' table [P, COLUMNS]."""
        logprobs_S = self.policy.logprobs(batch)
        logprobs = [logprobs_S[[row[number] for row in batch.sequences_P]]
                    for number in range(len(batch.sequences_P[0]))]
        return self.from_logprobs(batch.examples, *logprobs)

    def from_logprobs(self, examples, first_P, second_P=None):
        """first_P: chosen or the completion; second_P: rejected."""
        config, device = self.config, first_P.device
        rows = torch.zeros(len(examples), meters.COLUMNS, dtype=torch.float64, device=device)

        def note(**columns):
            for column, values in columns.items():
                rows[:, getattr(meters, column)] = values.detach().double()

        lengths_P = torch.tensor([len(self.examples[index].responses[0]) for index in examples], device=device)
        reference = None if self.reference is None else self.reference[examples].to(device)
        if config.loss == "sft":
            loss_P = -first_P
        elif config.loss == "kto":
            desirable_P = self.desirable[examples].to(device)
            loss_P, reward_P = losses.kto_loss(first_P, reference[:, 0], desirable_P, self.z, config.beta,
                                               config.desirable_weight, config.undesirable_weight)
            note(REWARD_CHOSEN=reward_P, LOG_RATIO=first_P - reference[:, 0])
        else:
            loss_P, chosen_P, rejected_P = losses.preference_loss(
                first_P, second_P, reference[:, 0], reference[:, 1], self.margin[examples].to(device), config.beta)
            note(REWARD_CHOSEN=chosen_P, REWARD_REJECTED=rejected_P, LOGP_REJECTED=second_P,
                 LOG_RATIO=(first_P - reference[:, 0] + second_P - reference[:, 1]) / 2)
        if config.sft_weight:
            nll_P = -first_P / lengths_P
            loss_P = loss_P + config.sft_weight * nll_P
        note(LOSS=loss_P, LOGP_CHOSEN=first_P)
        return loss_P, rows

    def figures(self, table, indices):
        """Figures of examples from their summed table, numpy [len(indices), COLUMNS]."""
        if self.config.loss == "sft":
            return meters.sft_figures(table, self.divisor(indices))
        if self.config.loss == "kto":
            return meters.kto_figures(table, self.desirable[indices].numpy(), self.z)
        return meters.preference_figures(table, self.g[indices].numpy(), self.margin[indices].numpy())

    def _baseline(self, indices):
        """z: from the mismatched completions of the whole step, without gradients."""
        total = torch.zeros(1, dtype=torch.float64, device=self.group.device)
        if not indices:
            return 0.0
        config = self.config
        for batch in micro_batches(self.others, indices, config.pairs_per_batch, self.group.world_size,
                                   self.group.rank, config.layout, config.tokens_per_batch):
            with torch.no_grad():
                logprobs_P = self.policy.logprobs(batch)[[row[0] for row in batch.sequences_P]]
            reference_P = self.reference[batch.examples, 1].to(logprobs_P.device)
            total += batch.weight * (logprobs_P - reference_P).double().sum()
        return losses.kto_baseline(float(self.group.sum_(total)), len(indices), config.beta)

    # The gate: what the loss must be before anything is trained.

    def check_first(self, loss, table, indices):
        """Stop the run if the first loss is not what an untrained policy must have.

        rpo, dpo: mean softplus(margin), as the policy is its reference. Anything with a
        likelihood in it: what the same examples give one by one, unpacked and with full
        logits. A wrong packing, kernel, mask, chunk, tokenizer or reference shows here,
        before any time is spent.
        """
        tolerance = GATE_TOLERANCE[self.config.dtype]
        if self.config.loss in ("rpo", "dpo") and not self.config.sft_weight:
            expected = losses.untrained_loss(self.margin[indices].tolist())
            found = "with a policy equal to its reference it must be"
        else:
            expected = self._recompute(indices)
            tolerance *= max(1.0, abs(expected))
            found = "computed anew, unpacked and with full logits, it is"
        if abs(loss - expected) <= tolerance:
            return
        raise invalid(f"the first loss is {loss:.5f}, but {found} {expected:.5f} (tolerance {tolerance:.2g}); "
                      + self._diagnose(table, indices))

    def _recompute(self, indices):
        """The loss of examples from plain sequences; each rank does its share."""
        total = torch.zeros(1, dtype=torch.float64, device=self.group.device)
        world, rank = self.group.world_size, self.group.rank
        for first in range(0, len(indices), world):
            index = indices[min(first + rank, len(indices) - 1)]
            loss_P, _ = self.from_logprobs([index], *self._plain(index))
            if first + rank < len(indices):
                total += loss_P.detach().double().sum()
        return float(self.group.sum_(total)) / self.divisor(indices)

    def _plain(self, index):
        example = self.examples[index]
        return [full_logprob(self.policy, example.prompt, response)[None] for response in example.responses]

    def _diagnose(self, table, indices):
        """Name the part that is wrong, at the example whose reward is furthest from zero."""
        if self.reference is None:
            return "the packed forward pass disagrees with the plain one: use layout none and report it"
        gap = abs(table[:, [meters.REWARD_CHOSEN, meters.REWARD_REJECTED]])
        row, role = divmod(int(gap.argmax()), 2)
        index = indices[row]
        plain = float(self._plain(index)[role])
        packed = float(table[row, (meters.LOGP_CHOSEN, meters.LOGP_REJECTED)[role]])
        cached = float(self.reference[index, role])
        says = (f"pair {self.examples[index].pair_id} {ROLES[self.config.loss][role]}: log-probability {packed:.4f} in "
                f"the step, {plain:.4f} unpacked, {cached:.4f} in the reference: ")
        scale = 1e-5 if self.config.dtype == "float32" else 3e-3
        if abs(packed - plain) > max(1e-2, scale * abs(plain)):
            return says + "the packed forward pass disagrees with the plain one: use layout none and report it"
        return says + "the reference log-probabilities do not belong to this model, tokenizer, dtype or data"
