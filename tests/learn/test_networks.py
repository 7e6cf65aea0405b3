"""All encoders with all decoders, in planes and volumes."""

import itertools
import math

import numpy as np
import pytest

from segmentry.learn.architecture import Architecture
from segmentry.learn.plan import Fingerprint, planned
from segmentry.learn.weights import check_weights, expected_weights

torch = pytest.importorskip("torch")
from segmentry.learn.networks.build import build  # noqa: E402

ENCODERS = ("plain", "resnet18", "resnet34", "resnet50")
DECODERS = ("unet", "fcn", "deeplab")
PAIRS = list(itertools.product(ENCODERS, DECODERS))
DEEPLAB = {"channels": 1, "outputs": 2, "widths": (4, 4, 8), "strides": ((2, 2), (2, 2)), "decoder": "deeplab"}
RESNET = {"channels": 1, "outputs": 2, "widths": (4, 4, 8), "strides": ((2, 2), (2, 2)), "encoder": "resnet18"}


def small(encoder, decoder, dimensions=2, **more):
    """Return four levels, the last of which is no coarser than the one before."""
    two = (2,) * dimensions
    strides = (two, (1,) * (dimensions - 2) + (2, 2), (1,) * dimensions)
    given = {"channels": 2, "outputs": 3, "widths": (4, 8, 8, 12), "strides": strides, "rates": (1, 2)}
    return Architecture(**given | {"encoder": encoder, "decoder": decoder} | more)


def image_of(plan, times=2, count=2):
    return torch.randn(count, plan.channels, *(times * m for m in plan.multiple), generator=torch.manual_seed(0))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_scores_have_the_shape_of_the_image(encoder, decoder, dimensions):
    for stem in (None, (2,) * dimensions):
        plan = small(encoder, decoder, dimensions, stem=stem, deep_supervision=True)
        network, image = build(plan), image_of(plan)
        scores, *coarse = network.train()(image)
        assert scores.shape == (2, 3, *image.shape[2:])
        assert coarse
        assert all(n % m == 0 for one in coarse for n, m in zip(image.shape[2:], one.shape[2:], strict=True))
        network.eval()
        with torch.no_grad():
            assert network(image).shape == scores.shape


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_weights_are_expected_as_torch_makes_them(encoder, decoder, dimensions):
    more = [
        {"stem": (2,) * dimensions, "residual": True},
        {"deep_supervision": True, "normalisation": "instance", "convolutions": 1},
        {"kernels": ((1, *(3,) * (dimensions - 1)),) * 4, "widths": (3, 12, 12, 16)},
    ]
    if encoder != "plain":
        more.append({"blocks": (1, 2, 1)})
    for given in more:
        plan = small(encoder, decoder, dimensions, **given)
        arrays = {name: array.numpy() for name, array in build(plan).state_dict().items()}
        assert {name: array.shape for name, array in arrays.items()} == expected_weights(plan)
        check_weights(arrays, expected_weights(plan))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_every_weight_learns(encoder, decoder, dimensions):
    more = {} if encoder == "plain" else {"blocks": (1, 2, 1)}
    plan = small(encoder, decoder, dimensions, deep_supervision=True, **more)
    network = build(plan)
    sum(one.square().mean() for one in network(image_of(plan, 4))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    ("encoder", "widths", "count"),
    [
        ("resnet18", (64, 64, 128, 256, 512), 11_176_512),
        ("resnet34", (64, 64, 128, 256, 512), 21_284_672),
        ("resnet50", (64, 256, 512, 1024, 2048), 23_508_032),
    ],
)
def test_residual_networks_have_the_weights_of_those_published(encoder, widths, count):
    """The numbers are those of torchvision's networks without their classifiers."""
    plan = Architecture(channels=3, outputs=1, widths=widths, strides=((2, 2),) * 4, stem=(2, 2), encoder=encoder)
    learned = {name: shape for name, shape in expected_weights(plan).items() if name.endswith(("weight", "bias"))}
    assert sum(math.prod(shape) for name, shape in learned.items() if name.startswith("down.")) == count


def test_a_residual_network_computes_what_the_paper_says():
    plan = Architecture(**RESNET | {"stem": (2, 2), "blocks": (1, 1), "decoder": "fcn"})
    network, f = build(plan).eval(), torch.nn.functional
    weights = network.state_dict()
    image = image_of(plan, 5, 1)

    def layer(x, name, stride=1):
        kernel = weights[f"{name}.0.weight"]
        x = f.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        return x / np.sqrt(1 + 1e-5)  # the statistics of a network that has not learned

    def block(x, name, stride=1):
        way = layer(x, f"{name}.way", stride) if f"{name}.way.0.weight" in weights else x
        return f.relu(layer(f.relu(layer(x, f"{name}.layers.0", stride)), f"{name}.layers.1") + way)

    with torch.no_grad():
        first = f.relu(layer(image, "down.0", 2))
        second = block(f.max_pool2d(first, 3, 2, 1), "down.1.blocks.0")
        third = block(second, "down.2.blocks.0", 2)
        scores = None
        for i, level in reversed(list(enumerate((first, second, third)))):
            own = f.conv2d(level, weights[f"heads.{i}.weight"], weights[f"heads.{i}.bias"])
            up = 0 if scores is None else f.interpolate(scores, scale_factor=2, mode="bilinear")
            scores = own + up
        expected = f.interpolate(scores, scale_factor=2, mode="bilinear")
        assert weights["down.0.0.weight"].shape == (4, 1, 7, 7)
        torch.testing.assert_close(network(image), expected)


def test_last_levels_that_are_no_coarser_look_further_apart():
    strides = ((2, 2), (1, 2), (1, 1), (1, 1))
    given = DEEPLAB | {"widths": (4, 4, 8, 8, 8), "strides": strides}
    plan = Architecture(**given)
    assert [plan.dilation(i) for i in range(5)] == [1, 1, 1, 2, 4]
    assert plan.multiple == (2, 4)
    assert [Architecture(**given | {"decoder": "unet"}).dilation(i) for i in range(5)] == [1] * 5
    for encoder in ENCODERS:
        network = build(Architecture(**given | {"encoder": encoder}))
        far = [m.dilation[0] for m in network.down[-1].modules() if getattr(m, "kernel_size", (1, 1)) == (3, 3)]
        assert far
        assert set(far) == {4}


def reach(network, image, axis=-1):
    """Return how far from a pixel that is changed scores change, to either side, along an axis."""
    middle, other = image.shape[axis] // 2, image.clone()
    other[..., middle] += 10
    with torch.no_grad():
        apart = (network(image) - network(other)).abs().amax(dim=(0, 1, 2))
    changed = np.flatnonzero(apart.numpy() > 0)
    return middle - changed[0], changed[-1] - middle


def test_rates_say_how_far_a_network_looks():
    """Places lie as far apart as the rates say, and nothing beyond counts: no mean over the image is taken."""
    seen = {}
    for rate in (1, 3, 6):
        network = build(Architecture(**DEEPLAB | {"rates": (rate,), "convolutions": 1})).eval().double()
        torch.nn.init.uniform_(network.pyramid[1][0].weight, 0.1, 1)
        seen[rate] = np.array(reach(network, image_of(network.architecture, 40, 1).double()))
    assert seen[6].max() < 60
    # A pixel of the coarsest level is four of the image.
    assert list(seen[3] - seen[1]) == [8, 8]
    assert list(seen[6] - seen[3]) == [12, 12]


def test_places_that_no_crop_has_stay_silent_in_large_tiles():
    plan = Architecture(**DEEPLAB | {"rates": (1, 9)})
    network = build(plan)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        network(image_of(plan, 6)).square().mean().backward()
        optimizer.step()
    near, far = (network.pyramid[i][0].weight.detach().flatten(2).abs().sum((0, 1)) for i in (1, 2))
    assert (near > 0).all()
    assert np.flatnonzero(far.numpy()).tolist() == [4]


@pytest.mark.parametrize(("encoder", "decoder"), [("resnet18", "deeplab"), ("resnet50", "fcn")])
def test_the_seed_alone_decides_the_first_weights(encoder, decoder):
    before = torch.random.get_rng_state()
    plan = small(encoder, decoder, blocks=(1, 1, 1))
    one, same, other = (build(plan, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("shape", [(300, 400), (40, 256, 256), (60, 60, 60), (20, 20)])
def test_plans_take_any_encoder_and_decoder(shape):
    found = Fingerprint(
        images=9, channels=("",), shape=shape, largest=shape, spacing=(2.0, 0.5, 0.5)[-len(shape) :], unit="um",
        one_spacing=True, task="semantic", names=("background", "a"), pixels=(90, 9), unlabelled=0, objects=0,
        diameters=None, intensities=((0, 1),),
    )  # fmt: skip
    for encoder, decoder in PAIRS:
        changes = {"architecture.encoder": encoder, "architecture.decoder": decoder}
        plan = planned(found).changed(changes).architecture
        assert (plan.encoder, plan.decoder) == (encoder, decoder)
        assert expected_weights(plan)
        assert len(plan.block_counts) == (0 if encoder == "plain" else len(plan.strides))


def test_networks_say_what_they_are():
    given = {"channels": 1, "outputs": 2, "widths": (24, 48, 96), "strides": ((2, 2),) * 2}
    assert Architecture(**given).title == "U-Net of 24-48-96"
    deep = Architecture(**given, encoder="resnet34", decoder="deeplab")
    assert deep.title == "DeepLabv3+ on a ResNet-34 of 24-48-96 (3-4 blocks)"


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (RESNET | {"widths": (4,) * 6, "strides": ((2, 2),) * 5}, "resnet18 has 5 levels, and there are 6"),
        (RESNET | {"blocks": (1,)}, "3 levels need blocks for 2"),
        (RESNET | {"blocks": (0, 1)}, "greater than or equal to 1"),
        (RESNET | {"encoder": "plain", "blocks": (1, 1)}, "a plain encoder has no blocks"),
        (RESNET | {"encoder": "resnet50", "widths": (4, 6, 8)}, "multiples of 4"),
        (RESNET | {"widths": (4,), "strides": (), "kernels": ((3, 3),)}, "needs two levels"),
        (RESNET | {"encoder": "vgg"}, "resnet34"),
        (DEEPLAB | {"widths": (4, 4), "strides": ((2, 2),)}, "needs three levels or more, and there are 2"),
        (DEEPLAB | {"rates": ()}, "at least 1"),
        (DEEPLAB | {"decoder": "pspnet"}, "fcn"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, line):
    with pytest.raises(ValueError, match=line):
        Architecture(**wrong)


def test_what_was_said_before_there_were_encoders_means_what_it_did():
    plan = Architecture(channels=1, outputs=2, widths=(4, 4), strides=((2, 2),), residual=True)
    said = plan.model_dump(mode="json")
    for name in ("encoder", "blocks", "decoder", "rates"):
        del said[name]
    assert Architecture.model_validate(said) == plan
    assert (plan.encoder, plan.decoder) == ("plain", "unet")
