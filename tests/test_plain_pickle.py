"""Hostile batch files: one ValueError that names the file, whatever they hold."""

import pickle
import random
import struct
import warnings

import numpy as np
import pytest
from training_stamps import write_batch

from skygal.training.data.plain_pickle import load_plain_pickle
from skygal.training.data.readers import read_stamps

ARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(" + ARRAY + b"(I0\ntVb\ntR"


def dtype(code):
    return b"cnumpy\ndtype\n(V" + code + b"\nI0\nI1\ntR"


def array(shape, code, data, state=b"", order=b"I00\n"):
    """Return the opcodes of an array as numpy 1 wrote them in protocol 3."""
    raw = b"B" + struct.pack("<I", len(data)) + data
    kind = dtype(code) + (b"(" + state + b"tb" if state else b"")
    return RECONSTRUCT + b"(I1\n(" + b"".join(b"I%d\n" % n for n in shape) + b"t" + kind + order + raw + b"tb"


def batch(data, labels=b"(lp9\nI0\naI1\na"):
    """Return a pickle of a batch from the opcodes of its data."""
    return b"(dVdata\n" + data + b"sVlabels\n" + labels + b"s."


LITTLE = b"I3\nV<\nNNNI-1\nI-1\nI0\n"
HOSTILE = {
    "numpy's ndarray with an offset into the heap": batch(
        ARRAY + b"((I2\ntVS8\nB\x10\0\0\0" + b"x" * 16 + b"I-4096\ntR"),
    "ndarray by NEWOBJ": b"\x80\x02" + batch(ARRAY + b"((I2\ntVS8\nB\x10\0\0\0" + b"x" * 16 + b"I-4096\nt\x81"),
    "an array of objects over its own bytes": batch(array((2,), b"O8", b"A" * 16)),
    "objects by the dtype's state": batch(array((2,), b"V8", b"A" * 16, b"I3\nV|\nNNNI8\nI1\nI63\n")),
    "a dtype of fields": batch(array((2,), b"V16", b"A" * 32, b"I3\nV|\nN(VaO\nt(dVaO\n(VO8\nI0\ntsI16\nI1\nI27\n")),
    "dates": batch(array((2,), b"M8", b"A" * 16)), "complex numbers": batch(array((2,), b"c16", b"A" * 32)),
    "void": batch(array((2,), b"V8", b"A" * 16)), "words for a dtype": batch(array((2,), b"object", b"A" * 16)),
    "fewer bytes than the shape says": batch(array((4,), b"f8", b"A" * 31)),
    "more bytes than the shape says": batch(array((4,), b"f8", b"A" * 33)),
    "a shape without end": batch(array((2**62, 4), b"f8", b"A" * 32)),
    "a negative shape": batch(array((-2, -2), b"f8", b"A" * 32)),
    "no bytes and a long axis": batch(array((10**12, 0), b"f8", b"")),
    "texts of no length": batch(array((10**12,), b"S0", b"")),
    "characters that there are not": batch(array((2, 2), b"U1", b"\xff" * 16)),
    "an array never filled": batch(RECONSTRUCT), "ndarray itself": batch(ARRAY), "a dtype": batch(dtype(b"f8")),
    "another class to reconstruct": batch(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntVb\ntR"),
    "a state for a function": batch(b"c_codecs\nencode\n(dV__wrapped__\nI1\nsb"),
    "a state for a class": batch(ARRAY + b"(dVx\nI1\nsb"), "a state for a list": batch(b"(l(dVx\nI1\nsb"),
    "a call of a number": batch(b"I3\n(I1\ntR"), "bytes of a number": batch(b"c__builtin__\nbytes\n(I1000\ntR"),
    "an array as an argument": batch(b"c_codecs\nencode\n(" + array((1,), b"f8", b"A" * 8) + b"tR"),
    "a list to decode": batch(b"c_codecs\nencode\n((ltR"),
    "no dtype": batch(b"cnumpy.core.multiarray\nscalar\n(NNtR"),
    "a scalar of a name": batch(b"cnumpy.core.multiarray\nscalar\n(" + ARRAY + b"B\x08\0\0\0AAAAAAAAtR"),
    "a text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "bytes longer than the file": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "a memo of four thousand million": b"\x80\x02Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.",
    "a memo that is not there": b"j\x07\0\0\0.", "an extension": b"\x82\x01.",
    "a buffer from outside": b"\x80\x05\x97.",
    "a set": b"\x80\x04\x8f.", "an instance": b"(ios\nsystem\n.", "a name of no texts": b"I1\nI2\n\x93.",
    "nothing on the stack": b".", "an unknown opcode": b"\xff.", "no stop": b"N", "nothing": b"",
    "no mark": b"t.", "a key without a value": b"(Vx\nd.", "a key that is a list": b"(d(lI1\ns.",
    "a number of a million digits": b"I" + b"9" * 10**6 + b"\n.", "a float that is none": b"Fxyz\n.",
    "nested a hundred thousand times": b"(d" + b"(l" * 10**5 + b"a" * (10**5 - 1) + b".",
    "a key nested a hundred thousand times": b"(d)" + b"\x85" * 10**5 + b"I1\ns.",
    "lists of lists of one list": b"(lp0\n0" + b"".join(
        b"(l" + b"g%d\na" % i * 10 + b"p%d\n0" % (i + 1) for i in range(30)) + b"(dVdata\ng30\nsVlabels\n(ls.",
    "a list in itself": b"(dVdata\n(lp0\ng0\nasVlabels\n(ls.",
    "the same bytes a hundred thousand times": batch(
        b"V" + b"x" * 10**5 + b"\np0\n0(l" + b"c_codecs\nencode\n(g0\nVlatin1\ntRa" * 10**5),
    "rows of different lengths": pickle.dumps({"data": [[1, 2], [3]], "labels": [0, 1]}),
    "labels beyond 64 bits": pickle.dumps({"data": np.ones((2, 4)), "labels": [2**80, 1]}),
    "images of no pixels": pickle.dumps({"data": np.ones((2, 0)), "labels": [0, 1]}),
    "no key of text": pickle.dumps({1: 2}), "a number for a dict": pickle.dumps(3),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_batches(tmp_path, what):
    path = tmp_path / "data_batch_1"
    path.write_bytes(HOSTILE[what])
    with pytest.raises(ValueError, match=r"^(images of )?stamps '[^\n]*data_batch_1'[^\n]*$") as caught:
        read_stamps(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("names", [3, "ab", {"a": 1, "b": 2}, [["a"], ["b"]], np.zeros((2, 2)), [None, 1.5]])
def test_names_that_are_none(tmp_path, names):
    """They are numbered instead."""
    assert list(read_stamps(write_batch(tmp_path / "data_batch_1", 2, filenames=names)).name) == [
        "data_batch_1 0", "data_batch_1 1"]


@pytest.mark.parametrize("meta", [3, [1], {"label_names": 3}, {"label_names": "ab"}, {1: 2}])
def test_meta_that_is_none(tmp_path, meta):
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(meta))
    assert len(read_stamps(write_batch(tmp_path / "data_batch_1", 4))) == 4


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [
    np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array([True, False]),
    np.array(["a", "bcd"]), np.array([b"a", b"bcd"]), np.array(["é", "ß"], ">U1"), np.zeros((0, 3), np.float32), b"",
    np.array(3, np.int16), np.array([1.5], np.float16), np.arange(9)[::2]], ids=repr)
def test_arrays_come_back(protocol, value):
    found = load_plain_pickle(pickle.dumps([value, value], protocol))
    for one in found:
        assert type(one) is type(value)
        np.testing.assert_array_equal(one, value)
        assert np.asarray(one).dtype.newbyteorder("=") == np.asarray(value).dtype.newbyteorder("=")


@pytest.mark.parametrize("value", [np.float32(2), np.int64(-3), np.str_("x"), np.str_(""), np.bytes_(b"x"), np.True_])
def test_scalars_come_back(value):
    found = load_plain_pickle(pickle.dumps(value))
    assert found == value and type(found) is type(value)


def test_python_2():
    """The published batches are of Python 2: its texts are bytes, and an array's bytes a text."""
    raw = bytes(range(256))
    old = RECONSTRUCT.replace(b"V", b"S'").replace(b"S'b\n", b"S'b'\n") + (
        b"(I1\n(I16\nI16\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS") + repr(raw)[
            1:].encode() + b"\ntb."
    np.testing.assert_array_equal(load_plain_pickle(old), np.arange(256, dtype=np.uint8).reshape(16, 16))


def test_what_is_refused_is_not_changed():
    with pytest.raises(ValueError, match="refuses to change a _Name: only numpy"):
        load_plain_pickle(HOSTILE["a state for a function"])
    with pytest.raises(ValueError, match="refuses lists nested deeper than 32"):
        load_plain_pickle(b"(l" * 50 + b"a" * 49 + b".")
    with pytest.raises(ValueError, match="again and again"):
        load_plain_pickle(HOSTILE["lists of lists of one list"])


def test_damaged_anywhere(tmp_path):
    """Bytes changed at random: the stamps, or one error that names the file."""
    random.seed(3)
    path = write_batch(tmp_path / "data_batch_1", 2, data=np.ones((2, 16), np.uint8) * np.arange(16, dtype=np.uint8))
    good, refused = path.read_bytes(), 0
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.choice((random.randrange(256), *b".()abRt}]0\x81\x94\x85"))
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_stamps(path)
            except ValueError as error:
                refused += 1
                assert "data_batch_1'" in str(error) and "\n" not in str(error)
    assert refused > 250
