"""The package as a whole: it imports, and importing it is cheap."""

import dataclasses
import inspect
import subprocess
import sys
import typing

import heapwright as hw


def test_import_does_not_load_numpy() -> None:
    program = "import heapwright, sys; print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_native_module_loads() -> None:
    from heapwright import _native

    assert _native.__name__ == "heapwright._native"


def test_every_public_name_loads_and_is_listed() -> None:
    assert set(hw.__all__) == {*hw._HOME, *hw._ROOMS, "__version__"}
    for name in hw.__all__:
        assert getattr(hw, name) is not None


def test_figures_of_public_classes_are_public_too() -> None:
    for owner in [thing for thing in map(hw.__getattr__, hw._HOME) if inspect.isclass(thing)]:
        figures = (
            typing.get_type_hints(owner.statistics).get("return")
            if inspect.isfunction(owner.__dict__.get("statistics"))
            else None
        )
        if dataclasses.is_dataclass(figures):
            assert figures.__name__ in hw.__all__, f"{owner.__name__}.statistics() returns {figures.__name__}"
