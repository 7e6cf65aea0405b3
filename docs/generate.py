"""Write the pages that follow from the code: one for each step of the catalog, and the gallery of the examples.

Run by mkdocs as a hook, or by hand: ``python docs/generate.py [FOLDER]``.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segmentry import Image, catalog
from segmentry.cleaning.drop_small import DropSmall
from segmentry.errors import SegmentryError
from segmentry.filters.pixel_probability import PixelProbability
from segmentry.image import Grid
from segmentry.methods.pixel_classifier import PixelClassifier
from segmentry.metrics import metrics
from segmentry.networks import NetworkStep
from segmentry.picture import draw_overview
from segmentry.pixel_classification import PixelModel
from segmentry.recipe import Recipe
from segmentry.result import Instances
from segmentry.run import run
from segmentry.step import Analysis, Cleaner, Filter, Segmenter, Step
from segmentry.strokes import Strokes, train_pixels

ROOT = Path(__file__).parent.parent
PAGES = Path(__file__).parent / "generated"
#: For each kind: its folder, its title and what stands above the table.
KINDS = {
    "method": ("methods", "Methods", "A method finds classes or objects in an image. A run has exactly one."),
    "filter": ("filters", "Filters", "A filter changes the image before the method sees it. Filters run in order."),
    "cleaner": ("cleaning", "Cleaning", "A cleaner changes or drops objects after the method. Cleaners run in order."),
    "analysis": ("analyses", "Analyses", "An analysis turns objects into a table."),
}
RECIPE_KEYS = {"filter": "filters", "cleaner": "cleaning", "analysis": "analyses"}
#: What is done to the coins before a method shows what it does with them.
COINS = [{"background": {"radius": 32}}, {"gaussian": {"sigma": 2}}]
GIVES = {"semantic": "a class per pixel", "instances": "objects", "panoptic": "objects and a class per pixel"}


def generate(folder: Path = PAGES) -> None:
    """Write all pages."""
    write_steps(folder)
    write_metrics(folder)
    write_gallery(folder)


def write_steps(folder: Path, pictures: Collection[str] | None = None) -> None:
    """Write a page per step, with pictures of those named (all), and an index per kind; what is gone is removed."""
    for kind, (place, title, text) in KINDS.items():
        steps = catalog.steps(kind)
        rows = [[f"[{name}]({name}.md)", step.summary()] for name, step in sorted(steps.items())]
        _write(folder / place / "index.md", f"# {title}\n\n{text}\n\n{_table(['name', 'what it does'], rows)}\n")
        for name, step in steps.items():
            picture, caption = _picture(step) if pictures is None or name in pictures else (None, "")
            if picture is not None:
                picture.save(_made(folder / place / f"{name}.png"))
            _write(folder / place / f"{name}.md", step_page(step, caption))
        for old in (folder / place).glob("*.*"):
            if old.stem not in (*steps, "index"):
                old.unlink()


def step_page(step: type[Step], caption: str = "") -> str:
    """Return the page of a step: what it does, its picture if there is a caption, how it is called, its parameters."""
    about = inspect.getdoc(sys.modules[step.__module__]) or ""
    parts = [f"# {step.name}", step.summary(), _linked(about)]
    if caption:
        parts.append(f"![{step.name}]({step.name}.png)\n\n*{caption}*")
    rows = [[f"`{p.name}`", p.kind, f"`{_plain(p.default)}`", p.bounds, p.description] for p in step.parameters()]
    parts += ["## Parameters", _table(["name", "type", "default", "bounds", "meaning"], rows) if rows else "None."]
    if issubclass(step, Analysis) and step.columns():
        parts += ["## Columns", _columns(step)]
    parts += ["## How to call it", _calls(step), "## Facts", _facts(step)]
    return "\n\n".join(parts) + "\n"


def write_metrics(folder: Path) -> None:
    """Write the page of all metrics, by module, each with what that says of itself."""
    parts = ["# Metrics", "What `segmentry evaluate` computes. `segmentry metrics NAME` tells the same at the prompt."]
    heads = ["name", "range", "definition", "what to know", "source"]
    for module in dict.fromkeys(m.function.__module__ for m in metrics().values()):
        about = _linked(inspect.getdoc(sys.modules[module]) or "")
        rows = [
            [f"`{m.name}`", m.range, m.definition, m.caveat, _linked(m.source)]
            for m in metrics().values()
            if m.function.__module__ == module
        ]
        parts += [f"## {module.rpartition('.')[2].capitalize()}", about, _table(heads, rows)]
    _write(folder / "metrics.md", "\n\n".join(parts) + "\n")


def write_gallery(folder: Path) -> None:
    """Run every example, and write what it prints and draws beside its code."""
    parts = ["# Gallery", "Each of these is a file in `examples/` that runs as it stands, on pictures that come along."]
    for path in sorted((ROOT / "examples").glob("*.py")):
        code = path.read_text("utf-8")
        module = ast.parse(code)
        about = inspect.cleandoc(ast.get_docstring(module) or "")
        title, _, text = about.partition("\n\n")
        with tempfile.TemporaryDirectory() as out:
            printed = run_example(path, Path(out))
            _write(folder / "gallery" / f"{path.stem}.png", (Path(out) / f"{path.stem}.png").read_bytes())
        body = "\n".join(code.splitlines()[module.body[0].end_lineno :]).strip()
        parts += [f"## {path.stem}", f"**{' '.join(title.split())}**", text, f"![{path.stem}](gallery/{path.stem}.png)"]
        parts += [f"```text\n{printed.strip()}\n```", _folded(f"examples/{path.name}", body)]
    _write(folder / "gallery.md", "\n\n".join(parts) + "\n")


def run_example(path: Path, out: Path) -> str:
    """Run an example with a folder for its output, and return what it prints."""
    command = [sys.executable, str(path), str(out)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout


def on_startup(**_: Any) -> None:
    """Write the pages, once, before mkdocs looks for them."""
    generate()


def on_config(config: Any) -> Any:
    """List the steps in the navigation."""
    config.nav = [_with_steps(entry) for entry in config.nav]
    return config


def on_page_content(html: str, **_: Any) -> str:
    """Show the roles of Sphinx that docstrings use as plain code."""
    return re.sub(r":(?:class|func|meth|attr|mod):<code>~?(?:[\w.]+\.)?(\w+)</code>", r"<code>\1</code>", html)


def _with_steps(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: _with_steps(below) for title, below in entry.items()}
    if isinstance(entry, list):
        return [_with_steps(item) for item in entry]
    kind = next((k for k, (place, _, _) in KINDS.items() if entry == f"generated/{place}/index.md"), None)
    return entry if kind is None else [entry, *(entry.replace("index", name) for name in catalog.names(kind))]


def _calls(step: type[Step]) -> str:
    """Return how a step is called from each face, with one of its parameters where it has any."""
    given = [p for p in step.parameters() if p.default is not None]
    given.sort(key=lambda p: isinstance(p.default, str))
    settings = {"model": "model.safetensors"} if step.trained else {p.name: p.default for p in given[:1]}
    text = "".join(f"{key}={_plain(value)}" for key, value in settings.items())
    python = "".join(f"{key}={value!r}" for key, value in settings.items()).replace("'", '"')
    made = f"{step.__name__}({python})"
    lines = [f"from {step.__module__} import {step.__name__}", ""]
    if step.kind == "method":
        command = f"segmentry segment cells.tif -o out --method {step.name}" + (f" --set {text}" if text else "")
        named = f'"{step.name}", {python}'.removesuffix(", ")
        lines = ["import segmentry", "", f"outcome = segmentry.segment(image, {named})"]
    elif step.kind == "analysis":
        command = ""
        lines.append(f"table = {made}.analyse(outcome.instances, image)")
    else:
        option = {"filter": "--filter", "cleaner": "--clean"}[step.kind]
        command = f"segmentry segment cells.tif -o out {option} {step.name}" + (f":{text}" if text else "")
        key = {"filter": "filters", "cleaner": "cleaners"}[step.kind]
        others = ["from segmentry.methods.watershed import Watershed", "from segmentry.run import run"]
        lines = [*sorted([lines[0], *others]), ""]
        lines.append(f"outcome = run(Watershed(), image, {key}=[{made}])")
    tabs = [("Command line", "bash", command)] if command else []
    tabs += [("Recipe", "yaml", _recipe(step, settings)), ("Python", "python", "\n".join(lines))]
    return "\n\n".join(f'=== "{title}"\n\n{_indented(_fenced(kind, body))}' for title, kind, body in tabs)


def _recipe(step: type[Step], settings: dict[str, Any]) -> str:
    method = {step.name: settings} if step.kind == "method" else {"watershed": {}}
    content: dict[str, Any] = {"segmentry": 1, "method": method}
    if step.kind != "method":
        content[RECIPE_KEYS[step.kind]] = [{step.name: settings}]
    return str(yaml.safe_dump(content, sort_keys=False, default_flow_style=None)).strip()


def _facts(step: type[Step]) -> str:
    rows = []
    learned = [f for name, f in step.model_fields.items() if name.endswith("_") and f.description]
    if issubclass(step, Segmenter):
        free = issubclass(step, NetworkStep) and not step.tells
        rows.append(["gives", "classes or objects, as it was trained to" if free else GIVES[step.task]])
        rows.append(["works in", " and ".join(f"{n}D" for n in step.dimensions)])
        rows.append(["sees", "all channels at once" if step.colour else "one channel"])
        whole = not step.trained and step().halo(Grid("YX", (9, 9))) is None
        rows.append(["large images", "needs the whole image in memory" if whole else "in tiles, with the same result"])
    elif issubclass(step, Filter):
        rows.append(["large images", "piece by piece, with the same result"])
    if learned and not step.trained:
        rows.append(["learns from the whole image", " ".join(str(f.description) for f in learned)])
    if step.source:
        rows.append(["source", _linked(step.source)])
    rows.append(["code", f"`{step.__module__}.{step.__name__}`"])
    return _table(["", ""], rows)


def _columns(step: type[Analysis]) -> str:
    """Return what may stand in the table of an analysis: each column with its definition."""
    rows = [
        [f"`{name}`", one.family, one.unit, "yes" if one.by_default else "", one.definition, _linked(one.source)]
        for name, one in step.columns().items()
    ]
    return _table(["property", "family", "unit", "by default", "definition", "source"], rows)


def _picture(step: type[Step]) -> tuple[Any, str]:
    """Return a picture of what a step does by default, and its caption; none where it needs more than it has here."""
    try:
        if step in (PixelClassifier, PixelProbability):
            return _picture_of_trained(step)
        if issubclass(step, Segmenter):
            return _picture_of_method(step)
        if issubclass(step, Filter):
            return _picture_of_filter(step)
        if issubclass(step, Cleaner):
            return _picture_of_cleaner(step)
    except SegmentryError:
        pass
    return None, ""


def _sample(step: type[Step]) -> Image:
    """Return the coins, or a stained section for what sees colour; both come with scikit-image."""
    import skimage.data

    if getattr(step, "colour", False):
        return Image.from_array(skimage.data.immunohistochemistry(), "YXC")
    return Image.from_array(skimage.data.coins(), "YX")


@cache
def _coin_model() -> PixelModel:
    """Return what was learned of coins from lines across some of them, and beside them."""
    import skimage.data
    from scipy.ndimage import binary_dilation, binary_erosion

    coins = Image.from_array(skimage.data.coins(), "YX")
    recipe = {"segmentry": 1, "filters": COINS, "method": {"otsu": {}}, "cleaning": ["fill_holes"]}
    found = np.asarray(Recipe.from_dict(recipe).run(coins).instances.labels) > 0
    strokes = np.where(binary_erosion(found, iterations=3), 2, np.where(binary_dilation(found, iterations=3), 0, 1))
    strokes[np.arange(len(strokes)) % 20 > 0] = 0
    return train_pixels(Strokes.of(coins, strokes), names=("background", "coin"))


def _picture_of_trained(step: type[Step]) -> tuple[Any, str]:
    """Return a picture of a step that tells pixels apart, with a model of coins."""
    import skimage.data

    image = Image.from_array(skimage.data.coins(), "YX")
    about = "With a model that learned from lines across some of these coins."
    if issubclass(step, PixelProbability):
        return _compared(image, step.with_model(_coin_model()).apply(image), step.name), about
    outcome = run(PixelClassifier.with_model(_coin_model()), image, cleaners=[DropSmall()])
    return draw_overview(image, outcome.instances, f"{step.name}, {len(outcome.instances):,} objects"), about


def _picture_of_method(step: type[Segmenter]) -> tuple[Any, str]:
    image = _sample(step)
    recipe = Recipe.from_dict({"segmentry": 1, "filters": [] if step.colour else COINS, "method": {step.name: {}}})
    outcome = recipe.run(image)
    seen = "a stained section" if step.colour else "coins, after `background` and `gaussian`"
    title = f"{step.name}, {len(outcome.instances):,} objects"
    return draw_overview(image, outcome.instances, title), f"With its default parameters on {seen}."


def _picture_of_filter(step: type[Filter]) -> tuple[Any, str]:
    image = _sample(step)
    if not step.colour:
        noise = np.random.default_rng(0).normal(0, 12, image.grid.shape)
        image = Image(image.read()[:, :250] + noise[:, :250], Grid("YX", (image.grid.shape[0], 250), (1.0, 1.0), "um"))
    seen = "a stained section" if step.colour else "coins with noise"
    picture = _compared(image, step().apply(image), step.name)
    return picture, f"Before and after, with its default parameters, on {seen}."


def _compared(before: Image, after: Image, name: str) -> Any:
    """Return an image and what became of it, side by side."""
    nothing = [
        Instances.from_labels(np.zeros(i.grid.spatial_shape, np.uint32), i.grid.without("C")) for i in (before, after)
    ]
    pairs = zip((before, after), nothing, ("before", name), strict=True)
    return _beside([draw_overview(image, empty, title) for image, empty, title in pairs])


def _picture_of_cleaner(step: type[Cleaner]) -> tuple[Any, str]:
    image = _sample(step)
    before = Recipe.from_dict({"segmentry": 1, "method": {"otsu": {}}}).run(image).instances
    after = step().apply(before, image).instances()
    titles = (f"before: {len(before):,} objects", f"{step.name}: {len(after):,} objects")
    panels = [draw_overview(image, i, t) for i, t in zip((before, after), titles, strict=True)]
    return _beside(panels), "Before and after, with its default parameters, on coins parted by `otsu`."


def _beside(panels: list[Any]) -> Any:
    from PIL import Image as Pictures

    whole = Pictures.new("RGB", (sum(p.width for p in panels), max(p.height for p in panels)))
    left = 0
    for panel in panels:
        whole.paste(panel, (left, 0))
        left += panel.width
    return whole


def _linked(text: str) -> str:
    """Return a text with its DOIs as links; a DOI may hold brackets, but does not end with one."""
    return re.sub(r"doi:(10\.[^\s,;]*[^\s,;.)])", r"[doi:\1](<https://doi.org/\1>)", text)


def _plain(value: Any) -> str:
    if isinstance(value, bool | None):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _fenced(kind: str, body: str) -> str:
    return f"```{kind}\n{body}\n```"


def _folded(title: str, code: str) -> str:
    return f'??? example "{title}"\n\n{_indented(_fenced("python", code))}'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, content: str | bytes) -> None:
    _made(path).write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGES)
