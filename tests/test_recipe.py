import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry import catalog
from segmentry.errors import SegmentryError
from segmentry.recipe import Recipe, differences
from segmentry.run import run
from segmentry.testing import sample_image

TEXT = """
segmentry: 1
filters:
  - gaussian: {sigma: 1.5}
  - background: {radius: 20 px}
method:
  watershed: {depth: 2}
cleaning:
  - fill_holes
  - drop_small: {min_size: 12}
"""


def test_a_recipe_does_what_its_steps_do():
    recipe = Recipe.parse(TEXT)
    image = sample_image()
    by_hand = run(recipe.method, image, filters=recipe.filters, cleaners=recipe.cleaning)
    assert np.array_equal(recipe.run(image).instances.labels, by_hand.instances.labels)
    assert [s.name for s in recipe.filters] == ["gaussian", "background"]
    assert recipe.method.depth.value == 2


def test_a_recipe_survives_being_written():
    recipe = Recipe.parse(TEXT)
    assert Recipe.parse(recipe.to_yaml()) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a mapping"),
        ("[1, 2]", "must be a mapping"),
        ("segmentry: 1", "method is missing"),
        ("segmentry: 9\nmethod: otsu", "version 1"),
        ("method: otsu", "version 1"),
        ("segmentry: 1\nmetod: otsu", "did you mean 'method'"),
        ("segmentry: 1\nmethod: otus", "did you mean 'otsu'"),
        ("segmentry: 1\nmethod: {otsu: {foregrund: dark}}", "did you mean 'foreground'"),
        ("segmentry: 1\nmethod: {otsu: {foreground: blue}}", r"otsu\.foreground \('blue'\)"),
        ("segmentry: 1\nmethod: {otsu: {}, kmeans: {}}", "one name"),
        ("segmentry: 1\nmethod: otsu\nfilters: gaussian", "must be a list"),
        ("segmentry: 1\nmethod: otsu\nfilters: [otsu]", r"filters\[0\]: no filter"),
        ("segmentry: 1\nmethod: otsu\nfilters: [gaussian: [1]]", r"filters\[0\]\.gaussian"),
        ("segmentry: 1\nmethod: otsu\nchannel: [1]", "channel"),
        ("segmentry: 1\nmethod: otsu\nplanes: 3", "planes"),
        ("a: &x [*x]", "references|recipe"),
        ("{", "not valid YAML"),
        ("!!python/object/apply:os.system [echo]", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_path_in_one_line(text, said):
    with pytest.raises(SegmentryError, match=said) as caught:
        Recipe.parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="segmntry:1 {}[]-&*!#'\"\n\tabc_,.0", max_size=60))
def test_any_text_is_a_recipe_or_refused(text):
    try:
        Recipe.parse(text)
    except SegmentryError as error:
        assert "\n" not in str(error)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(-9, 99), max_size=3)
)


@given(st.data())
def test_any_value_of_any_parameter_is_taken_or_refused_in_one_line(data):
    kind = data.draw(st.sampled_from(list(catalog.KINDS)))
    name = data.draw(st.sampled_from(catalog.names(kind)))
    known = catalog.step(kind, name).parameter_names()
    parameters = data.draw(st.dictionaries(st.sampled_from([*known, "other"]), VALUES, max_size=3))
    try:
        made = catalog.make(kind, name, parameters)
    except SegmentryError as error:
        assert "\n" not in str(error)
        return
    assert catalog.make(kind, name, made.settings()) == made
    image = sample_image()
    try:
        if kind == "method":
            made.segment(image)
        elif kind == "filter":
            made.apply(image)
        elif kind == "cleaner":
            made.apply(run(catalog.make("method", "otsu"), image).instances, image)
    except SegmentryError as error:
        assert "\n" not in str(error)


def test_what_a_step_has_learned_can_be_written_into_a_recipe():
    learned = run(catalog.make("method", "otsu"), sample_image(seed=1)).segmenter
    recipe = Recipe(learned)
    again = Recipe.parse(recipe.to_yaml())
    assert again.run(sample_image(seed=2)).segmenter.threshold_ == learned.threshold_


def test_differences_name_the_path():
    one, other = Recipe.parse(TEXT).to_dict(), Recipe.parse(TEXT.replace("1.5", "2.5")).to_dict()
    assert differences(one, other) == ["filters[0].gaussian.sigma: 1.5 → 2.5"]
