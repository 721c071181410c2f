"""Templates that staff write: Django's language over plain values, in bounded time and size.

Django's own templates trust whoever writes them: a name may lead to any attribute and call it, also those of
the template and its engine, and through them to settings and folders; filters and loops may make gigabytes
of nothing. Here a name leads through dicts and tuples alone, and every value, filter and round of a loop is
paid for before it is made.
"""

import functools
from collections.abc import Callable
from typing import Any

from django.template import Context, Template, TemplateSyntaxError
from django.template.base import FilterExpression, Lexer, NodeList, Parser, TextNode, Token, Variable
from django.template.base import VariableDoesNotExist as VariableDoesNotExist
from django.template.defaulttags import ForNode, do_for

# Of a template's source and of each value it makes; and of all that one rendering reads and makes. A letter
# about a thousand statements makes a million.
CHARACTERS = 200_000
CHARACTERS_IN_ALL = 5_000_000
# Values looked up and rounds of loops in one rendering: such a letter takes 20 000.
STEPS = 200_000
# Filters of one value.
FILTERS = 10
# Blocks within blocks.
DEPTH = 30


class TooMuch(TemplateSyntaxError):
    """A template that is too long, too deep, or makes too much."""


class PlainContext(Context):
    """Values for a template, and what one rendering has used of what it may."""

    steps = characters = 0

    def spend(self, steps: int, characters: int = 0) -> None:
        """Pay for work before it is done; raises TooMuch."""
        self.steps += steps
        self.characters += characters
        if self.steps > STEPS or self.characters > CHARACTERS_IN_ALL:
            raise TooMuch(f"It makes more than {CHARACTERS_IN_ALL:,} characters, or takes more than {STEPS:,} steps.")


class PlainVariable(Variable):
    """A name that leads to keys of dicts and places of tuples, never to an attribute or a method."""

    __slots__ = ()

    def _resolve_lookup(self, context: Context) -> Any:
        current: Any = context
        for bit in self.lookups or ():
            try:
                if isinstance(current, (Context, dict)):
                    current = current[bit]
                elif isinstance(current, (tuple, list)) and bit.isdecimal():
                    current = current[int(bit)]
                else:
                    raise KeyError(bit)
            except (KeyError, IndexError, ValueError):
                raise VariableDoesNotExist("There is no “%s” here.", (bit,)) from None
        if isinstance(current, str):
            context.spend(0, len(current))  # type: ignore[attr-defined]
        return current


class PlainExpression(FilterExpression):
    """A value and its filters, whose sizes are looked at between one filter and the next."""

    __slots__ = ()

    def __init__(self, token: str, parser: Parser) -> None:
        super().__init__(token, parser)
        if len(self.filters) > FILTERS:
            raise TooMuch(f"A value has more than {FILTERS} filters.")
        if isinstance(self.var, Variable):
            self.var.__class__ = PlainVariable
        for _, arguments in self.filters:
            for is_variable, argument in arguments:
                if is_variable:
                    argument.__class__ = PlainVariable
        self.filters = [(_bounded(function), arguments) for function, arguments in self.filters]

    def resolve(self, context: Context, ignore_failures: bool = False) -> Any:
        assert isinstance(context, PlainContext)
        context.spend(1 + len(self.filters))
        value = super().resolve(context, ignore_failures)
        context.spend(0, len(value) if isinstance(value, str) else 0)
        return value


def _bounded(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def bounded(*values: object, **options: object) -> Any:
        for value in values:
            _require_short(value)
        made = function(*values, **options)
        _require_short(made)
        return made

    return bounded


def _require_short(value: object) -> None:
    if isinstance(value, str) and len(value) > CHARACTERS:
        raise TooMuch(f"A filter makes a text of more than {CHARACTERS:,} characters.")


class PlainForNode(ForNode):
    """A loop over a tuple that was given, paid for before its first round."""

    def render(self, context: Context) -> str:
        assert isinstance(context, PlainContext)
        assert isinstance(self.sequence, FilterExpression)
        assert isinstance(self.nodelist_loop, NodeList)
        values = self.sequence.resolve(context, ignore_failures=True)
        if not isinstance(values, (tuple, list)):
            raise TooMuch(f"“{self.sequence}” is no list to go through.")
        nodes: list[Any] = self.nodelist_loop.get_nodes_by_type(TextNode)
        texts = sum(len(node.s) for node in nodes)
        context.spend(len(values) * (1 + len(self.nodelist_loop)), len(values) * texts)
        return str(super().render(context))


def loop(parser: Parser, token: Token) -> PlainForNode:
    """Compile `{% for %}`; put it into a library under that name."""
    node = do_for(parser, token)
    node.__class__ = PlainForNode
    assert isinstance(node, PlainForNode)
    return node


class PlainParser(Parser):
    depth = 0

    def compile_filter(self, token: str) -> PlainExpression:
        return PlainExpression(token, self)

    def parse(self, parse_until: Any = None) -> NodeList:
        self.depth += 1
        if self.depth > DEPTH:
            raise TooMuch(f"Blocks stand in more than {DEPTH} others.")
        try:
            return super().parse(parse_until)
        finally:
            self.depth -= 1


class PlainTemplate(Template):
    """A template that reads nothing but what it is given; render it with a PlainContext."""

    def compile_nodelist(self) -> NodeList:
        if len(self.source) > CHARACTERS:
            raise TooMuch(f"It is longer than {CHARACTERS:,} characters.")
        parser = PlainParser(Lexer(self.source).tokenize(), {}, self.engine.template_builtins, self.origin)
        try:
            nodes = parser.parse()
        except RecursionError:
            raise TooMuch("A condition is too long.") from None
        self.extra_data = parser.extra_data
        return nodes

    def render(self, context: Context | None) -> str:  # type: ignore[override]
        assert isinstance(context, PlainContext)
        context.steps = context.characters = 0
        try:
            return str(super().render(context))
        except RecursionError:
            raise TooMuch("A condition is too long.") from None
