"""Compiles a file of odd shapes and modules of the standard library, and prints what CPython knows of their lines.

One line per code object: co_firstlineno, the line table in hexadecimal, and the line of every instruction, as
COUNT*LINE for so many code units (two bytes) in a row; 0 where there is none. Lines come from the interpreter
itself: dis and co_lines() have to agree with PyCode_Addr2Line(), which tracebacks are made with.
"""

import ctypes
import dis
import importlib.util
import itertools
import sys
import types

MODULES = """
    _pydecimal argparse ast asyncio.base_events asyncio.tasks asyncio.streams calendar cgitb collections
    concurrent.futures.thread configparser contextlib copy csv dataclasses datetime difflib dis doctest email.message
    enum fractions functools heapq html.parser http.client http.server importlib._bootstrap inspect ipaddress json.decoder
    logging mailbox multiprocessing.pool optparse pathlib pdb pickle pickletools platform pydoc random re sched shutil
    smtplib socket sqlite3.dbapi2 ssl statistics subprocess tarfile tempfile textwrap threading traceback turtle
    typing unittest.case unittest.mock urllib.request uuid weakref xml.dom.minidom xml.etree.ElementTree zipfile
""".split()

# %(far)s is more lines than one step of a line table can have, either way; %(wide)s more bytecode than one can.
ODD_SHAPES = '''
import contextlib

def generator(count):
    for number in range(count):
        yield (
            number
            + 1
        )
    yield from generator(
        0)

async def coroutine(source):
    async with source as opened:
        async for item in opened:
            yield await item
    return

async def nothing():
    return [
        item async for item in
        coroutine(None)
        if await item
    ]

def multiple_lines(first, *rest, **named):
    return multiple_lines(
        first, *[
            one for one in rest
            if one
        ],
        **{key: value
           for key, value in named.items()},
        last=multiple_lines(
            1,
            2)
    ).attribute[
        first
    ]

def far_jumps(value):
    while value:
        if value == 1:
            continue
%(far)s
        value = far_jumps(
%(far)s
            value - 1, far_jumps(
%(far)s
                value - 2)
        ) + value
%(far)s
    return value

@contextlib.contextmanager
@contextlib.wraps(lambda function:
                  function)
def decorated(first=(
        lambda: 1), second={
        "a": 1}):
    try:
        yield first() if first else (
            second)
    except (ValueError,
            TypeError) as error:
        raise RuntimeError(
            "no"
        ) from error
    except OSError: pass
    else:
        return
    finally:
        del first

class Body(
        dict, metaclass=
        type):
    """Doc."""
    a = 1; b = [x for x in (1, 2)]; c = {x: y for x, y in ()}; d = {x for x in ()}
%(far)s
    class Inner:
        e: int = 2

    @property
    def größe(self):
        return f"{self
        !r}" if False else f"{self.a}{self.b
        }" if 0 else ""

    def __getitem__(self, naïve): return naïve

with contextlib.suppress(
        Exception), \\
        contextlib.suppress(
            KeyError) as 変数:
    print(変数, end="") if 変数 else None
lambda: (yield)
try: x = 1
finally: y = 2; assert y, (
    "never")
for z in (): break
else:
    z = not x < y < 3 or (
        x and
        y)
wide = [
    %(wide)s
]
del wide; global_name: "annotation" = 1
if x:
    pass
'''
# f-strings with line breaks in them came with 3.12.
if sys.version_info < (3, 12):
    ODD_SHAPES = ODD_SHAPES.replace("f\"{self\n        !r}\"", '""').replace("{self.b\n        }", "{self.b}")


def code_objects(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


def lines(code):
    """The line of every code unit."""
    size = len(code.co_code)
    found = [0] * (size // 2)
    if hasattr(code, "co_lines"):
        for start, end, line in code.co_lines():
            found[start // 2:end // 2] = [line or 0] * (end // 2 - start // 2)
    else:
        starts = list(dis.findlinestarts(code)) + [(size, 0)]
        for (start, line), (end, _) in zip(starts, starts[1:]):
            found[start // 2:end // 2] = [line] * (end // 2 - start // 2)
    return found


addr2line = ctypes.pythonapi.PyCode_Addr2Line
addr2line.argtypes = [ctypes.py_object, ctypes.c_int]


def show(code):
    expected = lines(code)
    by_interpreter = [max(addr2line(code, 2 * unit), 0) for unit in range(len(expected))]
    assert expected == by_interpreter, (code, expected, by_interpreter)
    table = code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab
    runs = ",".join(f"{len(list(units))}*{line}" for line, units in itertools.groupby(expected))
    print(code.co_firstlineno, table.hex() or "-", runs)


odd = ODD_SHAPES % {"far": "\n" * 300, "wide": ", ".join(f"[{i}, x, y]" for i in range(400))}
for line in (1, 70_000):
    for code in code_objects(compile("\n" * (line - 1) + odd, "größe/変数.py", "exec")):
        show(code)
for module in MODULES:
    try:
        loaded = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        continue
    if loaded and loaded.origin and loaded.origin.endswith(".py"):
        for code in code_objects(compile(open(loaded.origin, "rb").read(), loaded.origin, "exec")):
            show(code)
