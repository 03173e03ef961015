#!/usr/bin/env python3
"""Makes builtin.json and edge.json beside it: what Hugging Face's renderer prints.

    pip install transformers jinja2 && python make.py

With `python make.py CASES.json TEMPLATE.jinja …` the same conversations through other templates, for
`SPRAT_TEMPLATE_CASES=CASES.json cargo test -p sprat --lib templates_render -- --nocapture`.

Each entry has the template (its name, or its text), the variables and `expected`; null where the renderer refuses.
The templates here and in ../builtin are Sprat's own.
"""

import datetime
import json
import pathlib
import sys

import transformers.utils.chat_template_utils as utils
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2025, 3, 9, 14, 5, 7)  # 1741529107 s after 1970 on the same clock

USER = {"role": "user", "content": "What is 2 + 2?"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather <today> & tomorrow: \"fair\" or not.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name, e.g. Ærø"},
                "days": {"type": "integer", "enum": [1, 2], "default": 1},
                "scale": {"type": ["number", "null"], "default": 1.5},
            },
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "time", "description": "The time.", "parameters": {}}}
CALL = {
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Ærø", "days": 2, "scale": None, "exact": True}},
}
SYSTEM = {"role": "system", "content": "Answer briefly."}
TURNS = [
    USER,
    {"role": "assistant", "content": "It is 4.\n"},
    {"role": "user", "content": "  And 3 + 3?  "},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nSix: \"6\" <b>&</b> 'so' 日本語"},
    {"role": "user", "content": "Thanks\n\n"},
]
RESULT = {"role": "tool", "content": "{\"sky\": \"grey\"}", "name": "weather"}
CONVERSATIONS = {
    "one user turn": {"messages": [USER]},
    "system and three turns": {"messages": [SYSTEM, *TURNS]},
    "three turns, no prompt": {"messages": TURNS, "add_generation_prompt": False},
    "reply last": {"messages": TURNS[:2], "add_generation_prompt": False},
    "tools": {"messages": [SYSTEM, USER], "tools": [WEATHER, TIME]},
    "tools without system": {"messages": [USER], "tools": [WEATHER]},
    "call and result": {
        "messages": [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, RESULT],
        "tools": [WEATHER],
    },
    "two calls, two results": {
        "messages": [
            SYSTEM,
            USER,
            {"role": "assistant", "content": "I look.", "tool_calls": [CALL, {**CALL, "id": "abcdefghi"}]},
            RESULT,
            {**RESULT, "tool_call_id": "abcdefghi"},
            {"role": "assistant", "content": "Grey."},
            USER,
        ],
        "tools": [WEATHER, TIME],
    },
    "thinking": {"messages": [SYSTEM, USER], "enable_thinking": True},
    "no thinking": {"messages": [SYSTEM, USER], "enable_thinking": False},
    "reasoning kept apart": {
        "messages": [USER, {"role": "assistant", "content": "4", "reasoning_content": "Two and two."}, USER],
    },
    "system only": {"messages": [SYSTEM]},
    "user twice": {"messages": [USER, USER]},
}


def compile_with_clock(source):
    template = _compile_jinja_template(source)
    template.globals["strftime_now"] = NOW.strftime
    return template


def render(source, chat):
    """What Hugging Face's renderer makes of it, or None."""
    chat = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True, **chat}
    messages = chat.pop("messages")
    utils._compile_jinja_template = compile_with_clock
    try:
        return render_jinja_template([messages], chat_template=source, **chat)[0][0]
    except Exception:
        return None


# Known to differ and left out: the `%` operator on strings, floats printed with an exponent other than by tojson, and
# comparing values of different kinds, which jinja2 refuses.
# Each exercises one helper or one rule; `x` and so on come from VARIABLES.
VARIABLES = {
    "x": "  Hello, Wörld  ",
    "n": 7,
    "f": 0.1,
    "items_": [3, 1, 2],
    "words": ["b", "A", "c"],
    "d": {"b": 1, "a": [True, None, 2.0, 1e20, 1e-7], "c": {"é": "<&>'\"\\\n\t\u0007\u007f"}},
    "empty": [],
    "nothing": None,
}
EDGES = [
    # tojson
    "{{ d|tojson }}", "{{ d|tojson(indent=2) }}", "{{ d|tojson(indent=4) }}", "{{ d|tojson(ensure_ascii=True) }}",
    "{{ d|tojson(separators=(',', ':')) }}", "{{ d|tojson(sort_keys=True) }}", "{{ '<a href=\"x\">&amp;</a>'|tojson }}",
    "{{ empty|tojson }}{{ {}|tojson }}{{ []|tojson(indent=2) }}{{ {}|tojson(indent=2) }}", "{{ none|tojson }}",
    "{{ [1, 1.0, -0.0, 123456789012345678, 1e16, 1e15, 0.0001, 0.00001, 1.5e300]|tojson }}",
    "{{ {1: 'a', none: 'b', true: 'c'}|tojson }}", "{{ missing|tojson }}", "{{ ('a', 1)|tojson }}",
    "{{ {'name': 'f', 'arguments': d}|tojson }}", "{{ '😀\u2028'|tojson }}", "{{ '😀é'|tojson(ensure_ascii=True) }}",
    "{{ d|tojson(2) }}", "{{ d|tojson(indent='--') }}", "{{ words|map('upper')|list|tojson }}",
    # printing
    "{{ true }}{{ false }}{{ none }}{{ 1.0 }}{{ 7 // 2 }}{{ 7 / 2 }}{{ 2 ** 10 }}{{ -7 // 2 }}{{ -7 % 3 }}",
    "{{ [1, 'a', none, true, 2.5] }}", "{{ {'a': 1, 'b': [1]} }}", "{{ ('a', 'b') }}", "{{ \"it's\" }}|{{ [\"it's\", 'a\"b'] }}",
    "{{ missing }}|{{ d.missing }}|{{ d['missing'] }}", "{{ d.missing.deeper }}", "{{ missing + 'x' }}", "{{ 'x' + missing }}",
    "{{ 'x' ~ missing ~ 1 ~ none ~ true }}", "{{ 'a' + 1 }}", "{{ 'a' * 3 }}", "{{ [1] + [2] }}", "{{ words|string }}",
    "{{ '\\x41\\u00e9\\'\\\"\\\\' }}", "{{ 'a\nb' }}", "{{ 'ab' 'cd' }}",
    "{{ \"%s\"|format(3) }}", "{{ '{} {x}'.format(1, x=2) }}",
    # string methods
    "[{{ x.strip() }}][{{ x.lstrip() }}][{{ x.rstrip() }}][{{ 'xxaxx'.strip('x') }}][{{ 'abcba'.lstrip('ab') }}][{{ 'a\n\n'.rstrip('\n') }}]",
    "[{{ '\u00a0\u3000a\u001f\u0085'.strip() }}]", "{{ 'a,b,,c'.split(',') }}{{ 'a,b,,c'.split(',', 1) }}{{ ' a  b '.split() }}{{ ''.split() }}{{ ''.split(',') }}",
    "{{ ' a  b  c '.split(none, 1) }}{{ ' a  b  c '.rsplit(none, 1) }}{{ 'a.b.c'.rsplit('.', 1) }}{{ 'a b'.split(maxsplit=1) }}{{ 'a.b'.split(sep='.') }}",
    "{{ '  a'.split(none, 0) }}{{ 'a  '.split(none, 0) }}{{ ' a b '.split(none, 5) }}{{ ' a b '.split(none, 2) }}{{ ' a b '.rsplit(none, 0) }}",
    "{{ ' a b '.split(none, 1) }}{{ ' a b '.rsplit(none, 1) }}{{ 'a'.rsplit() }}{{ 'a b  '.rsplit() }}",
    "{{ 'a</think>b</think>c'.split('</think>')[-1] }}{{ 'abc'.split('x')[0] }}",
    "{{ 'a\nb\r\nc\rd\u2028e\n'.splitlines() }}{{ 'a\n\nb'.splitlines(true) }}{{ ''.splitlines() }}",
    "{{ x.startswith('  H') }}{{ x.endswith('x') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith(('x', 'b')) }}",
    "{{ 'aXbXc'.replace('X', '--') }}{{ 'aXbXc'.replace('X', '', 1) }}{{ 'ab'.replace('', '.') }}{{ 'ab'|replace('a', 'c') }}",
    "{{ x.upper() }}{{ x.lower() }}{{ x.title() }}{{ 'hELLO wORLD'.capitalize() }}{{ \"they're o'neil 3rd\".title() }}",
    "{{ 'ß'.upper() }}{{ 'ÀÉ'.lower() }}{{ 'élan vital'.title() }}{{ 'x'|upper }}{{ 'hello world'|title }}{{ 'hELLO'|capitalize }}",
    "{{ ', '.join(words) }}{{ words|join('-') }}{{ [1, 2]|join }}{{ ''.join([]) }}", "{{ ', '.join([1, 2]) }}",
    "{{ 'hello'.find('l') }}{{ 'hello'.rfind('l') }}{{ 'hello'.find('z') }}{{ 'héllo'.index('l') }}{{ 'hello'.count('l') }}", "{{ 'hello'.index('z') }}",
    "{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ 'abc'.removesuffix('x') }}{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.partition('=') }}{{ 'abc'.rpartition('=') }}",
    "{{ '7'.zfill(3) }}{{ '-7'.zfill(4) }}[{{ 'a'.ljust(3) }}][{{ 'a'.rjust(3, '*') }}][{{ 'ab'.center(5, '*') }}][{{ 'a'.center(4) }}]",
    "{{ 'abc'.isalpha() }}{{ 'ab1'.isalnum() }}{{ '12'.isdigit() }}{{ ' \t'.isspace() }}{{ ''.isspace() }}{{ 'ABC'.isupper() }}{{ 'aBC'.islower() }}{{ 'a1'.islower() }}",
    "{{ x.nosuch() }}", "{{ 'abc'.split('') }}", "{{ n.strip() }}", "{{ nothing.strip() }}", "{{ missing.strip() }}",
    "{{ x|trim }}|{{ 'xxaxx'|trim('x') }}|{{ '  a\n'|trim }}|{{ x|length }}|{{ 'héé'|length }}|{{ 'abc'|first }}{{ 'abc'|last }}{{ 'abc'|reverse }}",
    "{{ 'a\nb\n\nc'|indent(2) }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\nb\n\nc'|indent(2, blank=true) }}|{{ 'ab'|list }}",
    # slices and indices
    "{{ x[0] }}{{ x[-1] }}{{ x[2:7] }}{{ x[::-1] }}{{ x[-3:] }}{{ 'abc'[5:] }}{{ 'abc'[-10:2] }}{{ 'abcdef'[::2] }}{{ 'héllo'[1] }}",
    "{{ items_[0] }}{{ items_[-1] }}{{ items_[1:] }}{{ items_[:-1] }}{{ items_[::-1] }}{{ items_[5:] }}{{ items_[5] }}|", "{{ d['a'][0] }}{{ d.c['é'] }}",
    # dict methods
    "{{ d.get('b') }}{{ d.get('z') }}{{ d.get('z', 'dflt') }}{{ d.get('z', none) }}", "{% for k, v in d.items() %}{{ k }}={{ v|tojson }};{% endfor %}",
    "{% for k in d.keys() %}{{ k }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for v in {'a': 1}.values() %}{{ v }}{% endfor %}{{ d.keys()|list }}{{ d|list }}{{ d|length }}",
    "{% for k, v in d|items %}{{ k }}{% endfor %}{% for k, v in d|dictsort %}{{ k }}{% endfor %}{{ 'b' in d }}{{ 'z' in d }}{{ 'z' not in d }}", "{{ d.pop('b') }}", "{{ empty.append(1) }}",
    "{{ {'get': 1}.get('get') }}{{ {'keys': 5}.keys()|list }}", "{{ items_.index(1) }}{{ items_.count(3) }}", "{{ items_.index(9) }}",
    # tests
    "{{ x is string }}{{ n is string }}{{ d is mapping }}{{ items_ is mapping }}{{ items_ is sequence }}{{ x is sequence }}{{ d is sequence }}{{ n is sequence }}",
    "{{ items_ is iterable }}{{ x is iterable }}{{ d is iterable }}{{ n is iterable }}{{ none is none }}{{ missing is none }}{{ missing is defined }}{{ nothing is defined }}{{ d.z is defined }}",
    "{{ true is boolean }}{{ 1 is boolean }}{{ 1 is number }}{{ 1.5 is number }}{{ 1 is integer }}{{ true is integer }}{{ 1.0 is float }}{{ true is number }}{{ true is true }}{{ 1 is true }}{{ false is false }}",
    "{{ 3 is odd }}{{ 4 is even }}{{ 9 is divisibleby(3) }}{{ 1 is eq(1) }}{{ 1 is sameas(1) }}{{ 'a' is in('abc') }}{{ 'a' is in(['b']) }}{{ x is callable }}{{ raise_exception is callable }}{{ raise_exception is defined }}{{ strftime_now is defined }}",
    "{{ missing is string }}{{ missing is mapping }}{{ missing is sequence }}{{ missing is iterable }}{{ missing is undefined }}{{ 'A' is upper }}{{ 'a' is lower }}", "{{ x is nosuchtest }}",
    "{{ none is iterable }}{{ tools is iterable }}{{ true is iterable }}{{ 1.5 is iterable }}{{ range(2) is iterable }}{{ d.items() is iterable }}{{ (words|map('upper')) is iterable }}",
    # operators and truth
    "{{ '' or 'b' }}{{ 'a' and 'b' }}{{ none or [] }}{{ not '' }}{{ 1 == 1.0 }}{{ '1' == 1 }}{{ none == missing }}{{ true == 1 }}{{ 1 < 2 }}{{ 'a' < 'b' }}{{ [1] == [1] }}{{ {'a': 1} == {'a': 1} }}",
    "{{ 1 if true else 2 }}{{ 1 if false }}|{{ 'a' if missing else 'b' }}{{ (1 if false) is defined }}", "{{ 'a' in missing }}", "{{ 'l' in 'hello' }}{{ 3 in items_ }}", "{{ 'x' in none }}",
    "{{ 5 - 2 * 3 }}{{ (5 - 2) * 3 }}{{ 10 % 4 }}{{ 1 + 1.5 }}{{ 7.0 // 2 }}{{ 1 / 3 }}", "{{ 1 // 0 }}", "{{ not true is false }}{{ not x is string }}{{ not missing is defined }}",
    # filters
    "{{ missing|default('d') }}{{ ''|default('d') }}|{{ ''|default('d', true) }}{{ none|default('d') }}{{ none|default('d', true) }}{{ 'a'|d('b') }}",
    "{{ items_|sort }}{{ items_|sort(reverse=true) }}{{ words|sort }}{{ items_|max }}{{ items_|min }}{{ items_|sum }}{{ items_|first }}{{ items_|last }}{{ empty|first }}|{{ [1, 1, 2]|unique|list }}",
    "{{ messages|map(attribute='role')|list }}{{ messages|map(attribute='role')|join(', ') }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ messages|rejectattr('role', '==', 'user')|map(attribute='content')|join }}",
    "{{ messages|selectattr('tool_calls', 'defined')|list|length }}{{ items_|select('odd')|list }}{{ items_|reject('odd')|list }}{{ [0, 1, none, '']|select|list }}{{ words|map('lower')|list }}",
    "{{ messages|groupby('role')|map(attribute='grouper')|list }}{{ messages|map(attribute='zz', default='q')|list }}", "{{ '3'|int + 1 }}{{ 'x'|int }}{{ 'x'|int(9) }}{{ '1.5'|float }}{{ 3.7|int }}{{ 3.14159|round(2) }}{{ 2.5|round }}{{ -3|abs }}{{ '12'|string|length }}",
    "{{ x|nosuchfilter }}", "{{ items_|batch(2)|list }}{{ [1,2,3]|reverse|list }}", "{{ '<b>'|e }}{{ '<b>'|safe }}{{ 'Hello'|replace('l', 'L', 1) }}{{ items_|length }}{{ items_|count }}",
    # statements
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}{% for i in missing %}x{% endfor %}|{{ range(2, 8, 3)|list }}",
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem.role if loop.previtem is defined }}{{ loop.nextitem.role if loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }}\n{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{{ loop.length }};{% endfor %}", "{% for m in messages recursive %}{{ m.role }}{% endfor %}", "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}",
    "{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }}{% for i in [1] %}{% set a = 3 %}{% endfor %}{{ a }}", "{% set ns = namespace(a=1, b='x') %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% set ns.c = i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.z }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}in {{ a }} block{% endset %}[{{ c }}]{{ c|length }}{% set e = c|upper %}{{ e }}", "{% macro m(a, b='z', c=none) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(c=3, a=4) }}{% set r = m('q') %}{{ r|upper }}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(4) }}", "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}", "{% with a = 5 %}{{ a }}{% endwith %}{{ a }}",
    "{% generation %}a{% set q = 1 %}{% endgeneration %}[{{ q }}]", "  {%- generation -%} a {%- endgeneration -%}  b", "{% raw %}{{ x }}{% endraw %}", "{# comment #}a{#- b -#} c", "{% filter upper %}abc{% endfilter %}", "{% if false %}a{% elif x %}b{% else %}c{% endif %}",
    "{% if missing %}a{% endif %}{% if missing.z %}{% endif %}", "{% include 'x' %}", "{% set dict_ = dict(a=1, b=2) %}{{ dict_.b }}{{ dict_ }}", "{{ namespace().a }}|", "{% for k, v in d.items() if k != 'a' %}{{ k }}{% endfor %}",
    # white space
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  {%+ if true %}\nb{% endif +%}\nc", "  {{ 'x' }}\n\n{%- if true %} y {%- endif %}\n", "{% if true -%}\n  a\n{%- endif %}\n\n", "\n\n{{ 'a' }}\n\n", "{{ 'a' }}\n", "a {# c #}\nb\n  {# d #}\nc", "{{- ' a ' -}}  \n b", "x  {%- set a = 1 -%}  y\n", "\t{% if 1 %}\t\nz\n\t{% endif %}\t\n",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc",
    # helpers
    "{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %p %I %-d %y') }}", "{{ raise_exception('no: ' + x) }}", "{% if not raise_exception is defined %}a{% endif %}b", "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ tools is defined }}{{ enable_thinking is defined }}",
    "{{ messages[0].role }}{{ messages[0]['content'] }}{{ messages[-1].role }}{{ messages|length }}{{ messages[1:]|length }}{{ 'tool_calls' in messages[0] }}{{ messages[0].get('name', '-') }}{{ messages[99] is defined }}", "{{ messages[0] }}", "{{ messages[0].keys()|list }}",
    "{% for m in messages[::-1] %}{{ m.role }}{% endfor %}", "{{ (messages|last).role }}{{ messages|map(attribute='content')|map('length')|list }}", "{{ messages[0].content[0].text }}|", "{{ messages == messages[:] }}", "{{ x.strip().lower().split(', ')[1]|upper|trim|length }}",
]


def write(name, entries):
    lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in entries)
    pathlib.Path(HERE, name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(name, len(entries), "entries,", sum(e["expected"] is None for e in entries), "refused")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sources = {path: pathlib.Path(path).read_text(encoding="utf-8") for path in sys.argv[2:]}
        write(pathlib.Path(sys.argv[1]).absolute(), [
            {"file": path, "template": source, "chat": name, "expected": render(source, chat)}
            for path, source in sources.items() for name, chat in CONVERSATIONS.items()
        ])
        sys.exit()
    builtins = sorted((HERE.parent / "builtin").glob("*.jinja"))
    write("builtin.json", [
        {"file": path.stem, "chat": name, "expected": render(path.read_text(encoding="utf-8"), chat)}
        for path in builtins for name, chat in CONVERSATIONS.items()
    ])
    write("edge.json", [
        {"template": source, "expected": render(source, {"messages": [SYSTEM, USER], **VARIABLES})} for source in EDGES
    ])
    chats = {"variables": VARIABLES, "conversations": CONVERSATIONS, "edge": [SYSTEM, USER]}
    (HERE / "chats.json").write_text(json.dumps(chats, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
