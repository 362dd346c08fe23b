"""Django's expressions in D1's words, where those of Django's SQLite need functions from Python or meet a limit of D1.

A translation takes the node, the compiler and the connection, and gives SQL with its parameters, or None where Django's
own will do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.db import NotSupportedError
from django.db.models import Case, ExpressionWrapper, Func, StdDev, Value, Variance, Window, functions, lookups
from django.db.models.expressions import CombinedExpression, OrderBy
from django.db.models.sql.where import AND, OR, WhereNode

from d1 import decimals
from d1.statement import adapt, dumps

Sql = tuple[str, Any]
Translation = Callable[[Any, Any, Any], Sql | None]

# In bytes; a longer one is "too complex" for D1.
MAX_PATTERN = 50
# Beyond this many values a list travels as JSON: shorter on the wire, and within the limit of a statement.
LONG_LIST = 50
# An expression is 100 deep at the most, and a chain of ANDs or ORs is as deep as it is long.
LONG_CHAIN = 40


def text_lookup(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """contains, startswith, endswith and iexact without LIKE where the pattern is long, or known only to D1.

    Like LIKE, and like Django's SQLite for the case-sensitive lookups too, they fold the case of ASCII letters alone.
    """
    direct = node.rhs_is_direct_value() and not node.bilateral_transforms
    if direct and _is_short(node.rhs, connection):
        return None
    lhs, lhs_params = node.process_lhs(compiler, connection)
    base = lookups.PatternLookup if isinstance(node, lookups.PatternLookup) else lookups.IExact
    right: Any = super(base, node) if direct else node
    rhs, rhs_params = right.process_rhs(compiler, connection)
    form = next(form for kind, form in _TEXT_FORMS.items() if isinstance(node, kind))
    joined = f"(SELECT {form} FROM (SELECT {lhs} AS h,{rhs} AS n))"  # noqa: S608 - compiled SQL
    return joined, [*lhs_params, *rhs_params]


def _is_short(value: Any, connection: Any) -> bool:
    """Whether LIKE can take the value, escaped and with its two percent signs. It would stop at a NUL."""
    if not isinstance(value, str):
        return True
    return (
        "\0" not in value and len(connection.ops.prep_for_like_query(value).encode(errors="replace")) + 2 <= MAX_PATTERN
    )


# By instr() and bytes, for length() ends at a NUL; substr() makes NULL of an empty BLOB.
_END = "substr(CAST(lower(h) AS BLOB),octet_length(h)-octet_length(n)+1)"
_ENDS = f"iif(h IS NULL,NULL,coalesce({_END},x'')=CAST(lower(n) AS BLOB))"
_TEXT_FORMS = {
    lookups.IExact: "lower(h)=lower(n)",
    lookups.StartsWith: "instr(lower(h),lower(n))=1",
    lookups.IStartsWith: "instr(lower(h),lower(n))=1",
    lookups.EndsWith: _ENDS,
    lookups.IEndsWith: _ENDS,
    lookups.Contains: "instr(lower(h),lower(n))>0",
}


def long_list(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """`IN` with many values, from one JSON parameter."""
    if exact := decimals.compared(node, compiler, connection):
        return exact
    if not node.rhs_is_direct_value() or len(node.rhs) <= LONG_LIST or not hasattr(node.lhs, "as_sql"):
        return None
    lhs, lhs_params = node.process_lhs(compiler, connection)
    rhs, rhs_params = node.process_rhs(compiler, connection)
    if rhs != f"({', '.join(['%s'] * len(rhs_params))})":
        return None
    values = [adapt(value) for value in rhs_params]
    if not all(map(_is_exact_in_json, values)):
        return None
    text = dumps([int(value) if isinstance(value, int) else value for value in values]).decode()
    return f"{lhs} IN (SELECT value FROM json_each(%s))", [*lhs_params, text]  # noqa: S608


def _is_exact_in_json(value: Any) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def long_chain(node: Any, compiler: Any, connection: Any) -> Sql | None:
    """Many conditions as a balanced tree instead of a chain."""
    if len(node.children) <= LONG_CHAIN or node.connector not in (AND, OR):
        return None
    parts = [node.children[start : start + LONG_CHAIN] for start in range(0, len(node.children), LONG_CHAIN)]
    tree = WhereNode([WhereNode(part, node.connector) for part in parts], node.connector, node.negated)
    sql, params = compiler.compile(tree)
    return sql, params


def refuse_regex(node: Any, compiler: Any, connection: Any) -> Sql | None:
    connection.ops.regex_lookup(node.lookup_name)
    return None


def refuse_hash(node: Any, compiler: Any, connection: Any) -> Sql | None:
    raise NotSupportedError(f"D1 has no {node.function}: compute it in Python and store it in a column.")


def variance(node: Any, compiler: Any, connection: Any) -> Sql:
    """Variance and standard deviation by sums, which SQLite adds up without loss (Kahan-Babuska)."""
    decimals.computed(node, compiler, connection)
    connection.ops.check_expression_support(node)
    sql, params = compiler.compile(node.get_source_expressions()[0])
    where, where_params = "", []
    if node.filter is not None:
        condition, where_params = compiler.compile(node.filter)
        where = f" FILTER (WHERE {condition})"
    divisor = f"count({sql}){where}" + ("-1" if node.function.endswith("_SAMP") else "")
    squares, total, count = f"sum(1.0*{sql}*{sql}){where}", f"total({sql}){where}", f"count({sql}){where}"
    spread = f"max(0.0,{squares}-{total}*{total}/{count})/nullif({divisor},0)"
    one = [*params, *where_params]
    values = [*params, *one, *one, *one, *one, *one]
    result = f"sqrt({spread})" if node.function.startswith("STDDEV") else f"({spread})"
    # As SQLiteNumericMixin does: a decimal travels as text, and has to be compared as a number.
    is_decimal = node.output_field.get_internal_type() == "DecimalField"
    return (f"CAST({result} AS NUMERIC)" if is_decimal else result), values


def _subquery(form: str, *names: str) -> Translation:
    """A function of arguments that its form names more than once; a subquery computes each once."""

    def translate(node: Any, compiler: Any, connection: Any) -> Sql:
        compiled = [compiler.compile(source) for source in node.get_source_expressions()]
        named = ",".join(f"{sql} AS {name}" for (sql, _), name in zip(compiled, names, strict=True))
        values = [value for _, params in compiled for value in params]
        return f"(SELECT {form} FROM (SELECT {named}))", values  # noqa: S608 - compiled SQL

    return translate


def _function(template: str) -> Translation:
    """A function that D1 has under another name, or as an expression."""

    def translate(node: Any, compiler: Any, connection: Any) -> Sql:
        put = getattr(node, "as_sqlite", node.as_sql)
        sql, params = put(compiler, connection, template=template)
        return sql, params

    return translate


# A text repeated n times: there is no such function, but zeroblob(n) is n bytes.
_REPEATED = "replace(hex(zeroblob({n})),'00',{text})"
_LPAD = (
    f"CASE WHEN n<=length(t) THEN substr(t,1,n) ELSE substr({_REPEATED.format(n='n', text='f')},1,n-length(t))||t END"
)

_TRANSLATIONS: dict[type, Translation] = {
    lookups.PatternLookup: text_lookup,
    lookups.IExact: text_lookup,
    lookups.In: long_list,
    lookups.Exact: decimals.compared,
    lookups.GreaterThan: decimals.compared,
    lookups.GreaterThanOrEqual: decimals.compared,
    lookups.LessThan: decimals.compared,
    lookups.LessThanOrEqual: decimals.compared,
    lookups.Range: decimals.compared,
    OrderBy: decimals.ordered,
    Value: decimals.plain_value,
    Case: decimals.computed,
    CombinedExpression: decimals.computed,
    ExpressionWrapper: decimals.computed,
    Func: decimals.computed,
    Window: decimals.computed,
    lookups.Regex: refuse_regex,
    WhereNode: long_chain,
    StdDev: variance,
    Variance: variance,
    functions.MD5: refuse_hash,
    functions.SHA1: refuse_hash,
    functions.SHA224: refuse_hash,
    functions.SHA256: refuse_hash,
    functions.SHA384: refuse_hash,
    functions.SHA512: refuse_hash,
    functions.Ceil: _function("ceil(%(expressions)s)"),
    functions.Power: _function("pow(%(expressions)s)"),
    functions.Cot: _function("(1.0/tan(%(expressions)s))"),
    # 53 bits of chance, as many as a float between 0 and 1 can have.
    functions.Random: _function("((random() & 9007199254740991)/9007199254740992.0)"),
    functions.LPad: _subquery(f"iif(f='',t,{_LPAD})", "t", "n", "f"),
    functions.RPad: _subquery(f"substr(t||{_REPEATED.format(n='n', text='f')},1,n)", "t", "n", "f"),
    functions.Repeat: _subquery(f"iif(n IS NULL,NULL,{_REPEATED.format(n='n', text='t')})", "t", "n"),
    functions.Reverse: _subquery(
        "(WITH RECURSIVE r(s,u) AS (SELECT '',t UNION ALL SELECT s||substr(u,-1),substr(u,1,length(u)-1) FROM r"
        " WHERE u<>'') SELECT s FROM r WHERE u='')",
        "t",
    ),
}


@lru_cache(maxsize=1024)
def translation(kind: type) -> Translation | None:
    """How a kind of expression is put to D1, if not as Django does."""
    return next((_TRANSLATIONS[base] for base in kind.__mro__ if base in _TRANSLATIONS), None)
