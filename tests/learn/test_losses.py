import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from segmentry.errors import InputError, ParameterError
from segmentry.learn.loss import Loss, class_weights

torch = pytest.importorskip("torch")
losses = pytest.importorskip("segmentry.learn.networks.losses")

SHAPES = [(7, 9), (4, 5, 6)]
NAMES = ["cross_entropy", "dice", "focal", "tversky", "dice_cross_entropy"]
MAPS = ["masked_l1", "binary_cross_entropy"]


def example(shape=(7, 9), n=2, k=3, unlabelled=0.3, seed=0, dtype=torch.float64):
    """Return random scores, and classes of which some are unlabelled."""
    rng = np.random.default_rng(seed)
    scores = torch.tensor(rng.normal(0, 2, (n, k, *shape)), dtype=dtype, requires_grad=True)
    classes = rng.integers(0, k, (n, *shape))
    classes[rng.random(classes.shape) < unlabelled] = -1
    return scores, torch.from_numpy(classes)


def rows(scores, classes):
    """Return scores and classes of labelled pixels as NumPy arrays: (pixels, K) and (pixels,)."""
    numbers = np.moveaxis(scores.detach().numpy(), 1, -1)
    truth = classes.numpy()
    return numbers[truth >= 0], truth[truth >= 0]


def index(scores, classes, alpha, beta, smooth=0.0):
    """Return the Tversky index of each class as the paper writes it, NaN for classes without pixels."""
    x, y = rows(scores, classes)
    p, found = softmax(x, axis=1), []
    for k in range(p.shape[1]):
        p0, g0 = p[:, k], (y == k).astype(float)
        p1, g1 = 1 - p0, 1 - g0
        both = (p0 * g0).sum() + smooth
        found.append(both / (both + alpha * (p0 * g1).sum() + beta * (p1 * g0).sum()) if g0.any() else np.nan)
    return np.array(found)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", [None, (0.2, 1.0, 3.0)])
def test_cross_entropy_is_that_of_torch(shape, weights):
    scores, classes = example(shape)
    share = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(scores, classes, share, ignore_index=-1)
    assert losses.cross_entropy(scores, classes, weights).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_is_the_formula_of_the_paper(shape, gamma):
    scores, classes = example(shape)
    weights = np.array([0.5, 1.0, 2.0])
    x, y = rows(scores, classes)
    logp = np.take_along_axis(log_softmax(x, axis=1), y[:, None], 1)[:, 0]
    expected = (weights[y] * (1 - np.exp(logp)) ** gamma * -logp).sum() / weights[y].sum()
    assert losses.focal(scores, classes, gamma, tuple(weights)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_tversky_is_the_formula_of_the_paper(shape):
    scores, classes = example(shape)
    expected = 1 - index(scores, classes, 0.2, 0.9).mean()
    found = losses.tversky(scores, classes, 0.2, 0.9, smooth=0.0)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    weights = np.array([1.0, 0.0, 3.0])
    weighted = losses.tversky(scores, classes, 0.2, 0.9, weights=tuple(weights), smooth=0.0)
    assert weighted.item() == pytest.approx(np.average(1 - index(scores, classes, 0.2, 0.9), weights=weights))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("background", [True, False])
def test_dice_is_two_intersections_over_the_sum_of_areas(shape, background):
    scores, classes = example(shape)
    x, y = rows(scores, classes)
    p, t = softmax(x, axis=1), np.eye(3)[y]
    each = 1 - (2 * (p * t).sum(0) + 3) / (p.sum(0) + t.sum(0) + 3)
    found = losses.dice(scores, classes, background=background, smooth=3.0)
    assert found.item() == pytest.approx(each[0 if background else 1 :].mean(), rel=1e-12)


@pytest.mark.parametrize("over", ["batch", "sample"])
@pytest.mark.parametrize("background", [True, False])
def test_dice_of_certain_answers_is_that_of_torchmetrics(over, background):
    segmentation = pytest.importorskip("torchmetrics.functional.segmentation")
    scores, classes = example(unlabelled=0)
    answer = scores.argmax(1)
    certain = torch.nn.functional.one_hot(answer, 3).movedim(-1, 1) * 100.0
    expected = segmentation.dice_score(
        answer,
        classes,
        num_classes=3,
        include_background=background,
        average="macro",
        input_format="index",
        aggregation_level={"batch": "global", "sample": "samplewise"}[over],
    )
    found = losses.dice(certain, classes, over=over, background=background, smooth=0.0)
    assert 1 - found.item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_dice_and_cross_entropy_are_summed():
    scores, classes = example()
    options = {"over": "sample", "background": False}
    expected = losses.dice(scores, classes, **options) + losses.cross_entropy(scores, classes, (1.0, 2.0, 3.0))
    assert losses.dice_cross_entropy(scores, classes, weights=(1.0, 2.0, 3.0), **options) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2)])
def test_gradients_are_those_of_finite_differences(name, shape):
    scores, classes = example(shape)
    for over in ("batch", "sample"):
        lost = losses.make(Loss(name=name, over=over, gamma=1.5, weights=(0.3, 1, 2)))
        assert torch.autograd.gradcheck(lambda x, lost=lost: lost(x, classes), (scores,))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("over", ["batch", "sample"])
def test_unlabelled_pixels_do_not_count(name, over):
    lost = losses.make(Loss(name=name, over=over))
    scores, classes = example()
    value = lost(scores, classes)
    value.backward()
    where = (classes < 0).unsqueeze(1).expand_as(scores)
    assert (scores.grad[where] == 0).all()
    assert (scores.grad[~where] != 0).all()
    other = torch.where(where, torch.randn(scores.shape, generator=torch.manual_seed(1)) * 50, scores.detach())
    assert lost(other, classes).item() == value.item()
    wider = torch.nn.functional.pad(scores.detach(), (2, 3))
    assert lost(wider, torch.nn.functional.pad(classes, (2, 3), value=-1)).item() == pytest.approx(value.item())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", ["none", (0, 1, 0)])
def test_where_nothing_counts_the_loss_is_zero_and_teaches_nothing(name, weights):
    scores, classes = example(dtype=torch.float32)
    uncounted = torch.where(classes == 1, -1, classes) if weights != "none" else torch.full_like(classes, -1)
    for over in ("batch", "sample"):
        for background in (True, False):
            lost = losses.make(Loss(name=name, weights=weights, over=over, background=background))
            if name == "dice_cross_entropy" and weights != "none":
                continue
            value = lost(scores, uncounted)
            value.backward()
            assert value.item() == 0
            assert (scores.grad == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_right_answers_lose_nothing_and_wrong_ones_much(name, shape):
    _, classes = example(shape)
    scores = torch.nn.functional.one_hot(classes.clamp_min(0), 3).movedim(-1, 1).float() * 40
    scores.requires_grad_()
    lost = losses.make(Loss(name=name, gamma=0.5))
    value = lost(scores, classes)
    value.backward()
    assert 0 <= value.item() < 1e-6
    assert scores.grad.isfinite().all()
    assert lost(-scores, classes).item() > 0.5


@pytest.mark.parametrize("over", ["batch", "sample"])
def test_a_class_that_the_truth_lacks_has_no_part_in_the_mean(over):
    scores, classes = example(n=1, k=4)
    classes[classes == 2] = 1
    expected = 1 - np.nanmean(index(scores, classes, 0.5, 0.5))
    assert losses.dice(scores, classes, over=over, smooth=0.0).item() == pytest.approx(expected)
    losses.dice(scores, classes.clamp_max(0), over=over).backward()
    assert (scores.grad.movedim(1, -1)[classes >= 0][:, 1:] > 0).all()


def test_each_sample_counts_for_itself_or_all_together():
    scores, classes = example(n=3)
    classes[0] = torch.where(classes[0] == 2, 0, classes[0])
    each = np.stack([index(scores[i : i + 1], classes[i : i + 1], 0.5, 0.5) for i in range(3)])
    together = index(scores, classes, 0.5, 0.5)
    assert losses.dice(scores, classes, over="sample", smooth=0.0).item() == pytest.approx(1 - np.nanmean(each))
    assert losses.dice(scores, classes, over="batch", smooth=0.0).item() == pytest.approx(1 - together.mean())


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_raised(name):
    scores, classes = example((40, 50), n=4, dtype=torch.float32)
    half = scores.detach().half()
    lost = losses.make(Loss(name=name))
    assert lost(half, classes).dtype == torch.float32
    assert lost(half, classes).item() == pytest.approx(lost(half.float(), classes).item())


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_are_compared_where_they_have_weight(name, shape):
    rng = np.random.default_rng(0)
    found = torch.tensor(rng.normal(size=(2, 3, *shape)), requires_grad=True)
    target, weight = rng.random((2, 3, *shape)), rng.random((2, *shape)) * (rng.random((2, *shape)) < 0.6)
    x, w = found.detach().numpy(), np.broadcast_to(weight[:, None], target.shape)
    chance = 1 / (1 + np.exp(-x))
    each = {
        "masked_l1": np.abs(x - target),
        "binary_cross_entropy": -(target * np.log(chance) + (1 - target) * np.log(1 - chance)),
    }[name]
    holes = np.where(w > 0, target, np.nan)
    lost = getattr(losses, name)
    for given in (weight, weight[:, None], w.copy()):
        value = lost(found, torch.from_numpy(holes), torch.from_numpy(given))
        assert value.item() == pytest.approx(np.average(each, weights=w), rel=1e-12)
    value.backward()
    assert (found.grad.numpy()[w == 0] == 0).all()
    assert found.grad.isfinite().all()
    nothing = lost(found, torch.full_like(found, torch.nan).detach(), torch.zeros(2, *shape))
    assert nothing.item() == 0
    assert (torch.autograd.grad(nothing, found)[0] == 0).all()
    values = torch.from_numpy(target), torch.from_numpy(weight)
    small = (slice(0, 1), slice(None), *(slice(0, 2),) * len(shape))
    part = found.detach()[small].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: lost(x, values[0][small], torch.ones_like(x)), (part,))


def test_balanced_weights_bring_classes_to_the_median():
    weights = class_weights([900, 300, 100])
    assert weights * [900, 300, 100] == pytest.approx([300, 300, 300])
    assert class_weights([10**9, 1, 0]).tolist() == [0.5 + 0.5e-9, 10, 1]
    assert class_weights([0, 0]).tolist() == [1, 1]
    scores, classes = example()
    lost = losses.make(Loss(name="cross_entropy", weights="balanced"), counts=[900, 300, 100])
    assert lost(scores, classes) == losses.cross_entropy(scores, classes, tuple(weights))
    for counts in ([], [1, -1], [np.nan], [[1]]):
        with pytest.raises(InputError, match="pixels per class"):
            class_weights(counts)


def test_a_setting_reaches_its_function():
    scores, classes = example()
    options = {"over": "sample", "background": False, "weights": (1.0, 2.0, 3.0)}
    assert losses.make(Loss(name="tversky", alpha=0.1, beta=2, **options))(scores, classes) == losses.tversky(
        scores, classes, 0.1, 2, **options
    )
    assert losses.make(Loss(name="dice", **options))(scores, classes) == losses.dice(scores, classes, **options)
    assert losses.make(Loss(name="focal", gamma=3))(scores, classes) == losses.focal(scores, classes, 3)


def test_settings_that_mean_nothing_are_refused():
    for wrong in ({"name": "dise"}, {"gamma": -1}, {"weights": "much"}, {"weights": (0, 0)}, {"delta": 1}):
        with pytest.raises(ParameterError, match="loss"):
            Loss(**wrong)
    with pytest.raises(ParameterError, match="number of pixels"):
        losses.make(Loss(weights="balanced"))
    scores, classes = example()
    with pytest.raises(ParameterError, match="3 classes need as many weights"):
        losses.cross_entropy(scores, classes, (1.0, 2.0))
    with pytest.raises(InputError, match="need classes of shape"):
        losses.dice(scores, classes[:, :2])
    with pytest.raises(InputError, match="can't be compared"):
        losses.masked_l1(scores, scores[:, :1], scores[:, 0])
    assert Loss.model_validate_json(Loss(weights=(1, 2)).model_dump_json()) == Loss(weights=(1, 2))
    for field in Loss.model_fields.values():
        assert field.description
