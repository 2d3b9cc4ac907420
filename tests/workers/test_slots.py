"""Slots are booked whole or not at all, GPUs one job each, and the machine is seen as this process may use it."""

import threading

import pytest

from pykatib.workers.slots import Assignment, Machine, Request, Slots, gpu_ids_in_environment, gpu_ids_in_listing

MACHINE = Machine(millicpus=2000, memory_bytes=8 << 30, gpu_ids=("GPU-a", "GPU-b"))


def test_a_request_of_nothing_is_always_granted() -> None:
    slots = Slots(MACHINE)
    slots.try_take("busy", Request(millicpus=2000, memory_bytes=8 << 30, gpus=2))
    assert slots.try_take("idle", Request()) == Assignment()


def test_ten_tenths_of_a_cpu_are_one_cpu() -> None:
    slots = Slots(Machine(millicpus=1000, memory_bytes=1))
    taken = [slots.try_take(str(number), Request(millicpus=100)) for number in range(11)]
    assert [one is not None for one in taken] == [True] * 10 + [False]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(Request(millicpus=1500), id="cpu"),
        pytest.param(Request(memory_bytes=5 << 30), id="memory"),
        pytest.param(Request(gpus=2), id="gpus"),
    ],
)
def test_what_is_taken_is_free_again_after_release(request_: Request) -> None:
    slots = Slots(MACHINE)
    before = slots.free
    assert slots.try_take("first", request_) is not None
    assert slots.try_take("second", request_) is None
    slots.release("first")
    assert slots.free == before
    assert slots.try_take("second", request_) is not None


def test_a_refused_request_books_nothing() -> None:
    slots = Slots(MACHINE)
    slots.try_take("first", Request(gpus=1))
    before = slots.free
    assert slots.try_take("second", Request(millicpus=100, gpus=2)) is None
    assert slots.free == before


def test_gpus_are_given_to_one_job_at_a_time() -> None:
    slots = Slots(MACHINE)
    first = slots.try_take("first", Request(gpus=1))
    second = slots.try_take("second", Request(gpus=1))
    assert first is not None
    assert second is not None
    assert set(first.gpu_ids + second.gpu_ids) == {"GPU-a", "GPU-b"}


def test_asking_again_returns_what_the_job_has() -> None:
    slots = Slots(MACHINE)
    first = slots.try_take("job", Request(gpus=1, millicpus=2000))
    assert slots.try_take("job", Request(gpus=1, millicpus=2000)) == first
    assert slots.free.gpus == 1


def test_a_job_found_again_keeps_its_gpu() -> None:
    slots = Slots(MACHINE)
    slots.hold("found", Request(gpus=1), Assignment(gpu_ids=("GPU-b",)))
    assert slots.try_take("new", Request(gpus=1)) == Assignment(gpu_ids=("GPU-a",))


def test_more_cpus_than_the_machine_has_are_all_of_them() -> None:
    slots = Slots(MACHINE)
    assert slots.try_take("large", Request(millicpus=64000, memory_bytes=1 << 50)) is not None
    assert slots.free.millicpus == 0
    assert slots.free.memory_bytes == 0


def test_releasing_what_was_never_taken_does_nothing() -> None:
    slots = Slots(MACHINE)
    slots.release("nobody")
    assert slots.free == Request(millicpus=2000, memory_bytes=8 << 30, gpus=2)


def test_threads_never_share_a_gpu() -> None:
    slots = Slots(Machine(millicpus=1000, memory_bytes=1, gpu_ids=tuple(map(str, range(8)))))
    taken: list[Assignment | None] = []
    threads = [
        threading.Thread(target=lambda job=job: taken.append(slots.try_take(job, Request(gpus=1))))
        for job in map(str, range(16))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [gpu_id for one in taken if one is not None for gpu_id in one.gpu_ids]
    assert sorted(ids) == sorted(map(str, range(8)))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, None, id="unsaid"),
        pytest.param({"CUDA_VISIBLE_DEVICES": ""}, (), id="none"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "-1"}, (), id="minus one"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "1, 0"}, ("1", "0"), id="two"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ("0",), id="cut at the first bad one"),
        pytest.param({"HIP_VISIBLE_DEVICES": "2"}, ("2",), id="amd"),
    ],
)
def test_visible_devices_name_the_gpus(environment: dict[str, str], expected: tuple[str, ...] | None) -> None:
    assert gpu_ids_in_environment(environment) == expected


LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11)
  MIG 3g.20gb     Device  0: (UUID: MIG-a)
  MIG 3g.20gb     Device  1: (UUID: MIG-b)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22)
"""


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        pytest.param(LISTING, ("MIG-a", "MIG-b", "GPU-22"), id="one cut into MIG devices"),
        pytest.param("No devices found.\n", (), id="none"),
    ],
)
def test_a_listing_names_the_gpus(listing: str, expected: tuple[str, ...]) -> None:
    assert gpu_ids_in_listing(listing) == expected


def test_this_machine_has_a_cpu_and_memory_and_the_gpus_that_the_environment_names() -> None:
    machine = Machine.detect({"CUDA_VISIBLE_DEVICES": "3"})
    assert machine.millicpus > 0
    assert machine.memory_bytes > 1 << 20
    assert machine.gpu_ids == ("3",)
