"""Threads that learn from a batch together: what they find is what one finds."""

import copy

import pytest

from segmentry.learn.architecture import Architecture

torch = pytest.importorskip("torch")
from segmentry.learn.networks.build import build  # noqa: E402
from segmentry.learn.networks.crew import Crew, threads_of_torch  # noqa: E402

PLAN = Architecture(channels=1, outputs=3, widths=(8, 12), strides=((2, 2),), normalisation="instance")


def batch(size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn((size, 1, 16, 24), generator=rng), torch.randn((size, 3, 16, 24), generator=rng)


def at_once(network, images, wanted):
    network = copy.deepcopy(network).train()
    loss = (network(images) - wanted).abs().mean()
    loss.backward()
    return loss.item(), [p.grad for p in network.parameters()]


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_gradients_are_those_of_the_whole_batch(size):
    network, (images, wanted) = build(PLAN, 3), batch(size)
    loss, gradients = at_once(network, images, wanted)
    crew = Crew(network, size)
    with crew.at_work():
        for _ in range(2):  # nothing of a step is left in the next
            told = crew.gradients(images, lambda found: (found - wanted).abs().mean())
            assert told.item() == pytest.approx(loss, rel=1e-5)
            for own, one in zip(network.parameters(), gradients, strict=True):
                torch.testing.assert_close(own.grad, one, rtol=1e-3, atol=1e-6)


def test_coarse_scores_are_learned_from_as_well():
    plan = PLAN.model_copy(update={"widths": (8, 8, 8), "strides": ((2, 2), (2, 2)), "deep_supervision": True})
    network, (images, _) = build(plan, 1), batch(4)
    whole = copy.deepcopy(network).train()
    sum(one.square().mean() for one in whole(images)).backward()
    crew = Crew(network, 4)
    with crew.at_work():
        crew.gradients(images, lambda found: sum(one.square().mean() for one in found))
    for own, one in zip(network.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(own.grad, one.grad, rtol=1e-3, atol=1e-6)


def test_running_statistics_are_the_mean_of_those_of_the_parts():
    plan = PLAN.model_copy(update={"normalisation": "batch"})
    network, (images, _) = build(plan, 2), batch(4)
    parts = [copy.deepcopy(network).train() for _ in range(2)]
    for part, seen in zip(parts, images.tensor_split(2), strict=True):
        part(seen)
    crew = Crew(network, 4)
    with crew.at_work():
        crew.gradients(images, lambda found: found.square().mean())
    wanted = [(a + b) / 2 if a.is_floating_point() else a for a, b in zip(*(p.buffers() for p in parts), strict=True)]
    for own, one in zip(network.buffers(), wanted, strict=True):
        torch.testing.assert_close(own, one)


def test_the_number_of_threads_changes_nothing_but_rounding():
    found = []
    for threads in (1, 2, 4):
        with threads_of_torch(threads):
            network, (images, wanted) = build(PLAN.model_copy(update={"normalisation": "batch"}), 5), batch(4)
            crew, optimizer = Crew(network, 4), torch.optim.SGD(network.parameters(), 0.1)
            with crew.at_work():
                for _ in range(3):
                    crew.gradients(images, lambda found, wanted=wanted: (found - wanted).abs().mean())
                    optimizer.step()
            assert torch.get_num_threads() == threads
            found.append([value.clone() for value in network.state_dict().values()])
    for other in found[1:]:
        for one, same in zip(other, found[0], strict=True):
            torch.testing.assert_close(one, same, rtol=1e-3, atol=1e-5)


def test_an_error_in_a_thread_is_told():
    crew = Crew(build(PLAN), 2)
    with crew.at_work(), pytest.raises(RuntimeError, match="channels"):
        crew.gradients(torch.zeros(2, 5, 16, 16), lambda found: found.mean())
