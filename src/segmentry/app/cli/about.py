"""Commands that tell what there is: the steps with their parameters, and this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from segmentry.app.cli.console import print_json, show_table

if TYPE_CHECKING:
    from segmentry.step import Step

__all__ = ["doctor", "methods", "metrics", "properties"]

_TITLES = {
    "method": "Methods",
    "filter": "Filters (before the method)",
    "cleaner": "Cleaning (after it)",
    "analysis": "Analyses",
}
_EXTRAS = {
    "nikon": ("nd2", "reads .nd2"),
    "leica": ("liffile", "reads .lif"),
    "zeiss": ("czifile", "reads .czi"),
    "olympus": ("oiffile", "reads .oif and .oib"),
    "dicom": ("pydicom", "reads DICOM series"),
    "medical": ("SimpleITK", "corrects the bias field (N4)"),
    "charts": ("matplotlib", "draws charts of scores"),
    "tables": ("pyarrow", "writes Parquet and AnnData"),
    "train": ("torch", "trains networks, and runs them on a GPU"),
    "openvino": ("openvino", "runs networks on Intel processors"),
}


def methods(
    name: Annotated[str | None, Parameter(name="NAME")] = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List all methods, filters and cleaners with a line each, or explain one with its parameters.

    Parameters
    ----------
    name
        A step to explain.
    json
        Print as JSON; the parameters as JSON Schema.
    """
    from segmentry import catalog
    from segmentry.errors import UnknownNameError, nearest
    from segmentry.recipe import Recipe, recipes

    found = {kind: catalog.steps(kind) for kind in catalog.KINDS}
    if name is not None:
        for known in found.values():
            if name in known:
                return _explain(known[name], json)
        if name in recipes():
            return print_json(Recipe.named(name).to_dict()) if json else print(Recipe.named(name).to_yaml())
        everything = [*(n for known in found.values() for n in known), *recipes()]
        raise UnknownNameError(f"no method, filter, cleaner or recipe is called {name!r}{nearest(name, everything)}")
    if json:
        listed = {kind: {n: _facts(s) for n, s in sorted(known.items())} for kind, known in found.items()}
        return print_json({**listed, "recipe": recipes()})
    for kind, known in found.items():
        rows = [[n, _scope(s), s.summary()] for n, s in sorted(known.items())]
        columns = ["name", "gives", "what it does"]
        if kind != "method":
            columns, rows = [columns[0], columns[2]], [[name, what] for name, _, what in rows]
        show_table(f"\n{_TITLES[kind]}", columns, rows)
    ready = [[name, line] for name, line in recipes().items()]
    show_table("\nRecipes (segment --recipe NAME)", ["name", "what it is for"], ready)
    return print("\nsegmentry methods NAME explains one, with its parameters and its source.")


def metrics(
    name: Annotated[str | None, Parameter(name="NAME")] = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List all scores of `segmentry evaluate` with range and definition, or explain one.

    Parameters
    ----------
    name
        A score to explain.
    json
        Print as JSON.
    """
    from segmentry.metrics import metrics as all_metrics

    known = all_metrics()
    facts = {
        m.name: {"about": m.function.__module__.rpartition(".")[2], "range": m.range, "unit": m.unit,
                 "definition": m.definition, "caveat": m.caveat, "source": m.source}
        for m in known.values()
    }  # fmt: skip
    _tell("score", name, json, facts, {m.name: m.function.__module__ for m in known.values()}, ("range", "definition"))


def properties(
    name: Annotated[str | None, Parameter(name="NAME")] = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List all properties that `segmentry measure` can measure, with unit and definition, or explain one.

    Parameters
    ----------
    name
        A property to explain.
    json
        Print as JSON.
    """
    from segmentry.analysis.property import properties as all_properties

    known = all_properties()
    facts = {
        p.name: {"family": p.family, "unit": p.unit, "default": "yes" if p.by_default else "no",
                 "definition": p.definition, "source": p.source}
        for p in known.values()
    }  # fmt: skip
    modules = {p.name: p.function.__module__ for p in known.values()}
    _tell("property", name, json, facts, modules, ("unit", "default", "definition"))


def doctor(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show versions, devices, memory, file formats, and what each extra would add.

    Parameters
    ----------
    json
        Print as JSON.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import psutil

    import segmentry
    from segmentry.io import formats
    from segmentry.tiling import thread_count

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    libraries = ("numpy", "scipy", "scikit-image", "numba", "pandas", "tifffile", "zarr", "h5py", "nibabel", "Pillow")
    memory = psutil.virtual_memory()
    report: dict[str, Any] = {
        "segmentry": segmentry.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": {"name": "CPU", "threads": thread_count()},
        "memory_gb": {"total": round(memory.total / 1e9, 1), "free": round(memory.available / 1e9, 1)},
        "libraries": {name: installed(name) for name in libraries},
        "formats": {f.name: {"suffixes": f.suffixes, "writes": sorted(f.writes), "extra": f.extra} for f in formats()},
        "extras": {e: {"adds": adds, "installed": installed(p)} for e, (p, adds) in _EXTRAS.items()},
    }
    if json:
        return print_json(report)
    facts = [
        ["segmentry", report["segmentry"]],
        ["Python", f"{report['python']} on {report['system']}"],
        ["device", f"CPU, {report['device']['threads']} threads"],
        ["memory", f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free"],
        ["libraries", ", ".join(f"{n} {v}" for n, v in report["libraries"].items())],
    ]
    show_table("", ["", ""], facts)
    rows = [
        [f.name, " ".join(f.suffixes), "yes", ", ".join(sorted(f.writes)) or "no", f.extra or ""] for f in formats()
    ]
    show_table("\nFile formats", ["format", "suffixes", "reads", "writes", "extra"], rows)
    extras = [
        [e, x["adds"], x["installed"] or f"no: pip install 'segmentry[{e}]'"] for e, x in report["extras"].items()
    ]
    return show_table("\nExtras", ["extra", "adds", "installed"], extras)


def _tell(
    what: str,
    name: str | None,
    as_json: bool,
    facts: dict[str, dict[str, str]],
    modules: dict[str, str],
    columns: tuple[str, ...],
) -> None:
    """Print all that is known of one thing, or a table of all for each of their modules."""
    from segmentry.errors import UnknownNameError, nearest

    if name is not None:
        if name not in facts:
            raise UnknownNameError(f"no {what} is called {name!r}{nearest(name, facts)}")
        if as_json:
            return print_json({"name": name, **facts[name]})
        print(f"{name}: {facts[name]['definition']}\n")
        return show_table("", ["", ""], [[k, v] for k, v in facts[name].items() if v and k != "definition"])
    if as_json:
        return print_json(facts)
    for module in dict.fromkeys(modules.values()):
        rows = [[n, *(facts[n][c] for c in columns)] for n in facts if modules[n] == module]
        show_table(f"\n{_title_of(module)}", ["name", *columns], rows)
    return None


def _title_of(module: str) -> str:
    """Return the first line of what a module says of itself."""
    import sys

    return (sys.modules[module].__doc__ or module).strip().partition("\n")[0]


def _explain(step: type[Step], as_json: bool) -> None:
    import inspect
    import sys

    about = inspect.getdoc(sys.modules[step.__module__]) or ""
    if as_json:
        return print_json({**_facts(step), "about": about})
    print(f"{step.name} ({step.kind}): {step.summary()}\n\n{about}\n")
    if step.source:
        print(f"Source: {step.source}\n")
    rows = [[p.name, p.kind, str(p.default), p.bounds, p.description] for p in step.parameters()]
    if rows:
        return show_table("Parameters", ["name", "type", "default", "bounds", "meaning"], rows)
    return print("It has no parameters.")


def _facts(step: type[Step]) -> dict[str, Any]:
    return {"summary": step.summary(), "scope": _scope(step), "source": step.source, "parameters": step.form()}


def _scope(step: type[Step]) -> str:
    from segmentry.step import Segmenter

    if not issubclass(step, Segmenter):
        return ""
    sizes = " and ".join(f"{n}D" for n in step.dimensions)
    return f"{'classes' if step.task == 'semantic' else step.task}, {sizes}{', colour' if step.colour else ''}"
