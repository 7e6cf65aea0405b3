import numpy as np
import pytest

from segmentry.learn.architecture import Architecture

torch = pytest.importorskip("torch")
from segmentry.learn.networks.build import build  # noqa: E402

FLAT = {"channels": 2, "outputs": 3, "widths": (4, 8, 8), "strides": ((2, 2), (2, 2))}
DEEP = {"channels": 1, "outputs": 2, "widths": (4, 6, 8), "strides": ((1, 2, 2), (2, 2, 2))}


@pytest.mark.parametrize(
    "given",
    [
        FLAT,
        FLAT | {"residual": True},
        FLAT | {"stem": (2, 2)},
        FLAT | {"normalisation": "instance", "convolutions": 1},
        DEEP,
        DEEP | {"kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)), "stem": (1, 2, 2), "residual": True},
    ],
)
def test_scores_have_the_shape_of_the_image(given):
    plan = Architecture(**given)
    network = build(plan).eval()
    shape = tuple(m * n for m, n in zip(plan.multiple, (3, 2, 2), strict=False))
    image = torch.randn(2, plan.channels, *shape)
    assert network(image).shape == (2, plan.outputs, *shape)


def test_coarse_levels_answer_in_training_only():
    plan = Architecture(**FLAT | {"widths": (4, 8, 8, 8), "strides": ((2, 2),) * 3, "deep_supervision": True})
    network, image = build(plan), torch.randn(2, 2, 32, 32)
    found = network.train()(image)
    assert [tuple(one.shape) for one in found] == [(2, 3, 32, 32), (2, 3, 16, 16)]
    assert network.eval()(image).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("given", [FLAT, DEEP])
def test_every_weight_learns(given):
    plan = Architecture(**given)
    network = build(plan)
    network(torch.randn(2, plan.channels, *(4 * m for m in plan.multiple))).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_seed_alone_decides_the_first_weights():
    before = torch.random.get_rng_state()
    one, same, other = (build(Architecture(**FLAT), seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_what_lies_far_away_does_not_count():
    plan = Architecture(**FLAT)
    network = build(plan).eval()
    image = torch.randn(1, 2, 128, 128)
    other = image.clone()
    other[..., 100:] += 5
    with torch.no_grad():
        apart = (network(image) - network(other)).abs().amax(dim=(0, 1, 2)).numpy()
    assert apart[:60].max() < 1e-5
    assert apart[100:].max() > 1e-3
    assert np.all(np.isfinite(apart))


@pytest.mark.parametrize(
    "wrong",
    [
        {"strides": ((2, 2),)},
        {"kernels": ((3, 3),)},
        {"stem": (2, 2, 2)},
        {"widths": (), "strides": ()},
        {"kernels": ((2, 2), (3, 3), (3, 3))},
        {"channels": 0},
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        Architecture(**FLAT | wrong)
