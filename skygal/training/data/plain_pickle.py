"""Pickles of plain values and numpy arrays, read without running any of them.

A pickle is a program for a stack machine. `load_plain_pickle` is a machine that knows those opcodes alone
that make plain values, and in place of numpy's own classes it has stand-ins: numpy's constructors take offsets,
strides and dtypes of objects, by which a pickle could look at, or jump to, any address.
"""

from __future__ import annotations

import io
import pickletools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skygal.checks import show
from skygal.io.inputs import check_layout, check_texts

__all__ = ["load_plain_pickle"]

#: how deep lists, tuples and dicts may lie in each other
DEEPEST = 32
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "BINSTRING",
           "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES",
           "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_NEW: dict[str, Callable[[], Any]] = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
                                      "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_CORES = ("numpy.core", "numpy._core")
_ARRAY = ("numpy", "ndarray")


@dataclass(frozen=True)
class _Name:
    """Stands for a class or function that a pickle names."""

    module: str
    name: str

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


class _Type:
    """Stands for a dtype."""

    def __init__(self, text: Any) -> None:
        if not isinstance(text, str) or not re.fullmatch(r"[biufSU][0-9]{1,9}", text, re.ASCII):
            raise ValueError(f"refuses the dtype {show(text)}: only numbers and texts are admitted")
        self.dtype = np.dtype(text)

    def __repr__(self) -> str:
        return f"dtype {self.dtype}"

    def build(self, state: Any) -> None:
        """Take the byte order of a dtype's state, (version, order, subarray, names, fields, ...)."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in tuple("<>|=") or any(
                part is not None for part in state[2:5]):
            raise ValueError(f"refuses the dtype {show(state)}: only numbers and texts are admitted")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for an array."""

    def __init__(self, values: np.ndarray | None = None) -> None:
        self.values = values

    def build(self, state: Any) -> None:
        """Make the array of its state, (version, shape, dtype, Fortran order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Type):
            raise ValueError("refuses an array that is not of numbers or texts")
        self.values = _as_array(state[4], state[2], state[1], "F" if state[3] else "C")


def _as_array(data: Any, of: _Type, shape: Any, order: Any) -> np.ndarray:
    """Return the array whose values are exactly those bytes."""
    if isinstance(data, str):
        data = data.encode("latin-1")  # as Python 2 had them
    if not isinstance(data, (bytes, bytearray)) or order not in ("C", "F"):
        raise ValueError(f"refuses an array of {type(data).__name__}")
    if not isinstance(of, _Type):
        raise ValueError(f"refuses an array of {show(of)}")
    check_layout(shape, of.dtype, len(data))
    values = (np.frombuffer(data, of.dtype) if data else np.empty(0, of.dtype)).reshape(shape, order=order)
    check_texts(values)
    # bytes other than 0 and 1 would be neither true nor false
    return values.view(np.uint8) != 0 if of.dtype.kind == "b" else values


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Return the bytes that protocol 2 wrote as text; no other codec is looked up."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"refuses to decode bytes by {show(encoding)}")
    if not isinstance(text, str):
        raise ValueError(f"refuses to decode a {type(text).__name__}")
    return text.encode("latin-1")


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if not isinstance(kind, _Name) or (kind.module, kind.name) != _ARRAY:
        raise ValueError(f"refuses to make an array of {show(kind)}")
    return _Array()


def _scalar(of: _Type, data: Any = b"") -> Any:
    return of.dtype.type() if isinstance(of, _Type) and not of.dtype.itemsize else _as_array(data, of, (), "C")[()]


def _from_buffer(data: Any, of: _Type, shape: Any, order: Any) -> _Array:
    return _Array(_as_array(data, of, shape, order))


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): lambda text, *_: _Type(text), ("_codecs", "encode"): _encode,
    # what protocols before 3 make of no bytes
    ("__builtin__", "bytes"): bytes, ("builtins", "bytes"): bytes,
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORES}}


class _Machine:
    """The stack, the marks on it, and the memo of one pickle."""

    def __init__(self, data: bytes) -> None:
        self.file, self.size = io.BytesIO(data), len(data)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        while True:
            code = self.file.read(1)
            if not code:
                raise ValueError("is no whole pickle: it ends early")
            opcode = _OPCODES.get(code.decode("latin-1"))
            if opcode is None:
                raise ValueError(f"is no whole pickle: it has the byte {code!r} where an opcode must be")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name == "STRING":
                self.stack.append(self._quoted())
                continue
            try:
                argument = None if opcode.arg is None else opcode.arg.reader(self.file)
            except ValueError as error:
                raise ValueError(f"is no whole pickle: {error}") from None
            if opcode.name in _VALUES:
                self.stack.append(argument)
            elif opcode.name in _NEW:
                self.stack.append(_NEW[opcode.name]())
            elif (step := getattr(self, f"do_{opcode.name.lower()}", None)) is not None:
                step(argument)
            else:
                raise ValueError(f"refuses the opcode {opcode.name}: only numpy arrays and plain types are admitted")

    def _quoted(self) -> str:
        """Return a text in quotes, as Python 2 wrote it: bytes, with escapes."""
        import codecs

        line = self.file.readline().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError(f"is no whole pickle: {show(line)} is no text in quotes")
        return codecs.escape_decode(line[1:-1])[0].decode("latin-1")  # type: ignore[attr-defined]

    def _spend(self, items: Any) -> None:
        """Count the bytes that are copied; an honest pickle uses each but once or twice."""
        self.copied += sum(len(item) for item in items if isinstance(item, (str, bytes, bytearray)) and len(item) > 64)
        if self.copied > 8 * self.size:
            raise ValueError("refuses to copy the same bytes again and again")

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def do_proto(self, _: Any) -> None:
        pass  # the version tells nothing that the opcodes do not

    do_frame = do_proto

    def do_mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def do_pop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def do_pop_mark(self, _: Any) -> None:
        self._since_mark()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    do_binput = do_long_binput = do_put

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    do_binget = do_long_binget = do_get

    def do_list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def do_tuple1(self, _: Any, count: int = 1) -> None:
        if len(self.stack) < count:
            raise IndexError("stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def do_tuple2(self, _: Any) -> None:
        self.do_tuple1(_, 2)

    def do_tuple3(self, _: Any) -> None:
        self.do_tuple1(_, 3)

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError(f"{type(self.stack[-1]).__name__} takes no entries")
        self.stack[-1].extend(items)

    def do_append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def do_appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def do_dict(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._update(items)

    def _update(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise TypeError(f"{type(self.stack[-1]).__name__} takes no keys")
        if len(items) % 2:
            raise IndexError("a key has no value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # a tuple would be hashed as deep as it goes
            if not isinstance(key, (str, bytes, int)):
                raise ValueError(f"refuses a key of the type {type(key).__name__}")
            self.stack[-1][key] = value

    def do_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def do_setitems(self, _: Any) -> None:
        self._update(self._since_mark())

    def do_persid(self, argument: Any) -> None:
        raise ValueError(f"refuses to load the persistent object {show(argument)}")

    def do_binpersid(self, _: Any) -> None:
        self.do_persid(self.stack.pop())

    def do_global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(module, name)

    def _name(self, module: Any, name: Any) -> None:
        texts = isinstance(module, str) and isinstance(name, str)
        if not texts or (module, name) not in _CALLS and (module, name) != _ARRAY:
            named = f"{module:.100}.{name:.100}" if texts else show((module, name))
            raise ValueError(f"refuses to load {named}: only numpy arrays and plain types are admitted")
        self.stack.append(_Name(module, name))

    def do_reduce(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        call = _CALLS.get((called.module, called.name)) if isinstance(called, _Name) else None
        if call is None or type(arguments) is not tuple or call is bytes and arguments:
            raise ValueError(f"refuses to call {show(called)}: only numpy arrays and plain types are admitted")
        if any(isinstance(item, (_Array, _Name)) for item in arguments) and call is not _reconstruct:
            raise ValueError(f"refuses to call {show(called)} with an array or a name")
        self._spend(arguments)
        self.stack.append(call(*arguments))

    def do_build(self, _: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Type, _Array)):
            raise ValueError(f"refuses to change a {type(self.stack[-1]).__name__}: only numpy arrays and plain types "
                             "are admitted")
        self._spend(state if isinstance(state, tuple) else ())
        self.stack[-1].build(state)


class _Plain:
    """Puts arrays in the place of their stand-ins; no more values than the pickle has bytes."""

    def __init__(self, most: int) -> None:
        # an honest pickle spends a byte at least on each value: more come of lists that are used again and again
        self.left = most

    def of(self, value: Any, depth: int = 0) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("refuses lists that hold each other again and again")
        if depth > DEEPEST:
            raise ValueError(f"refuses lists nested deeper than {DEEPEST}")
        if type(value) in (list, tuple):
            return type(value)(self.of(item, depth + 1) for item in value)
        if type(value) is dict:
            return {key: self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, _Array):
            if value.values is None:
                raise ValueError("is no whole pickle: it has an array without values")
            return value.values
        if isinstance(value, (_Name, _Type)):
            raise ValueError(f"refuses {show(value)} as a value: only numpy arrays and plain types are admitted")
        return value


def load_plain_pickle(data: bytes) -> Any:
    """Return what a pickle holds, if that is numpy arrays and plain types only.

    Parameters
    ----------
    data : bytes
        The pickle, of any protocol.

    Returns
    -------
    object
        Lists, tuples and dicts of numbers, texts, bytes, None and numpy arrays of numbers and texts; arrays are
        read-only.

    Raises
    ------
    ValueError
        If it names anything else (nothing of it is run), holds lists nested too deep, or is damaged.
    """
    try:
        machine = _Machine(data)
        return _Plain(machine.size).of(machine.run())
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError,
            struct.error, UnicodeError) as error:
        raise ValueError(f"is no whole pickle ({type(error).__name__}: {error})") from None
