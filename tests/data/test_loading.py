"""Every process count sees the same batches, and a reading that was cut off goes on where it stood."""

from __future__ import annotations

import itertools
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.data.dataset import PictureDataset
from dogbreed.data.folder import list_class_names, scan_split
from dogbreed.data.loading import BatchLoader, GlobalBatches, default_workers
from dogbreed.data.transforms import CropFlip, TransformSpec
from dogbreed.errors import ConfigError

SPEC = TransformSpec(size=16, resize=16, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))

# Any split, batch and number of processes that may share it.
shares = st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(1, 12)).filter(lambda case: case[2] <= case[1])
seeds_and_epochs = st.tuples(st.integers(0, 5), st.integers(0, 5))
unhurried = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def read(size: int, batch_size: int, *, shuffle: bool, seed: int = 0, epoch: int = 0, rank: int = 0, world: int = 1):
    """The batches of one process."""
    batches = GlobalBatches(size, batch_size, shuffle=shuffle, seed=seed, rank=rank, world_size=world)
    batches.set_epoch(epoch)
    found = list(batches)
    assert len(found) == len(batches)
    return found


def read_all(size: int, batch_size: int, world: int, **options):
    """The batches of each of several processes."""
    return [read(size, batch_size, rank=rank, world=world, **options) for rank in range(world)]


# Which pictures


@unhurried
@given(case=shares, seed_and_epoch=seeds_and_epochs, shuffle=st.booleans())
def test_global_batches__processes_share_the_batch_of_one(case, seed_and_epoch, shuffle):
    size, batch_size, world = case
    seed, epoch = seed_and_epoch
    alone = read(size, batch_size, shuffle=shuffle, seed=seed, epoch=epoch)
    shared = read_all(size, batch_size, world, shuffle=shuffle, seed=seed, epoch=epoch)
    for batch, parts in zip(alone, zip(*shared, strict=True), strict=False):
        together = list(itertools.chain(*parts))
        assert sorted(together) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@unhurried
@given(case=shares, shuffle=st.booleans())
def test_global_batches__every_process_has_as_many(case, shuffle):
    size, batch_size, world = case
    assert len({len(batches) for batches in read_all(size, batch_size, world, shuffle=shuffle)}) == 1


@unhurried
@given(case=shares)
def test_global_batches__evaluation_counts_every_picture_once(case):
    size, batch_size, world = case
    parts = read_all(size, batch_size, world, shuffle=False)
    seen = sorted(key for batches in parts for batch in batches for key in batch)
    assert seen == [(0, index) for index in range(size)]


@unhurried
@given(case=shares, seed_and_epoch=seeds_and_epochs)
def test_global_batches__training_leaves_out_fewer_than_the_processes(case, seed_and_epoch):
    size, batch_size, world = case
    seed, epoch = seed_and_epoch
    parts = read_all(size, batch_size, world, shuffle=True, seed=seed, epoch=epoch)
    seen = [key for batches in parts for batch in batches for key in batch]
    assert len(set(seen)) == len(seen) > size - world
    assert all(batch for batches in parts for batch in batches)


@unhurried
@given(case=shares)
def test_global_batches__one_process_trains_on_every_picture(case):
    size, batch_size, _ = case
    seen = sorted(index for batch in read(size, batch_size, shuffle=True) for _, index in batch)
    assert seen == list(range(size))


def test_global_batches__evaluation_keeps_the_splits_order():
    keys = list(itertools.chain(*read(20, 6, shuffle=False)))
    assert keys == [(0, index) for index in range(20)]


# In which order


def test_global_batches__order_depends_on_seed_and_epoch():
    orders = {
        str([index for batch in read(40, 8, shuffle=True, seed=seed, epoch=epoch) for _, index in batch])
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_global_batches__order_is_the_same_again():
    torch.manual_seed(0)
    first = read(40, 8, shuffle=True, seed=4, epoch=2)
    torch.manual_seed(1)
    assert read(40, 8, shuffle=True, seed=4, epoch=2) == first


def test_global_batches__order_does_not_depend_on_the_batch_size():
    orders = [list(itertools.chain(*read(40, batch_size, shuffle=True))) for batch_size in (3, 8, 40, 100)]
    assert all(order == orders[0] for order in orders)


def test_global_batches__keys_carry_the_epoch():
    assert {epoch for batch in read(20, 6, shuffle=True, epoch=3) for epoch, _ in batch} == {3}


def test_global_batches__leave_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    read(40, 8, shuffle=True)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(("batch_size", "world"), [(1, 2), (7, 8)])
def test_global_batches__more_processes_than_pictures_in_a_batch(batch_size, world):
    with pytest.raises(ConfigError, match=f"a batch of {batch_size} for {world} processes") as caught:
        GlobalBatches(100, batch_size, shuffle=True, seed=0, world_size=world)
    assert f"data.batch_size={world}" in caught.value.hint


# Going on in the middle


@pytest.fixture(scope="module")
def make_loader(shared_folder):
    """Makes a loader of 32 pictures in 7 batches."""
    split = scan_split("train", shared_folder / "train", list_class_names(shared_folder / "train"))
    dataset = PictureDataset(split, SPEC, CropFlip(scale=(0.3, 1.0), ratio=(1.0, 1.0)), seed=1)

    def make(num_workers: int = 0, epoch: int = 0, rank: int = 0, world: int = 1) -> BatchLoader:
        batches = GlobalBatches(len(split), 5, shuffle=True, seed=1, rank=rank, world_size=world)
        batches.set_epoch(epoch)
        return BatchLoader(dataset, batches, num_workers=num_workers, pin_memory=False)

    return make


def set_epoch(loader: BatchLoader, epoch: int) -> None:
    """As Lightning does before each epoch."""
    loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]


def assert_same(found, expected) -> None:
    assert [batch.positions.tolist() for batch in found] == [batch.positions.tolist() for batch in expected]
    assert all(torch.equal(ours.inputs, theirs.inputs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("given_before", [1, 4, 6])
def test_picture_loader__goes_on_with_the_remaining_batches(make_loader, num_workers, given_before):
    whole = list(make_loader(epoch=2))
    interrupted = make_loader(num_workers, epoch=2)
    first = list(itertools.islice(interrupted, given_before))
    state = interrupted.state_dict()
    resumed = make_loader(num_workers, epoch=2)
    resumed.load_state_dict(state)
    assert_same(first + list(resumed), whole)


def test_picture_loader__goes_on_with_its_share_of_the_remaining_batches(make_loader):
    whole = list(make_loader(rank=1, world=2))
    interrupted = make_loader(rank=1, world=2)
    first = list(itertools.islice(interrupted, 3))
    resumed = make_loader(rank=1, world=2)
    resumed.load_state_dict(interrupted.state_dict())
    assert_same(first + list(resumed), whole)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_picture_loader__epoch_after_a_resumed_one_is_whole(make_loader, num_workers):
    loader = make_loader(num_workers)
    loader.load_state_dict({"epoch": 0, "batches": 5})
    assert len(list(loader)) == 2
    set_epoch(loader, 1)
    assert_same(list(loader), list(make_loader(epoch=1)))


def test_picture_loader__second_reading_of_a_resumed_epoch_is_whole(make_loader):
    loader = make_loader()
    loader.load_state_dict({"epoch": 0, "batches": 5})
    list(loader)
    assert_same(list(loader), list(make_loader()))


def test_picture_loader__resumed_loader_can_be_saved_again(make_loader):
    whole, loader = list(make_loader()), make_loader()
    loader.load_state_dict({"epoch": 0, "batches": 2})
    next(iter(loader))
    again = make_loader()
    again.load_state_dict(loader.state_dict())
    assert_same(list(again), whole[3:])


def test_picture_loader__state_before_the_first_batch(make_loader):
    loader = make_loader()
    loader.load_state_dict(make_loader().state_dict())
    assert_same(list(loader), list(make_loader()))


@pytest.mark.parametrize("given_before", [3, 7], ids=["cut short", "whole"])
def test_picture_loader__state_of_an_ended_epoch_leaves_the_next_one_whole(make_loader, given_before):
    ended = make_loader()
    list(itertools.islice(ended, given_before))
    resumed = make_loader()  # Lightning may load the state before it says which epoch comes
    resumed.load_state_dict(ended.state_dict())
    set_epoch(resumed, 1)
    assert_same(list(resumed), list(make_loader(epoch=1)))


def test_picture_loader__left_early_begins_anew(make_loader):
    loader = make_loader(2)
    next(iter(loader))
    set_epoch(loader, 1)
    assert_same(list(loader), list(make_loader(epoch=1)))


def test_picture_loader__each_epoch_has_other_views(make_loader):
    loader = make_loader()
    first = {int(p): image for batch in loader for p, image in zip(batch.positions, batch.inputs, strict=True)}
    set_epoch(loader, 1)
    second = {int(p): image for batch in loader for p, image in zip(batch.positions, batch.inputs, strict=True)}
    assert first.keys() == second.keys()
    assert sum(torch.equal(first[position], second[position]) for position in first) < 3


def test_picture_loader__length_is_that_of_its_batches(make_loader):
    assert len(make_loader()) == 7


# Workers


@pytest.mark.parametrize("processes", [1, 2, 64])
def test_default_workers__is_at_least_one_and_no_more_than_the_machine_has(processes):
    assert 1 <= default_workers(processes) <= max(1, (os.cpu_count() or 1) // processes)
