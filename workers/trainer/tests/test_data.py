import numpy as np
import pytest
import tiny

from rpo_trainer import data
from rpo_trainer.config import TrainConfig
from rpo_trainer.errors import TrainerError
from rpo_trainer.order import make_order
from rpo_trainer.packing import micro_batches
from rpo_trainer.tokens import ChatTokenizer


def make(count, profiles=20, seed=0):
    rng = np.random.default_rng(seed)
    return [data.Example(f"p{n}", f"profile-{n % profiles}", rng.integers(1, 9, rng.integers(2, 30)).astype(np.int32),
                      [rng.integers(1, 9, rng.integers(1, 30)).astype(np.int32) for _ in range(2)]) for n in range(count)]


def config(**values):
    return TrainConfig(model_dir="m", data=["d"], out_dir="o", **values)


@pytest.mark.parametrize("loss", ["rpo", "sft"])
def test_the_order_is_a_pure_function_of_seed_epoch_and_position(loss):
    pairs = make(50)
    order = make_order(pairs, config(loss=loss, epochs=3.0, pairs_per_step=8, seed=4))
    steps = list(order.steps())
    assert [step for step, _ in steps] == list(range(1, order.total_steps + 1))
    assert sorted(index for _, indices in steps for index in indices) == sorted(list(range(50)) * 3)
    for start in (1, 7, order.total_steps - 1):
        assert list(order.steps(start)) == steps[start:]
    # Another order of the files gives the same order of training.
    shuffled = list(reversed(pairs))
    again = make_order(shuffled, config(loss=loss, epochs=3.0, pairs_per_step=8, seed=4))
    ids = [[pairs[index].pair_id for index in indices] for _, indices in steps]
    if loss == "rpo":
        assert [[shuffled[index].pair_id for index in indices] for _, indices in again.steps()] == ids
    other = make_order(pairs, config(loss=loss, epochs=3.0, pairs_per_step=8, seed=5))
    assert list(other.steps()) != steps


@pytest.mark.parametrize("max_steps, steps", [(0, 19), (7, 7), (19, 19), (40, 19)])
def test_max_steps_ends_earlier_than_the_epochs_and_never_later(max_steps, steps):
    pairs = make(50)
    order = make_order(pairs, config(epochs=3.0, pairs_per_step=8, max_steps=max_steps))
    assert order.total_steps == steps
    taken = [indices for _, indices in order.steps()]
    whole = make_order(pairs, config(epochs=3.0, pairs_per_step=8))
    assert taken == [indices for _, indices in whole.steps()][:steps]
    assert sum(map(len, taken)) == min(steps * 8, 150)


def test_sft_steps_hold_examples_of_like_length():
    pairs = make(160)
    spread = {}
    for loss in ("sft", "rpo"):
        order = make_order(pairs, config(loss=loss, epochs=1.0, pairs_per_step=8))
        spread[loss] = np.mean([np.ptp([pairs[i].length for i in indices]) for _, indices in order.steps()])
    assert spread["sft"] < spread["rpo"] / 4


def test_no_profile_is_on_both_sides_of_the_split():
    pairs = make(400, profiles=100)
    train, held_out = data.hold_out(pairs, 0.1)
    assert not {p.profile_id for p in train} & {p.profile_id for p in held_out}
    assert len(train) + len(held_out) == 400
    assert 1 <= len({p.profile_id for p in held_out}) <= 25
    # A profile stays on its side when others come and go.
    again, _ = data.hold_out(pairs[:200], 0.1)
    assert {p.profile_id for p in again} <= {p.profile_id for p in train}


def test_few_profiles_still_leave_one_held_out_and_one_profile_none():
    assert len({p.profile_id for p in data.hold_out(make(9, profiles=3), 0.01)[1]}) == 1
    assert data.hold_out(make(9, profiles=1), 0.5)[1] == []


def test_long_pairs_are_dropped_and_counted_never_truncated():
    pairs = make(60)
    kept, dropped = data.drop_long(pairs, 30)
    assert dropped == 60 - len(kept) > 0
    assert all(pair.length <= 30 for pair in kept)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_rank_runs_as_many_micro_batches_and_every_pair_counts_once(world_size):
    pairs = make(11)
    indices = list(range(11))
    runs = [list(micro_batches(pairs, indices, 3, world_size, rank)) for rank in range(world_size)]
    assert len({len(run) for run in runs}) == 1
    counted = [index for run in runs for batch in run if batch.weight for index in batch.examples]
    assert sorted(counted) == indices


def test_a_response_is_what_the_template_adds_up_to_the_end_of_turn(base):
    tokenizer = ChatTokenizer(base)
    prompt = [{"role": "system", "content": "red moon"}, {"role": "user", "content": "star"}]
    [(prompt_ids, response_ids)] = tokenizer.encode([(prompt, "blue <|end|> sea")])
    expected = tokenizer.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    assert prompt_ids.tolist() == expected
    assert tokenizer.tokenizer.decode(response_ids) == "blue <|end|> sea<|end|>"
    assert response_ids[-1] == tokenizer.tokenizer.eos_token_id


def test_a_template_whose_prompt_is_no_prefix_is_refused(base):
    tokenizer = ChatTokenizer(base)
    tokenizer.tokenizer.chat_template = tiny.TEMPLATE.replace("{{ bos_token }}", "{{ messages | length }}")
    with pytest.raises(TrainerError, match="no prefix"):
        tokenizer.encode([([{"role": "user", "content": "star"}], "blue")])


def test_a_template_without_an_end_of_turn_is_refused(base):
    tokenizer = ChatTokenizer(base)
    tokenizer.tokenizer.chat_template = tiny.TEMPLATE.replace("<|end|>", "")
    with pytest.raises(TrainerError, match="end-of-turn"):
        tokenizer.encode([([{"role": "user", "content": "star"}], "blue")])


def test_a_prompt_that_ends_with_the_assistant_is_refused(tmp_path, base):
    rows = tiny.make_pairs(2)
    rows[1]["prompt"].append({"role": "assistant", "content": "no"})
    path = tiny.write_pairs(tmp_path / "p.parquet", rows)
    with pytest.raises(TrainerError, match="p.parquet row 1: prompt ends with an assistant"):
        data.read_examples([path], "rpo", ChatTokenizer(base))
