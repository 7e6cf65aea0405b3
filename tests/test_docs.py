"""The documentation is true: its commands run, its code runs, its links lead somewhere, its pages are complete."""

import importlib.util
import inspect
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from segmentry import Image, __version__, catalog, write, write_labels
from segmentry.analysis.property import properties
from segmentry.app.cli import app, run
from segmentry.io import formats
from segmentry.metrics import metrics
from segmentry.recipe import Recipe
from segmentry.result import Instances
from segmentry.testing import sample_image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
#: Pages whose commands and code are run from top to bottom.
TUTORIALS = ("get-started", "how-to")
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?\)")


@cache
def generator():
    place = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    generator().write_steps(folder, pictures=())
    generator().write_metrics(folder)
    return folder


def blocks(text):
    """Return kind and text of every fenced block."""
    return [(kind, re.sub(f"^{indent}", "", body, flags=re.MULTILINE)) for indent, kind, body in BLOCK.findall(text)]


def commands(text):
    """Return the arguments of every command line of segmentry in blocks of a shell."""
    lines = [line for kind, body in blocks(text) if kind in ("bash", "console") for line in body.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("segmentry ")]


def parses(arguments):
    app.parse_args(arguments, exit_on_error=False, print_error=False, help_on_error=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_and_recipe_of_a_page_exists(page):
    text = page.read_text("utf-8")
    for arguments in commands(text):
        parses(arguments)
    for kind, body in blocks(text):
        assert kind in ("bash", "python", "text", "toml", "yaml")
        if kind == "yaml" and body.startswith("segmentry:"):
            Recipe.parse(body)


def test_every_command_and_recipe_of_a_generated_page_exists(generated):
    for page in generated.rglob("*.md"):
        text = page.read_text("utf-8")
        for arguments in commands(text):
            parses(arguments)
        for kind, body in blocks(text):
            if kind == "yaml":
                assert page.stem in Recipe.parse(body).to_yaml()


def test_every_option_named_in_a_sentence_exists():
    known = {name for argument in options_of(app) for name in argument.names}
    for page in PAGES:
        named = set(re.findall(r"`(--[a-z][a-z-]+)", page.read_text("utf-8")))
        assert named <= known, f"{page.name}: {sorted(named - known)}"


def options_of(group):
    """Return the options of all commands of a group, and of the groups in it."""
    found = [] if group.default_command is None else list(group.assemble_argument_collection())
    for name in group:
        found += [] if name.startswith("-") else options_of(group[name])
    return found


@cache
def projects():
    """Return what makes projects of ilastik for the tests of their reader."""
    place = importlib.util.spec_from_file_location("ilastik_projects", ROOT / "tests" / "io" / "ilastik_projects.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the tutorials speak of."""
    monkeypatch.chdir(tmp_path)
    volume = sample_image("ZYX", "u1")
    write("cells.tif", sample_image("YX", "u1", spacing=True))
    write("stack.tif", volume)
    write("movie.tif", sample_image("TYX", "u1"))
    pair = np.stack([volume.read()[2], volume.read()[4]])
    write("channels.ome.tif", Image.from_array(pair, "CYX", channels=["DAPI", "actin"]))
    for seed, name in enumerate("abc"):
        image = sample_image("YX", "u1", seed=seed)
        write(f"images/{name}.png", image)
        write_labels(f"truth/{name}.png", Instances.from_labels(np.asarray(image.read() > 60, np.uint8)))
    with h5py.File(projects().embedded(tmp_path / "project.ilp"), "a") as project:
        marks = np.repeat([1, 2], 8).reshape(1, 4, 4)
        projects().add_block(project["PixelClassification"], 0, 0, (0, 3, 5), marks, "cyx")
    return tmp_path


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_from_top_to_bottom(name, workplace, capsys):
    names = {}
    for kind, body in blocks((DOCS / f"{name}.md").read_text("utf-8")):
        if kind == "yaml":
            (workplace / "recipe.yaml").write_text(body)
        if kind == "python":
            exec(compile(body, f"{name}.md", "exec"), names)
        for arguments in commands(f"```bash\n{body}```") if kind == "bash" else ():
            code = run([*arguments, *(["--overwrite"] if again(arguments) else [])])
            assert code == 0, f"{shlex.join(arguments)}: {capsys.readouterr().err}"


def again(arguments):
    """Whether a reader who does all commands of a page would have to allow that an output is replaced."""
    if arguments[0] != "segment" or {"--overwrite", "--resume", "--dry-run"} & set(arguments):
        return False
    return Path(arguments[arguments.index("-o") + 1]).exists()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "changes" / "README.md"], ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page, generated):
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        there = page.parent / target if target else page
        if target.startswith("generated/gallery"):
            wanted = anchor or Path(target).stem
            assert wanted == "gallery" or (ROOT / "examples" / f"{wanted}.py").exists(), link
            continue
        if target.startswith("generated/"):
            there = generated / target.removeprefix("generated/")
        assert there.exists(), link
        heads = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [re.sub(r"\W+", "-", head.lower()).strip("-") for head in heads], link


def test_every_step_has_a_page_with_all_its_parameters(generated):
    for kind, (place, _, _) in generator().KINDS.items():
        index = (generated / place / "index.md").read_text("utf-8")
        for name, step in catalog.steps(kind).items():
            assert f"[{name}]({name}.md)" in index
            page = (generated / place / f"{name}.md").read_text("utf-8")
            assert step.summary() in page
            for parameter in step.parameters():
                assert f"| `{parameter.name}` |" in page
                assert parameter.description in page
    assert set(generator().KINDS) == set(catalog.KINDS)


def test_every_metric_is_defined_on_a_page(generated):
    page = (generated / "metrics.md").read_text("utf-8")
    for name, metric in metrics().items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert metric.definition.replace("|", "\\|") in row
        assert metric.range in row
        assert metric.caveat in row
        assert inspect.getdoc(sys.modules[metric.function.__module__]).partition("\n")[0] in page


def test_every_column_of_the_table_of_objects_is_defined_on_its_page(generated):
    page = (generated / "analyses" / "measure.md").read_text("utf-8").partition("## Columns")[2]
    for name, one in properties().items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert one.definition.replace("|", "\\|") in row


def test_a_step_has_a_picture_and_what_is_gone_has_no_page(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "gone.md").write_text("# gone")
    generator().write_steps(tmp_path, pictures=("otsu", "gaussian", "fill_holes"))
    assert not (tmp_path / "methods" / "gone.md").exists()
    for place, name in (("filters", "gaussian"), ("cleaning", "fill_holes")):
        assert f"![{name}]({name}.png)" in (tmp_path / place / f"{name}.md").read_text("utf-8")
    assert "![otsu](otsu.png)" in (tmp_path / "methods" / "otsu.md").read_text("utf-8")
    assert (tmp_path / "methods" / "otsu.png").stat().st_size > 10_000


def test_the_gallery_shows_every_example(tmp_path, monkeypatch):
    def pretend(path, out):
        (out / f"{path.stem}.png").write_bytes(b"")
        return f"said by {path.stem}"

    monkeypatch.setattr(generator(), "run_example", pretend)
    generator().write_gallery(tmp_path)
    page = (tmp_path / "gallery.md").read_text("utf-8")
    for path in (ROOT / "examples").glob("*.py"):
        assert f"## {path.stem}\n" in page
        assert f"said by {path.stem}" in page
        assert path.read_text("utf-8").splitlines()[-1] in page
        assert (tmp_path / "gallery" / f"{path.stem}.png").exists()


def test_every_file_format_is_described():
    text = (DOCS / "formats.md").read_text("utf-8")
    for form in formats():
        row = next(line for line in text.splitlines() if line.startswith(f"| {form.name} |"))
        for suffix in form.suffixes:
            assert f"`{suffix}`" in row
        if form.extra:
            assert form.extra in text


def test_the_navigation_lists_every_page():
    content = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = {page for entry in content["nav"] for page in entry.values()}
    assert {page.name for page in PAGES} <= listed
    assert {f"generated/{place}/index.md" for place, _, _ in generator().KINDS.values()} <= listed


def test_the_citation_names_the_version():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert content["version"] == __version__
    assert content["cff-version"] == "1.2.0"


def test_every_fragment_of_the_changelog_says_what_kind_it_is():
    names = {path.name for path in (ROOT / "changes").glob("*.md")} - {"README.md", "template.md"}
    assert all(re.fullmatch(r"[\w-]+\.(added|changed|fixed)\.md", name) for name in names), names
