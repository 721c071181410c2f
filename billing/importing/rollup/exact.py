"""Columns of numbers in forms whose sums are exact: whole numbers of a power of ten, never a float."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...readers.amounts import decimal_of
from ...readers.values import BadValue, Memo

# Sums are whole numbers of 10⁻⁴⁰: more decimals than any price list has.
PLACES = 40
# In Arrow amounts are decimal128 with these decimals; what has more goes the long way.
ARROW_PLACES = 20
# Doubles are tried as whole numbers of these powers: with at most 15 digits they are what the shortest form says.
TRIED_PLACES = (12, 8, 16, 20)
EXACT_DIGITS = 10**15

_WIDE = Context(prec=200)
# As `amounts.NUMBER`: Arrow takes more for a number than is one here.
_NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"


@dataclass(frozen=True)
class Exact:
    """A column as an Arrow array of whole numbers or decimals; its sum times 10^-places is exact."""

    array: Any
    places: int

    @property
    def has_none(self) -> bool:
        return bool(self.array.null_count)


def plain_of(sum_: int | None) -> str:
    """Write a sum plainly, "" for no value."""
    if sum_ is None:
        return ""
    whole, rest = divmod(abs(sum_), 10**PLACES)
    decimals = f"{rest:0{PLACES}d}".rstrip("0")
    return f"{'-' if sum_ < 0 else ''}{whole}{'.' + decimals if decimals else ''}"


def exact_column(values: Any) -> Exact:
    """Return a column of numbers in a form whose sums are exact. Raises BadValue for what is no number."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return _exact_texts(values)
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_null(kind):
        return Exact(array.cast(pa.int64()), 0)
    if pa.types.is_floating(kind):
        return _exact_doubles(array)
    if pa.types.is_integer(kind):
        return _exact_integers(array.cast(pa.int64()))
    if pa.types.is_decimal(kind):
        if 0 <= kind.scale <= ARROW_PLACES and kind.precision <= 38:
            return _guarded(array.cast(pa.decimal128(38, kind.scale)), kind.scale)
        array = array.cast(pa.string())
    return _exact_texts(array)


def _exact_integers(array: Any, places: int = 0) -> Exact:
    bounds = pc.min_max(array)
    most = max(abs(bounds["min"].as_py() or 0), abs(bounds["max"].as_py() or 0))
    if most * len(array) < 2**62:
        return Exact(array, places)
    return _guarded(array.cast(pa.decimal128(38, 0)), places)


def _guarded(array: Any, places: int) -> Exact:
    """Return decimals as they are if all of them together cannot overflow, which Arrow would not notice."""
    bounds = pc.min_max(array)
    most = max(abs(bounds["min"].as_py() or 0), abs(bounds["max"].as_py() or 0))
    if most * len(array) < 10 ** (37 - array.type.scale):
        return Exact(array, places)
    scaled = [None if number is None else number.scaleb(array.type.scale - places) for number in array.to_pylist()]
    return Exact(_decimals(scaled), PLACES)


def _exact_doubles(array: Any) -> Exact:
    """Read doubles as their shortest decimal form says (0.1 is 0.1), without writing them out where it can be helped.

    A double that is the nearest to k·10⁻ⁿ, k of at most 15 digits, has that as its shortest form, because
    no two decimals of 15 digits share a double.
    """
    # NaN is how dataframes write "no value".
    doubles = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(doubles)
    if np.isinf(doubles).any():
        raise BadValue("The number is infinite.")
    values = np.where(missing, 0.0, doubles)
    if pa.types.is_float32(array.type) or pa.types.is_float16(array.type):
        texts = array.cast(pa.string()).to_pylist()
        return _exact_texts(["" if gone else text for gone, text in zip(missing.tolist(), texts, strict=True)])
    for places in TRIED_PLACES:
        power = 10.0**places
        whole = np.rint(values * power)
        if np.all((np.abs(whole) < EXACT_DIGITS) & (whole / power == values)):
            return _exact_integers(pa.array(whole.astype(np.int64), mask=missing if missing.any() else None), places)
    pairs = zip(missing.tolist(), values.tolist(), strict=True)
    return _exact_texts(["" if gone else repr(value) for gone, value in pairs])


def _exact_texts(texts: Any) -> Exact:
    """Read numbers written as texts."""
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    filled = pc.if_else(pc.equal(array, ""), None, array)
    if pc.all(pc.match_substring_regex(filled, _NUMBER)).as_py() is not False:
        try:
            return _guarded(filled.cast(pa.decimal128(38, ARROW_PLACES)), ARROW_PLACES)
        except pa.ArrowInvalid:
            pass
    numbers = Memo(decimal_of)
    decimals = [numbers[text or ""] for text in array.to_pylist()]
    return Exact(_decimals(decimals), PLACES)


def _decimals(decimals: Sequence[Decimal | None]) -> Any:
    """Return numbers as decimal256 in whole numbers of 10^-PLACES."""
    whole: list[Decimal | None] = []
    for number in decimals:
        if number is None:
            whole.append(None)
            continue
        # A zero may be written with any exponent.
        number = number or Decimal(0)
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -PLACES or number.adjusted() > 25:
            raise BadValue(f"{number} has too many digits to be added up. Keep the source's rows as they are.")
        whole.append(number.scaleb(PLACES, context=_WIDE))
    return pa.array(whole, pa.decimal256(76, 0))


def whole_numbers(column: Any, places: int) -> list[int | None]:
    """Return sums as whole numbers of 10^-PLACES."""
    factor = 10 ** (PLACES - places)
    values = column.to_pylist()
    if pa.types.is_decimal(column.type):
        scale = column.type.scale
        values = [None if value is None else int(value.scaleb(scale, context=_WIDE)) for value in values]
    return [None if value is None else value * factor for value in values]
